"""What people do about payments in doubt, and lanes that were forgotten."""

import pytest

from ledger.ledger import AlreadyPaid, StillQuiet
from ledger.payment import Evidence, Handle, PortalKey, State
from ledger.verdict import InDoubt, Unpaid
from tests.conformance.ledger.world import (
    LEASE_S,
    LOST,
    PAID,
    PORTAL,
    QUIET_S,
    REFUSED,
    UNREADABLE,
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


class Deciding:
    """Claims about `decide`, `read_again` and `sweep`."""

    async def test_a_person_ends_a_doubt_as_paid(self, world: World):
        """At once, with the reason on record; every handle is owed the result, and the invoice is known as paid."""
        await ended(world, LOST)
        await open_one(world, "h2")
        payment = await world.ledger.decide("h2", paid=True, because="seen in the portal")
        assert payment is not None
        assert (payment.id, payment.state, payment.evidence) == ("h1", State.PAID, Evidence.OPERATOR)
        assert (payment.because, payment.error, payment.quiet_until) == ("seen in the portal", None, None)
        assert payment.paid_at == payment.finished_at is not None
        assert payment == await found(world)
        assert [owed.handle for owed in await world.ledger.undelivered(10, 0)] == [Handle("h1"), Handle("h2")]
        assert isinstance(await open_one(world, "h3"), AlreadyPaid)
        [lane] = await world.ledger.lanes()
        assert (lane.counts[State.IN_DOUBT], lane.counts[State.PAID]) == (0, 1)

    async def test_a_person_ends_a_doubt_as_unpaid_after_its_quiet_time(self, world: World):
        """Before it the call may still be running, and the refusal says until when."""
        await ended(world, LOST)
        before = await found(world)
        with pytest.raises(StillQuiet) as refused:
            await world.ledger.decide("h1", paid=False, because="not there")
        assert refused.value.until == before.quiet_until
        assert await found(world) == before
        await world.pass_time(QUIET_S)
        payment = await world.ledger.decide("h1", paid=False, because="not there")
        assert payment is not None
        assert payment.error is not None
        assert (payment.state, payment.error.code, payment.error.text) == (State.FAILED, "RESOLVED_UNPAID", "not there")
        assert payment.because == "not there"

    async def test_nobody_decides_on_anything_but_a_doubt(self, world: World):
        """What is queued or being sent is not in question, and what has ended stays; unknown ones are unknown."""
        [row] = await accepted(world, "h1")
        assert await world.ledger.decide("h1", paid=True, because="x") == row
        lease = await take_one(world)
        [row] = (await world.ledger.claim(lease, 1)).payments
        assert await world.ledger.decide("h1", paid=False, because="x") == row
        [settled] = await settle(world, lease, [row], REFUSED)
        assert await world.ledger.decide("h1", paid=True, because="x") == settled.payment
        assert await world.ledger.decide("nobody", paid=True, because="x") is None

    async def test_deciding_twice_changes_nothing(self, world: World):
        """The first word stands, and so does its reason."""
        await ended(world, InDoubt(0))
        first = await world.ledger.decide("h1", paid=False, because="first")
        assert await world.ledger.decide("h1", paid=True, because="second") == first

    async def test_a_reading_that_comes_after_the_decision_is_left_out(self, world: World):
        """The driver hears that it was too late and delivers nothing."""
        lease, payments = await claimed(world, "h1")
        await settle(world, lease, payments, InDoubt(0))
        due = await world.ledger.doubts(lease, 1)
        payment = await world.ledger.decide("h1", paid=False, because="not there")
        for verdict in (PAID, UNREADABLE):
            assert await settle(world, lease, due, verdict) == []
        assert await found(world) == payment

    async def test_a_long_reason_is_cut(self, world: World):
        """A person's text is bounded like a portal's."""
        await ended(world, LOST)
        payment = await world.ledger.decide("h1", paid=True, because="ы" * 10_000)
        assert payment is not None
        assert payment.because == "ы" * 500

    async def test_what_a_person_resolved_as_unpaid_may_be_retried(self, world: World):
        """It is read first, and nothing of the decision stays."""
        await ended(world, InDoubt(0))
        await world.ledger.decide("h1", paid=False, because="not there")
        payment = await world.ledger.retry("h1")
        assert payment is not None
        assert (payment.state, payment.because, payment.error) == (State.QUEUED, None, None)
        lease = await take_one(world)
        [settled] = await settle(world, lease, await world.ledger.doubts(lease, 1), PAID)
        assert (settled.payment.evidence, settled.payment.because) == (Evidence.READ_BACK, None)

    async def test_a_doubt_is_read_again_when_a_person_wants_it(self, world: World):
        """Now instead of later, by whoever drives the lane."""
        lease, payments = await claimed(world, "h1")
        await settle(world, lease, payments, InDoubt(0))
        await settle(world, lease, await world.ledger.doubts(lease, 1), UNREADABLE)
        await world.ledger.release(lease, 0)
        assert await next_due_s(world) == UNREADABLE.retry_s
        assert await world.ledger.read_again(["h1", "nobody"]) == [await found(world), None]
        assert await is_due(world)
        assert len(await world.ledger.doubts(await take_one(world), 1)) == 1
        assert await world.ledger.read_again([]) == []

    async def test_reading_again_keeps_a_held_lane_held(self, world: World):
        """It is read when the lane is resumed."""
        await ended(world, LOST)
        await world.ledger.hold(PORTAL, "REVOKED", "ask the owner")
        await world.ledger.read_again(["h1"])
        assert await next_due_s(world) is None
        await world.ledger.resume(PORTAL)
        assert await is_due(world)

    async def test_reading_again_does_not_make_an_unpaid_count(self, world: World):
        """The quiet time stays what it was."""
        await ended(world, LOST)
        await world.ledger.read_again(["h1"])
        lease = await take_one(world)
        [settled] = await settle(world, lease, await world.ledger.doubts(lease, 1), Unpaid())
        assert settled.payment.state is State.IN_DOUBT

    async def test_only_what_waits_for_a_read_is_read_again(self, world: World):
        """Other payments stay where they are."""
        await accepted(world, "h1")
        lease = await take_one(world)
        assert await world.ledger.read_again(["h1"]) == [await found(world)]
        assert await world.ledger.doubts(lease, 1) == []

    async def test_a_forgotten_lane_with_work_is_found(self, world: World):
        """Whatever took it out of the due-set; a sweep that finds everything in order changes nothing."""
        await accepted(world, "h1")
        assert await world.ledger.sweep() == []
        await world.lose_due(PORTAL)
        assert await next_due_s(world) is None
        assert await world.ledger.sweep() == [PORTAL]
        assert await is_due(world)

    async def test_a_forgotten_doubt_is_found(self, world: World):
        """Its lane is due when it is to be read."""
        await ended(world, LOST)
        due_s = await next_due_s(world)
        await world.lose_due(PORTAL)
        assert await world.ledger.sweep() == [PORTAL]
        assert await next_due_s(world) == due_s

    async def test_the_forgotten_lane_of_a_dead_driver_is_found(self, world: World):
        """Once its lease has run out; before that the driver hands it back itself."""
        await claimed(world, "h1")
        await world.lose_due(PORTAL)
        assert await world.ledger.sweep() == []
        await world.pass_time(LEASE_S)
        assert await world.ledger.sweep() == [PORTAL]
        assert await world.ledger.recover(await take_one(world)) == 1

    async def test_a_clock_that_was_set_back_delays_the_lane_of_a_dead_driver_by_a_lease_at_the_most(
        self, world: World
    ):
        """Its lease ends in a time that is gone; from the sweep on it ends a lease later."""
        await claimed(world, "h1")
        await world.pass_time(-3600)
        assert await world.ledger.sweep() == []
        assert await next_due_s(world) == LEASE_S
        await world.pass_time(LEASE_S)
        assert await world.ledger.recover(await take_one(world, "another")) == 1

    async def test_a_sweep_does_not_shorten_a_lease_that_can_be_right(self, world: World):
        """Taken or renewed just now it holds, and its driver goes on."""
        await accepted(world, "h1")
        lease = await take_one(world)
        await world.pass_time(1)
        await world.ledger.renew([lease])
        await world.ledger.sweep()
        await world.pass_time(LEASE_S - 1)
        assert len((await world.ledger.claim(lease, 1)).payments) == 1

    async def test_work_does_not_wait_for_a_clock_that_was_set_back(self, world: World):
        """Without a pause it is due at once; a pause is kept."""
        await accepted(world, "h1")
        await world.pass_time(-3600)
        assert await next_due_s(world) == 3600
        await world.ledger.sweep()
        await world.ledger.release(await take_one(world), 30)
        await world.ledger.sweep()
        assert await next_due_s(world) == 30

    async def test_a_sweep_leaves_held_and_empty_lanes_alone(self, world: World):
        """They are not forgotten; they wait for a person, or for work."""
        await world.ledger.add_lane("idle")
        await accepted(world, "h1")
        await world.ledger.hold(PORTAL, "REVOKED", "ask the owner")
        assert await world.ledger.sweep() == []
        assert await state_of(world) is State.QUEUED

    async def test_sweeps_of_all_processes_pass_every_lane(self, world: World):
        """However few lanes one sweep looks at, some sweeps together look at all of them."""
        portals = [f"portal-{n:03}" for n in range(150)]  # more than the server keeps in one piece
        for portal in portals:
            await world.ledger.add_lane(portal)
        await world.ledger.open([an_ask(f"h-{portal}", portal=PortalKey(portal)) for portal in portals])
        for portal in portals:
            await world.lose_due(portal)
        repaired: list[str] = []
        for n in range(40):
            ledger = world.ledger if n % 2 else world.another()
            repaired += await ledger.sweep(limit=20)
        assert sorted(repaired) == portals
