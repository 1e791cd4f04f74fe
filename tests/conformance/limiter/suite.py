"""What every limiter keeps; run over memory in the unit tier and over a real server in the integration tier.

Time never passes by sleeping: a `World` lets it pass, whatever the limiter's clock is.
"""

import asyncio
from dataclasses import replace
from typing import Protocol

import pytest

from limiter import pace
from limiter.limiter import Limiter, Limits, Observation

PORTAL = "acme"
# So slow that the milliseconds a test takes on a real server drain nothing that could be granted.
SLOW = Limits(rate=0.01, burst=50)
STANDARD = Limits(rate=2.0, burst=50)


class World(Protocol):
    """A limiter, the clock it believes in, and the chance (0 … 1) it spreads pauses with."""

    limiter: Limiter
    chance: float

    async def now(self) -> float:
        """Unix seconds of the limiter's clock."""

    async def pass_time(self, seconds: float) -> None:
        """Let time pass for everything the limiter knows."""


def an_observation(**changes: object) -> Observation:
    """An answered batch of ten pay commands that took a second."""
    plain = Observation(commands=10, took_s=1.0, operating_s=None, operating_reset_at=None)
    return replace(plain, **changes)  # type: ignore[arg-type]  # the tests name real fields


async def granted(world: World, asked: int, limits: Limits = SLOW, portal: str = PORTAL) -> int:
    """How many of so many requests at once get a permit."""
    permits = await asyncio.gather(*(world.limiter.acquire(portal, limits) for _ in range(asked)))
    return sum(permit.granted for permit in permits)


class LimiterSuite:
    """Subclass it and provide the fixture `world`."""

    # The request bucket

    async def test_a_fresh_portal_grants_its_burst_at_once_and_nothing_more(self, world: World):
        """100 coroutines that ask together get exactly `burst` permits."""
        assert await granted(world, 100) == 50

    async def test_a_refused_permit_says_how_long_to_wait_and_costs_nothing(self, world: World):
        """Waiting for as long as the permit says is enough, however often one asked meanwhile."""
        await granted(world, 50, STANDARD)
        for _ in range(5):
            permit = await world.limiter.acquire(PORTAL, STANDARD)
            assert not permit.granted
        assert 0 < permit.wait_s <= pace.RESERVE_S + 1 / STANDARD.rate
        await world.pass_time(permit.wait_s)
        assert (await world.limiter.acquire(PORTAL, STANDARD)).granted

    async def test_a_spent_burst_is_followed_by_exactly_the_rate(self, world: World):
        """After the reserve has been kept back once, every second of `rate` grants `rate` permits."""
        limits = Limits(rate=0.02, burst=50)
        await granted(world, 50, limits)
        await world.pass_time(pace.RESERVE_S)
        counts = []
        for _ in range(20):
            await world.pass_time(50.001)
            counts.append(await granted(world, 5, limits))
        assert counts == [1] * 20

    async def test_an_idle_bucket_is_whole_again(self, world: World):
        """A portal that was left alone for long enough may be asked in a burst again."""
        assert await granted(world, 60, STANDARD) == 50
        await world.pass_time(50 / STANDARD.rate + pace.RESERVE_S)
        assert await granted(world, 60, STANDARD) == 50

    async def test_a_bucket_that_was_just_emptied_keeps_the_reserve(self, world: World):
        """The last requests before the bucket ran empty may still be on their way to the portal."""
        limits = Limits(rate=1.0, burst=50)
        assert await granted(world, 3, limits) == 3
        await world.pass_time(3.1)
        assert await granted(world, 60, limits) == 49

    async def test_a_bucket_of_one_grants_one_at_a_time(self, world: World):
        """The smallest bucket has no room for a reserve and still works at its rate."""
        limits = Limits(rate=0.01, burst=1)
        assert await granted(world, 5, limits) == 1
        await world.pass_time(100)
        assert await granted(world, 5, limits) == 1

    async def test_portals_do_not_share_a_bucket(self, world: World):
        """A busy portal costs no other portal a permit."""
        await granted(world, 100)
        assert await granted(world, 100, portal="other") == 50

    async def test_a_permit_that_was_not_used_can_be_given_back(self, world: World):
        """Giving a permit back makes room for exactly one."""
        await granted(world, 50)
        await world.limiter.give_back(PORTAL, SLOW)
        assert await granted(world, 5) == 1

    async def test_giving_back_never_makes_a_bucket_larger(self, world: World):
        """More permits given back than were taken make no debt of the portal."""
        for _ in range(3):
            await world.limiter.give_back(PORTAL, SLOW)
        assert await granted(world, 100) == 50

    # Refusals and outages

    async def test_a_refusal_fills_the_bucket_and_pauses_the_portal(self, world: World):
        """After QUERY_LIMIT_EXCEEDED nothing is granted before the portal has drained room for one request."""
        await granted(world, 1, STANDARD)
        assert await world.limiter.refused(PORTAL, STANDARD) == pytest.approx(0.5)
        permit = await world.limiter.acquire(PORTAL, STANDARD)
        assert not permit.granted
        assert permit.wait_s == pytest.approx(pace.RESERVE_S + 1 / STANDARD.rate, abs=0.1)
        await world.pass_time(permit.wait_s)
        assert await granted(world, 5, STANDARD) == 1

    async def test_refusals_in_a_row_pause_twice_as_long_each_time_up_to_a_cap(self, world: World):
        """0.5 s, doubling to 30 s."""
        pauses = []
        for _ in range(8):
            pauses.append(await world.limiter.refused(PORTAL, STANDARD))
            await world.pass_time(pauses[-1] + 0.001)
        assert pauses == pytest.approx([0.5, 1, 2, 4, 8, 16, 30, 30])

    async def test_many_requests_refused_together_count_as_one_step(self, world: World):
        """Batches in flight come back refused at the same moment; the pause grows once."""
        await asyncio.gather(*(world.limiter.refused(PORTAL, STANDARD) for _ in range(20)))
        await world.pass_time(1)
        assert await world.limiter.refused(PORTAL, STANDARD) == pytest.approx(1.0)

    async def test_an_answer_ends_the_row_of_refusals_and_of_outages(self, world: World):
        """The next trouble after an answer starts with the shortest pause."""
        for _ in range(3):
            await world.limiter.refused(PORTAL, STANDARD)
            await world.pass_time(60)
            await world.limiter.backoff(PORTAL)
            await world.pass_time(60)
        await world.limiter.observed(PORTAL, an_observation())
        assert await world.limiter.refused(PORTAL, STANDARD) == pytest.approx(0.5)
        await world.pass_time(60)
        assert await world.limiter.backoff(PORTAL) == pytest.approx(1.0)

    async def test_an_unreachable_portal_is_paused_twice_as_long_each_time_up_to_a_cap(self, world: World):
        """1 s, doubling to 60 s; failures during a pause are one step."""
        pauses = []
        for _ in range(8):
            pauses.append(await world.limiter.backoff(PORTAL))
            assert not (await world.limiter.acquire(PORTAL, STANDARD)).granted
            assert await world.limiter.backoff(PORTAL) <= pauses[-1]
            await world.pass_time(pauses[-1] + 0.001)
        assert pauses == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60])

    @pytest.mark.parametrize("chance", [0.0, 0.5, 0.999])
    async def test_pauses_are_spread_downwards(self, world: World, chance: float):
        """Chance shortens a pause by a quarter at most, so a cap stays a cap."""
        world.chance = chance
        expected = 1 - pace.SPREAD * chance
        assert await world.limiter.refused(PORTAL, STANDARD) == pytest.approx(0.5 * expected)
        assert await world.limiter.backoff("other") == pytest.approx(1.0 * expected)

    async def test_a_pause_holds_for_its_time_and_is_never_shortened(self, world: World):
        """The longer of two pauses holds."""
        await world.limiter.pause(PORTAL, 20)
        await world.limiter.pause(PORTAL, 5)
        permit = await world.limiter.acquire(PORTAL, SLOW)
        assert not permit.granted
        assert permit.wait_s == pytest.approx(20, abs=0.5)
        await world.pass_time(19)
        assert not (await world.limiter.acquire(PORTAL, SLOW)).granted
        await world.pass_time(1.01)
        assert (await world.limiter.acquire(PORTAL, SLOW)).granted

    # Execution time

    async def test_an_unknown_budget_is_said_to_be_unknown(self, world: World):
        """A portal that never mentioned its account is neither limited nor called unlimited."""
        await world.limiter.observed(PORTAL, an_observation())
        assert (await world.limiter.acquire(PORTAL, SLOW)).execution_left_s is None

    async def test_the_budget_is_what_the_portal_said_until_it_resets(self, world: World):
        """Left is limit minus used; after the reset the budget is whole."""
        reset_at = await world.now() + 30
        await world.limiter.observed(PORTAL, an_observation(operating_s=400.0, operating_reset_at=reset_at))
        assert (await world.limiter.acquire(PORTAL, SLOW)).execution_left_s == pytest.approx(80)
        await world.pass_time(31)
        assert (await world.limiter.acquire(PORTAL, SLOW)).execution_left_s == pytest.approx(480)

    async def test_a_used_up_budget_grants_nothing_until_it_resets(self, world: World):
        """The permit says how long, and waiting so long is enough."""
        reset_at = await world.now() + 30
        await world.limiter.observed(PORTAL, an_observation(operating_s=480.0, operating_reset_at=reset_at))
        permit = await world.limiter.acquire(PORTAL, SLOW)
        assert not permit.granted
        assert permit.wait_s == pytest.approx(30, abs=0.5)
        await world.pass_time(permit.wait_s)
        assert (await world.limiter.acquire(PORTAL, SLOW)).granted

    async def test_replies_that_overtake_each_other_do_not_give_budget_back(self, world: World):
        """Of one window the largest figure counts, and a figure of an earlier window not at all."""
        reset_at = await world.now() + 300
        for used_s, at in ((300.0, reset_at), (200.0, reset_at), (100.0, reset_at - 60)):
            await world.limiter.observed(PORTAL, an_observation(operating_s=used_s, operating_reset_at=at))
        assert (await world.limiter.acquire(PORTAL, SLOW)).execution_left_s == pytest.approx(180)

    async def test_a_new_window_replaces_the_old_account(self, world: World):
        """When the oldest part has left, a smaller figure is the truth."""
        reset_at = await world.now() + 60
        await world.limiter.observed(PORTAL, an_observation(operating_s=470.0, operating_reset_at=reset_at))
        await world.limiter.observed(PORTAL, an_observation(operating_s=90.0, operating_reset_at=reset_at + 60))
        assert (await world.limiter.acquire(PORTAL, SLOW)).execution_left_s == pytest.approx(390)

    async def test_an_account_without_a_reset_is_believed_for_a_window(self, world: World):
        """A portal that says how much but not until when is believed for ten minutes."""
        await world.limiter.observed(PORTAL, an_observation(operating_s=400.0))
        await world.pass_time(599)
        assert (await world.limiter.acquire(PORTAL, SLOW)).execution_left_s == pytest.approx(80)
        await world.pass_time(2)
        assert (await world.limiter.acquire(PORTAL, SLOW)).execution_left_s == pytest.approx(480)

    async def test_spent_execution_time_waits_until_the_reset_that_is_known(self, world: World):
        """The answer's own reset comes first, then the last one seen, then a step of a minute."""
        assert await world.limiter.execution_spent("unknown", None) == pytest.approx(60, abs=0.5)
        assert await world.limiter.execution_spent("told", await world.now() + 90) == pytest.approx(90, abs=0.5)
        seen = an_observation(operating_s=100.0, operating_reset_at=await world.now() + 200)
        await world.limiter.observed(PORTAL, seen)
        assert await world.limiter.execution_spent(PORTAL, None) == pytest.approx(200, abs=0.5)
        permit = await world.limiter.acquire(PORTAL, SLOW)
        assert not permit.granted
        assert permit.execution_left_s == 0
        assert permit.wait_s == pytest.approx(200, abs=0.5)
        await world.pass_time(200.5)
        assert (await world.limiter.acquire(PORTAL, SLOW)).granted

    async def test_no_reset_keeps_a_portal_waiting_for_more_than_a_window(self, world: World):
        """A reset far in the future (a wrong clock over there) is cut to 600 s, one in the past is no reset."""
        assert await world.limiter.execution_spent(PORTAL, await world.now() + 86_400) == pytest.approx(600, abs=0.5)
        assert await world.limiter.execution_spent("other", await world.now() - 5) == pytest.approx(60, abs=0.5)

    # The time of one command

    async def test_the_time_of_a_command_is_unknown_before_the_first_answer(self, world: World):
        """An answer without pay commands teaches nothing about their time."""
        await world.limiter.observed(PORTAL, an_observation(commands=0, took_s=9.0))
        assert (await world.limiter.acquire(PORTAL, SLOW)).command_s is None

    async def test_a_slower_answer_counts_at_once_and_a_quicker_one_slowly(self, world: World):
        """The believed time is pessimistic: too large a batch is cut by the portal, too small a one only costs."""
        seen = []
        for took_s in (1.0, 5.0, 1.0, 1.0):
            await world.limiter.observed(PORTAL, an_observation(took_s=took_s))
            seen.append((await world.limiter.acquire(PORTAL, SLOW)).command_s)
        assert seen == pytest.approx([0.1, 0.5, 0.42, 0.356])
