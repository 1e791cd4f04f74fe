"""What every limiter keeps about execution time."""

import pytest

from limiter import account
from limiter.limiter import Permit
from tests.conformance.limiter.world import PORTAL, SLOW, World, an_observation


async def left_s(world: World) -> float | None:
    """What a request without commands is told about the budget; it reserves nothing."""
    return (await world.limiter.acquire(PORTAL, SLOW, commands=0)).execution_left_s


async def a_request(world: World, commands: int, command_s: float, used_s: float) -> None:
    """A request that was sent and answered within no time of the limiter's clock."""
    permit = await world.limiter.acquire(PORTAL, SLOW, commands=commands)
    seen = an_observation(
        commands=commands, took_s=commands * command_s, operating_s=used_s, reserved_s=permit.reserved_s
    )
    await world.limiter.observed(PORTAL, SLOW, seen)


class AccountSuite:
    """The budget of one (credential, method), and the pace at which it is spent."""

    async def test_an_unknown_budget_is_said_to_be_unknown(self, world: World):
        """A portal that never mentioned its account is neither limited nor called unlimited."""
        await world.limiter.observed(PORTAL, SLOW, an_observation())
        assert await left_s(world) is None

    async def test_a_portal_whose_account_always_reads_nothing_has_none(self, world: World):
        """Self-hosted portals and batches that are charged elsewhere read 0 for ever."""
        for _ in range(3):
            await world.limiter.observed(PORTAL, SLOW, an_observation(operating_s=0.0))
        assert await left_s(world) is None

    async def test_the_budget_is_what_the_portal_said(self, world: World):
        """Left is limit minus used."""
        await world.limiter.observed(PORTAL, SLOW, an_observation(operating_s=400.0))
        assert await left_s(world) == pytest.approx(80)

    async def test_what_was_spent_before_we_came_leaves_little_by_little(self, world: World):
        """The portal says when the oldest part leaves, not that all of it does."""
        reset_at = await world.now() + 300
        await world.limiter.observed(PORTAL, SLOW, an_observation(operating_s=401.0, operating_reset_at=reset_at))
        assert await left_s(world) == pytest.approx(79, abs=0.1)
        await world.pass_time(299)
        assert await left_s(world) == pytest.approx(79, abs=0.1)
        await world.pass_time(150)
        assert await left_s(world) == pytest.approx(280, abs=30)
        await world.pass_time(152)
        assert await left_s(world) == pytest.approx(480)

    async def test_what_is_in_flight_is_spent(self, world: World):
        """A permit reserves the believed cost of its commands; the answer replaces it by the true one."""
        await world.limiter.observed(PORTAL, SLOW, an_observation(operating_s=100.0))
        permit = await world.limiter.acquire(PORTAL, SLOW, commands=20)
        assert (permit.commands, permit.reserved_s) == (20, pytest.approx(2.0))
        assert await left_s(world) == pytest.approx(378)
        seen = an_observation(commands=20, took_s=4.0, operating_s=104.0, reserved_s=permit.reserved_s)
        await world.limiter.observed(PORTAL, SLOW, seen)
        assert await left_s(world) == pytest.approx(376)

    @pytest.mark.parametrize("made", [False, True])
    async def test_a_reservation_comes_back_with_its_permit(self, world: World, made: bool):
        """What was not sent, or was refused before it ran, has cost nothing."""
        await world.limiter.observed(PORTAL, SLOW, an_observation(operating_s=100.0))
        permit = await world.limiter.acquire(PORTAL, SLOW)
        await world.limiter.give_back(PORTAL, SLOW, reserved_s=permit.reserved_s, made=made)
        assert await left_s(world) == pytest.approx(380)

    async def test_what_was_not_answered_stays_spent(self, world: World):
        """The portal may have gone on without us."""
        await world.limiter.observed(PORTAL, SLOW, an_observation(operating_s=100.0))
        permit = await world.limiter.acquire(PORTAL, SLOW)
        await world.limiter.unanswered(PORTAL, permit.commands, 60.0)
        assert await left_s(world) == pytest.approx(380 - permit.reserved_s)

    async def test_the_last_request_carries_what_is_left(self, world: World):
        """A batch shrinks to the budget instead of running into the limit."""
        await world.limiter.observed(PORTAL, SLOW, an_observation(took_s=4.0, operating_s=474.0))
        permit = await world.limiter.acquire(PORTAL, SLOW)
        assert permit.granted
        assert permit.commands == 15
        assert permit.reserved_s == pytest.approx(6.0)

    async def test_a_used_up_budget_grants_nothing_until_something_leaves(self, world: World):
        """The permit says how long, and waiting so long is enough; requests that are not charged go on."""
        await world.limiter.observed(PORTAL, SLOW, an_observation(operating_s=480.0))
        permit = await world.limiter.acquire(PORTAL, SLOW)
        assert not permit.granted
        assert permit.wait_s == pytest.approx(600, abs=1)
        assert (await world.limiter.acquire(PORTAL, SLOW, commands=0)).granted
        await world.pass_time(permit.wait_s)
        assert (await world.limiter.acquire(PORTAL, SLOW)).granted

    async def test_most_of_the_budget_is_free_and_the_rest_is_spread_over_the_window(self, world: World):
        """A lane with little to do is done at once; one with much does not stand still for minutes at its end."""
        await world.limiter.observed(PORTAL, SLOW, an_observation(took_s=10.0, operating_s=10.0))
        at_once, permit = 10.0, Permit(granted=True, wait_s=0, command_s=1.0, execution_left_s=None)
        while permit.granted:
            permit = await world.limiter.acquire(PORTAL, SLOW)
            at_once += permit.reserved_s
        assert at_once == pytest.approx(account.FREE_SHARE * 480, abs=16)
        # 15 s of what is left, about 110 s in 600 s.
        assert permit.wait_s == pytest.approx(75, abs=10)

    @pytest.mark.parametrize("sent", [True, False])
    async def test_what_a_request_did_not_use_holds_nobody_up(self, world: World, sent: bool):
        """Where the budget is spent evenly, one payment delays the next by its own time and not by a full batch's."""
        await world.limiter.observed(PORTAL, SLOW, an_observation(took_s=3.0, operating_s=400.0))
        permit = await world.limiter.acquire(PORTAL, SLOW)
        assert permit.reserved_s == pytest.approx(40 * 0.3)
        assert (await world.limiter.acquire(PORTAL, SLOW)).wait_s == pytest.approx(90, abs=1)
        if sent:
            seen = an_observation(commands=1, took_s=0.3, operating_s=400.3, reserved_s=permit.reserved_s)
            await world.limiter.observed(PORTAL, SLOW, seen)
        else:
            await world.limiter.give_back(PORTAL, SLOW, reserved_s=permit.reserved_s)
        await world.pass_time(0.3 * 90 / 12 + 0.1 if sent else 0.1)
        permits = [await world.limiter.acquire(PORTAL, SLOW) for _ in range(2)]
        assert [each.granted for each in permits] == [True, False]

    async def test_replies_that_overtake_each_other_do_not_give_budget_back(self, world: World):
        """While another request is in flight, a smaller figure is an older one."""
        await world.limiter.observed(PORTAL, SLOW, an_observation(operating_s=300.0))
        await world.limiter.acquire(PORTAL, SLOW, commands=1)
        await world.limiter.observed(PORTAL, SLOW, an_observation(operating_s=200.0))
        left = await left_s(world)
        assert left is not None
        assert left <= 180

    async def test_a_figure_that_came_alone_is_exact(self, world: World):
        """With nothing else in flight the portal's smaller figure corrects ours."""
        await world.limiter.observed(PORTAL, SLOW, an_observation(operating_s=300.0))
        await world.pass_time(10)
        await world.limiter.observed(PORTAL, SLOW, an_observation(operating_s=200.0))
        assert await left_s(world) == pytest.approx(280)

    async def test_a_smaller_figure_counts_as_far_as_what_is_in_flight_does_not_explain_it(self, world: World):
        """A busy lane never has nothing under way, and what the portal has forgotten may be spent again."""
        await world.limiter.observed(PORTAL, SLOW, an_observation(operating_s=300.0))
        await world.pass_time(30)
        in_flight = await world.limiter.acquire(PORTAL, SLOW, commands=20)
        await world.pass_time(20)
        await world.limiter.observed(PORTAL, SLOW, an_observation(operating_s=200.0))
        assert await left_s(world) == pytest.approx(280 - in_flight.reserved_s)

    async def test_what_was_answered_meanwhile_may_be_missing_from_a_late_answer(self, world: World):
        """Its figure may be older than that of the quick one, which stays counted."""
        await world.limiter.observed(PORTAL, SLOW, an_observation(operating_s=300.0))
        await world.pass_time(30)
        await world.limiter.observed(PORTAL, SLOW, an_observation(took_s=1.0, operating_s=301.0))
        await world.limiter.observed(PORTAL, SLOW, an_observation(took_s=15.0, operating_s=200.0))
        assert await left_s(world) == pytest.approx(280 - 1.0, abs=0.1)

    async def test_what_others_spend_counts(self, world: World):
        """All webhooks of a portal share one account in batches: the portal's larger figure is believed."""
        await a_request(world, 5, 0.1, used_s=0.5)
        await a_request(world, 10, 0.1, used_s=201.5)
        assert await left_s(world) == pytest.approx(278.5, abs=0.1)

    async def test_spent_execution_time_waits_until_the_reset_that_is_known(self, world: World):
        """The answer's own reset comes first, then the last one seen, then a step of a minute."""
        assert await world.limiter.execution_spent("unknown", SLOW, None) == pytest.approx(60, abs=0.5)
        told_at = await world.now() + 90
        assert await world.limiter.execution_spent("told", SLOW, told_at) == pytest.approx(90, abs=0.5)
        seen = an_observation(operating_s=100.0, operating_reset_at=await world.now() + 200)
        await world.limiter.observed(PORTAL, SLOW, seen)
        assert await world.limiter.execution_spent(PORTAL, SLOW, None) == pytest.approx(200, abs=0.5)
        permit = await world.limiter.acquire(PORTAL, SLOW)
        assert not permit.granted
        assert permit.execution_left_s == 0
        assert permit.wait_s == pytest.approx(200, abs=0.5)
        await world.pass_time(200.5)
        assert (await world.limiter.acquire(PORTAL, SLOW)).granted

    async def test_no_reset_keeps_a_portal_waiting_for_more_than_a_window(self, world: World):
        """A reset far in the future (a wrong clock over there) is cut to 600 s, one in the past is no reset."""
        late_at, past_at = await world.now() + 86_400, await world.now() - 5
        assert await world.limiter.execution_spent(PORTAL, SLOW, late_at) == pytest.approx(600, abs=0.5)
        assert await world.limiter.execution_spent("other", SLOW, past_at) == pytest.approx(60, abs=0.5)

    async def test_a_portal_that_stops_us_early_is_believed_for_a_while(self, world: World):
        """The documentation says 480 s, the source 420 s: where it stops us is where the next window ends."""
        await world.limiter.observed(PORTAL, SLOW, an_observation(operating_s=420.0))
        await world.limiter.execution_spent(PORTAL, SLOW, None)
        assert (await world.limiter.pace(PORTAL, SLOW)).execution_limit_s == pytest.approx(420 * 0.98)
        await world.pass_time(account.LIMIT_KEEP_S)
        assert (await world.limiter.pace(PORTAL, SLOW)).execution_limit_s == 480

    async def test_accounts_of_one_portal_are_apart(self, world: World):
        """One method that is used up does not hold up another, and both share the request bucket."""
        await world.limiter.observed(
            PORTAL, SLOW, an_observation(operating_s=480.0), account="app/crm.item.payment.pay"
        )
        assert not (await world.limiter.acquire(PORTAL, SLOW, account="app/crm.item.payment.pay")).granted
        permits = [await world.limiter.acquire(PORTAL, SLOW) for _ in range(51)]
        assert sum(permit.granted for permit in permits) == SLOW.burst
