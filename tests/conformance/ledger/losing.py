"""A record that is gone, evicted or deleted by somebody, stops nobody else's payment."""

import pytest

from ledger.ledger import Backlog, Lease
from ledger.payment import State
from ledger.verdict import Decision, InDoubt
from tests.conformance.ledger.world import (
    LOST,
    PAID,
    PORTAL,
    QUIET_S,
    World,
    accepted,
    claimed,
    die_twice,
    ended,
    next_due_s,
    open_one,
    settle,
    state_of,
    take_one,
)


async def counts(world: World) -> dict[State, int]:
    """How many open payments the lane believes to have."""
    [lane] = await world.ledger.lanes()
    return {state: lane.counts[state] for state in (State.QUEUED, State.SENDING, State.IN_DOUBT)}


async def nothing_left(world: World, lease: Lease) -> None:
    """The lane is at rest, and a driver has nothing to come back for."""
    await world.ledger.release(lease, 0)
    assert set((await counts(world)).values()) == {0}
    assert await next_due_s(world) is None
    await world.ledger.remove_lane(PORTAL)


class Losing:
    """Claims about lanes that name a payment whose record is gone."""

    async def test_one_that_was_being_sent_is_struck_off_at_the_recovery(self, world: World):
        """The others that the dead driver left are in doubt as ever."""
        lease, _ = await claimed(world, "h1", "h2")
        await world.ledger.release(lease, 0)
        await world.lose_record("h1")
        lease = await take_one(world)
        assert await world.ledger.recover(lease) == 1
        assert await counts(world) == {State.QUEUED: 0, State.SENDING: 0, State.IN_DOUBT: 1}
        assert await state_of(world, "h2") is State.IN_DOUBT
        await world.pass_time(QUIET_S)
        await world.ledger.renew([lease])
        await settle(world, lease, await world.ledger.doubts(lease, 10), PAID)
        await nothing_left(world, lease)

    async def test_one_in_doubt_is_struck_off_when_it_is_to_be_read(self, world: World):
        """The others are given out, and may end."""
        lease, payments = await claimed(world, "h1", "h2", "h3")
        verdicts = [InDoubt(0), InDoubt(0), LOST]
        await world.ledger.settle(lease, [Decision(*pair) for pair in zip(payments, verdicts, strict=True)])
        await world.lose_record("h1")
        due = await world.ledger.doubts(lease, 10)
        assert [payment.id for payment in due] == ["h2"]
        assert await counts(world) == {State.QUEUED: 0, State.SENDING: 0, State.IN_DOUBT: 2}
        await settle(world, lease, due, PAID)
        await world.pass_time(QUIET_S)
        await world.ledger.renew([lease])
        await settle(world, lease, await world.ledger.doubts(lease, 10), PAID)
        await nothing_left(world, lease)

    async def test_one_that_was_to_be_read_first_is_struck_off_too(self, world: World):
        """It counted as queued, though not as waiting to be sent."""
        await ended(world, PAID)
        await open_one(world, "h2", idempotency_key="again")
        await open_one(world, "h3", invoice_id=3)
        await world.lose_record("h2")
        lease = await take_one(world)
        assert await world.ledger.doubts(lease, 10) == []
        assert await counts(world) == {State.QUEUED: 1, State.SENDING: 0, State.IN_DOUBT: 0}
        claim = await world.ledger.claim(lease, 10)
        assert ([payment.id for payment in claim.payments], claim.backlog.waiting) == (["h3"], 0)
        await settle(world, lease, claim.payments, PAID)
        await nothing_left(world, lease)

    @pytest.mark.parametrize("limit", [1, 10])
    async def test_one_that_was_queued_is_stepped_over(self, world: World, limit: int):
        """And no longer counts as waiting, or its lane would be due without end."""
        await accepted(world, "h1", "h2")
        await world.lose_record("h1")
        lease = await take_one(world)
        claim = await world.ledger.claim(lease, limit)
        assert ([payment.id for payment in claim.payments], claim.backlog.waiting) == (["h2"], 0)
        assert await counts(world) == {State.QUEUED: 0, State.SENDING: 1, State.IN_DOUBT: 0}
        await settle(world, lease, claim.payments, PAID)
        await nothing_left(world, lease)

    async def test_a_suspect_is_stepped_over(self, world: World):
        """A claim for it finds nothing, and then there is none."""
        await accepted(world, "h1")
        await die_twice(world)
        await world.lose_record("h1")
        lease = await take_one(world)
        claim = await world.ledger.claim(lease, 1, suspect=True)
        assert (claim.payments, claim.backlog) == ((), Backlog(0, 0))
        await nothing_left(world, lease)

    async def test_the_own_claim_of_a_driver_is_left_out_of_its_answers(self, world: World):
        """Whoever had claimed it settles the others; the next driver strikes it off."""
        lease, payments = await claimed(world, "h1", "h2")
        await world.lose_record("h1")
        settled = await settle(world, lease, payments, PAID)
        assert [entry.payment.id for entry in settled] == ["h2"]
        await world.ledger.release(lease, 0)
        lease = await take_one(world)
        assert await world.ledger.recover(lease) == 0
        await nothing_left(world, lease)
