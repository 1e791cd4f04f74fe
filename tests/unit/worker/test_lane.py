"""A lane under way: what it believes of its lease decides whether anything may leave."""

import asyncio

import pytest

from bitrix24.portal import parse_portal
from ledger.ledger import Lease
from ledger.payment import PortalKey
from worker.deps import CLAIM_TO_SEND_S
from worker.lane import Lane
from worker.load import FIRST_REQUESTS, LATE_S, Load

HTTP_TOTAL_S = 60.0


class Clock:
    """A clock that a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


def a_lane(clock: Clock, *, lease_s: float, neighbours: int = 1) -> Lane:
    """A lane whose lease runs for so long from now."""
    return Lane(
        lease=Lease(PortalKey("acme"), "test", 1),
        portal=parse_portal("acme", {"webhook": "https://acme.bitrix24.com/rest/1/some-secret/"}),
        clock=clock,
        load=Load(),
        neighbours=lambda: neighbours,
        believed_until=clock.now + lease_s,
        slice_until=clock.now + 5,
    )


@pytest.mark.parametrize(("lease_s", "may"), [(HTTP_TOTAL_S, True), (HTTP_TOTAL_S - 0.1, False), (0.0, False)])
def test_nothing_is_sent_that_could_outlive_the_lease(lease_s: float, may: bool) -> None:
    """A call that starts now must be over before another driver may have the lane."""
    clock = Clock()
    until = a_lane(clock, lease_s=lease_s).may_send_until(clock.now, HTTP_TOTAL_S)
    assert until == (clock.now + HTTP_TOTAL_S if may else None)


def test_a_claim_that_waited_too_long_is_not_sent() -> None:
    """The quiet time counts from the claim, so a call must begin soon after it."""
    clock = Clock()
    lane, claim_began = a_lane(clock, lease_s=1000), clock.now
    clock.now += CLAIM_TO_SEND_S
    assert lane.may_send_until(claim_began, HTTP_TOTAL_S) == clock.now + HTTP_TOTAL_S
    clock.now += 0.1
    assert lane.may_send_until(claim_began, HTTP_TOTAL_S) is None


def test_a_lost_lane_sends_nothing_more() -> None:
    """Somebody else drives it; whatever is asked from now on, the answer is no."""
    clock = Clock()
    lane = a_lane(clock, lease_s=1000)
    assert lane.goes_on()
    lane.lose()
    assert not lane.goes_on()
    assert lane.may_send_until(clock.now, 0.0) is None


def test_a_lane_is_handed_back_after_its_slice_where_the_process_is_strained() -> None:
    """Another process may have more time; where nobody waits for the lane's place it goes on."""
    clock = Clock()
    lane = a_lane(clock, lease_s=1000)
    clock.now += 10
    assert lane.goes_on()
    lane.load.felt(10 * LATE_S)
    assert not lane.goes_on()
    lane.took_s = 15.0
    assert lane.goes_on(), "its pipeline would run empty, and it is not what strains the process"


async def test_an_unfilled_request_waits_only_while_another_is_in_flight() -> None:
    """A single payment leaves at once; beside a request it waits a little for company."""
    clock = Clock()
    lane = a_lane(clock, lease_s=1000)
    lane.batch = 49
    assert lane.is_worth_a_request(1)
    assert not lane.is_worth_a_request(0)
    lane.launch(asyncio.sleep(60))
    assert not lane.is_worth_a_request(48)
    assert lane.is_worth_a_request(49)
    lane.lingers_until = clock.now
    assert lane.is_worth_a_request(1)
    lane.abandon()
    await lane.all_landed()


async def test_a_lane_leaves_others_their_share_of_the_requests() -> None:
    """Alone it fills all there is; where eight share, it stops at its eighth, and goes on when one has landed."""
    for neighbours, most in ((1, FIRST_REQUESTS), (8, FIRST_REQUESTS // 2)):
        lane = a_lane(Clock(), lease_s=1000, neighbours=neighbours)
        while lane.room():
            lane.launch(asyncio.sleep(60))
        assert lane.load.requests == most
        lane.load.requests += 1 if most < FIRST_REQUESTS else 0  # another lane's
        assert not lane.room()
        lane.abandon()
        await lane.all_landed()
        assert lane.room()
