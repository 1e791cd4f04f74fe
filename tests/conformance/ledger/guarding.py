"""After the server was another one, or the ledger was emptied: what a lost history may have sent is read first."""

import pytest

from ledger.ledger import LeaseLost, Ledger, StillQuiet
from ledger.payment import Refusal, State
from ledger.verdict import Decision, InDoubt, Requeue, Unpaid
from tests.conformance.ledger.world import (
    LEASE_S,
    PAID,
    PORTAL,
    QUIET_S,
    World,
    accepted,
    an_ask,
    claimed,
    ended,
    found,
    is_due,
    next_due_s,
    open_one,
    settle,
    state_of,
    take_one,
)

DAY_S = 86_400.0


async def sent(ledger: Ledger, limit: int = 10) -> list[str]:
    """What a driver that takes a due lane may send now."""
    leases, _ = await ledger.take("driver", 10)
    claims = [await ledger.claim(lease, limit) for lease in leases]
    for lease in leases:
        await ledger.release(lease, 0)
    return [payment.id for claim in claims for payment in claim.payments]


class Guarding:
    """Claims about the epoch guard of `take` and `claim`."""

    async def test_a_first_server_guards_against_nothing(self, world: World):
        """A new ledger has no history that could be lost."""
        await accepted(world, "h1")
        assert await sent(world.ledger) == ["h1"]

    async def test_a_queued_payment_is_in_doubt_after_the_server_was_another_one(self, world: World):
        """A history that was lost may have sent it. No attempt is counted, and "unpaid" waits for the quiet time."""
        await accepted(world, "h1", "h2")
        assert await is_due(world)
        await world.restart_server()
        lease = await take_one(world)
        claim = await world.ledger.claim(lease, 10)
        assert (claim.payments, claim.backlog.waiting) == ((), 0)
        payment = await found(world)
        assert (payment.state, payment.attempts, payment.claim, payment.sent_at) == (State.IN_DOUBT, 0, "", None)
        await world.ledger.release(lease, 0)
        assert await next_due_s(world) == QUIET_S
        [lane] = await world.ledger.lanes()
        assert (lane.counts[State.QUEUED], lane.counts[State.IN_DOUBT]) == (0, 2)

    async def test_read_as_unpaid_after_the_quiet_time_it_is_sent_once(self, world: World):
        """One read is enough for one epoch; paid ones end without a send."""
        await accepted(world, "h1", "h2", "h3")
        assert await is_due(world)
        await world.restart_server()
        assert await sent(world.ledger) == []
        await world.pass_time(QUIET_S)
        lease = await take_one(world)
        due = await world.ledger.doubts(lease, 10)
        assert [payment.id for payment in due] == ["h1", "h2", "h3"]
        await world.ledger.settle(lease, [Decision(due[0], PAID), *(Decision(row, Unpaid()) for row in due[1:])])
        assert [payment.id for payment in (await world.ledger.claim(lease, 10)).payments] == ["h2", "h3"]
        assert (await found(world)).state is State.PAID
        assert (await found(world)).duplicate is False

    async def test_each_other_server_is_an_epoch_of_its_own(self, world: World):
        """What was read in one epoch may have been sent in the next and forgotten again."""
        await accepted(world, "h1")
        assert await is_due(world)
        for _ in range(2):
            await world.restart_server()
            assert await sent(world.ledger) == []
            await world.pass_time(QUIET_S)
            lease = await take_one(world)
            await settle(world, lease, await world.ledger.doubts(lease, 10), Unpaid())
            await world.ledger.release(lease, 0)
        assert await sent(world.ledger) == ["h1"]

    async def test_a_request_that_comes_soon_after_is_guarded_too(self, world: World):
        """A producer whose accepted request was lost on Friday asks again on Monday, and the lost one may have paid."""
        await world.ledger.add_lane(PORTAL)
        await world.ledger.take("driver", 1)
        await world.restart_server()
        await world.ledger.take("driver", 1)
        await world.pass_time(4 * DAY_S - 1)
        await accepted(world, "h1")
        assert await sent(world.ledger) == []
        assert await state_of(world) is State.IN_DOUBT
        assert await next_due_s(world) == 0  # whatever the lost history sent has ended long ago
        await world.pass_time(1)
        await world.ledger.open([an_ask("h2", invoice_id=2)])
        assert await sent(world.ledger) == ["h2"]

    async def test_a_doubt_from_before_waits_for_what_the_lost_history_may_have_sent(self, world: World):
        """Its own quiet time says nothing about a later call that is forgotten; nor does the end it was to have."""
        await accepted(world, "h1", "h2")
        lease = await take_one(world)
        first, second = (await world.ledger.claim(lease, 10)).payments
        refusal = InDoubt(0, Refusal("CODE", "text"))
        await world.ledger.settle(lease, [Decision(first, InDoubt(0)), Decision(second, refusal)])
        await world.ledger.release(lease, 0)
        await world.restart_server()
        lease = await take_one(world)
        settled = await settle(world, lease, await world.ledger.doubts(lease, 10), Unpaid())
        assert {entry.payment.state for entry in settled} == {State.IN_DOUBT}
        await world.pass_time(QUIET_S)
        await world.ledger.renew([lease])
        settled = await settle(world, lease, await world.ledger.doubts(lease, 10), Unpaid())
        assert [entry.payment.state for entry in settled] == [State.QUEUED, State.FAILED]
        assert [payment.id for payment in (await world.ledger.claim(lease, 10)).payments] == ["h1"]

    async def test_what_was_in_sending_is_quiet_from_the_change_on(self, world: World):
        """A lost history may have claimed it again since."""
        await claimed(world, "h1")
        await world.pass_time(LEASE_S)
        await world.restart_server()
        lease = await take_one(world)
        assert await world.ledger.recover(lease) == 1
        await world.pass_time(QUIET_S - LEASE_S)
        await world.ledger.renew([lease])
        [settled] = await settle(world, lease, await world.ledger.doubts(lease, 10), Unpaid())
        assert settled.payment.state is State.IN_DOUBT
        await world.pass_time(LEASE_S)
        await world.ledger.renew([lease])
        [settled] = await settle(world, lease, await world.ledger.doubts(lease, 10), Unpaid())
        assert settled.payment.state is State.QUEUED

    async def test_what_was_certainly_not_executed_is_read_all_the_same(self, world: World):
        """The answer speaks of the claim that is known, not of one that was lost."""
        lease, payments = await claimed(world, "h1")
        await world.restart_server()
        await settle(world, lease, payments, Requeue())
        await world.ledger.release(lease, 0)
        assert await sent(world.ledger) == []
        assert await state_of(world) is State.IN_DOUBT

    @pytest.mark.parametrize("first", ["claim", "doubts", "renew"])
    async def test_a_lease_that_outlived_the_server_begins_nothing(self, world: World, first: str):
        """Whichever step notices, the lane is to be taken anew; what was in flight is still settled."""
        lease, payments = await claimed(world, "h1")
        await world.restart_server()
        if first == "claim":
            with pytest.raises(LeaseLost):
                await world.ledger.claim(lease, 1)
        elif first == "doubts":
            with pytest.raises(LeaseLost):
                await world.ledger.doubts(lease, 1)
        assert await world.ledger.renew([lease]) == [False]
        [settled] = await settle(world, lease, payments, PAID)
        assert settled.payment.state is State.PAID

    async def test_what_a_rollback_left_in_sending_is_recovered_although_its_driver_lives(self, world: World):
        """The driver had settled it and knows nothing of it any more: its lease ends, and the next one looks."""
        lease, _ = await claimed(world, "h1")
        await world.restart_server()
        for _ in range(3):
            await world.pass_time(LEASE_S / 3)
            await world.ledger.renew([lease])
        lease = await take_one(world)
        assert await world.ledger.recover(lease) == 1
        assert await state_of(world) is State.IN_DOUBT

    async def test_a_withdrawal_after_a_rollback_is_none(self, world: World):
        """What the lost history may have sent was not withdrawn "before anything was sent": it is read."""
        await accepted(world, "h1", "h2")
        assert await is_due(world)
        await world.restart_server()
        payment = await world.ledger.cancel("h1")
        assert payment == await found(world)
        assert (payment.state, payment.attempts) == (State.IN_DOUBT, 0)
        assert await world.ledger.cancel("h1") == payment
        lease = await take_one(world)
        assert [row.id for row in await world.ledger.payments(PORTAL, State.QUEUED, 0, 10)] == ["h2"]
        await world.pass_time(QUIET_S)
        lease = await take_one(world)
        await settle(world, lease, await world.ledger.doubts(lease, 10), Unpaid())
        withdrawn = await world.ledger.cancel("h1")
        assert withdrawn is not None
        assert withdrawn.state is State.CANCELLED

    async def test_what_was_to_be_read_first_is_not_withdrawn_after_a_rollback_either(self, world: World):
        """The lost history may have read and sent it; unpaid it is sent, and its counts are exact."""
        await ended(world, PAID)
        await open_one(world, "h2", idempotency_key="again")
        await world.restart_server()
        await world.ledger.cancel("h2")
        assert await state_of(world, "h2") is State.IN_DOUBT
        await world.pass_time(QUIET_S)
        lease = await take_one(world)
        await settle(world, lease, await world.ledger.doubts(lease, 10), Unpaid())
        claim = await world.ledger.claim(lease, 10)
        assert ([(row.id, row.after) for row in claim.payments], claim.backlog.waiting) == ([("h2", None)], 0)

    async def test_nobody_calls_unpaid_what_the_lost_history_may_have_sent_last(self, world: World):
        """A person's word may be the first step after a restart; its call may be running for a quiet time yet."""
        await ended(world, InDoubt(0))
        await world.restart_server()
        with pytest.raises(StillQuiet):
            await world.ledger.decide("h1", paid=False, because="not there")
        await world.pass_time(QUIET_S)
        payment = await world.ledger.decide("h1", paid=False, because="not there")
        assert payment is not None
        assert payment.state is State.FAILED

    async def test_a_retry_of_what_was_perhaps_sent_is_read_first(self, world: World):
        """Nothing on its record says that it was sent; that it was in doubt for a lost history says enough."""
        await accepted(world, "h1")
        assert await is_due(world)
        await world.restart_server()
        assert await sent(world.ledger) == []
        await world.pass_time(QUIET_S)
        await world.ledger.decide("h1", paid=False, because="not there")
        await world.ledger.retry("h1")
        lease = await take_one(world)
        assert (await world.ledger.claim(lease, 1)).payments == ()
        await settle(world, lease, await world.ledger.doubts(lease, 1), Unpaid())
        assert [payment.id for payment in (await world.ledger.claim(lease, 1)).payments] == ["h1"]

    async def test_a_server_whose_clock_is_far_behind_is_guarded_against_all_the_same(self, world: World):
        """An old machine: what seems to be accepted in the future was accepted in a history that may be lost."""
        await accepted(world, "h1")
        await take_one(world)
        await world.pass_time(-30 * DAY_S)
        await world.restart_server()
        await world.ledger.take("driver", 0)
        await world.forget_lease(PORTAL)
        assert await sent(world.another()) == []
        assert await state_of(world) is State.IN_DOUBT

    async def test_fences_of_the_lost_history_are_not_given_again(self, world: World):
        """Its drivers may still be alive, and settle under numbers that the ledger has forgotten."""
        await accepted(world, "h1")
        before = await take_one(world)
        await world.pass_time(LEASE_S)
        await world.restart_server()
        assert (await take_one(world)).fence > before.fence + 1_000_000

    async def test_a_ledger_that_was_emptied_under_a_worker_is_guarded(self, world: World):
        """The worker remembers another ledger: what it paid there may be asked for again."""
        await accepted(world, "h1")
        assert await sent(world.ledger) == ["h1"]
        await world.empty()
        await accepted(world, "h1")
        assert await sent(world.ledger) == []
        assert await state_of(world) is State.IN_DOUBT

    async def test_a_worker_that_comes_late_to_an_emptied_ledger_guards_it_once(self, world: World):
        """A new worker could not know that the ledger had been emptied; each lost ledger is guarded against once."""
        old = world.another()
        for ledger in (world.ledger, old):
            await ledger.take("driver", 1)
        await world.empty()
        await accepted(world, "h1", "h2")
        assert await sent(world.another(), limit=1) == ["h1"]
        assert await sent(old) == []
        await world.pass_time(QUIET_S)
        [lease], _ = await old.take("driver", 1)
        await settle(world, lease, await old.doubts(lease, 10), Unpaid())
        await old.release(lease, 0)
        assert await sent(world.ledger) == ["h2"]
        assert await sent(world.another()) == []
