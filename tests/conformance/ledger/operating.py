"""What operators do: look, list, cancel, retry, hold, resume, add and remove."""

import pytest

from ledger.ledger import NOTHING, Accepted, Conflict, Joined, LaneNotEmpty, UnknownPortal
from ledger.payment import PortalKey, State
from ledger.verdict import Decision, InDoubt, Unpaid
from tests.conformance.ledger.world import (
    LEASE_S,
    LOST,
    PAID,
    PORTAL,
    REFUSED,
    RETENTION_S,
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


class Operating:
    """Claims about lanes, lists, cancel and retry."""

    async def test_a_lane_shows_its_counts_its_driver_and_when_it_is_due(self, world: World):
        """What the dashboard shows of a lane is one row."""
        await world.ledger.add_lane("idle")
        await accepted(world, "h1", "h2")
        busy, idle = await world.ledger.lanes()
        assert (busy.portal, busy.counts[State.QUEUED], busy.owner, busy.held) == (PORTAL, 2, None, None)
        assert busy.due_at is not None
        assert (idle.portal, set(idle.counts.values()), idle.due_at) == ("idle", {0}, None)
        await take_one(world, "driver-1")
        [busy] = await world.ledger.lanes([PORTAL])
        assert busy.owner == "driver-1"
        await world.pass_time(LEASE_S)
        [busy] = await world.ledger.lanes([PORTAL])
        assert busy.owner is None

    async def test_only_known_lanes_are_shown(self, world: World):
        """Names that are no lane have no row, and no names have no rows."""
        await world.ledger.add_lane("b")
        await world.ledger.add_lane("a")
        assert [lane.portal for lane in await world.ledger.lanes(["b", "nobody", "a"])] == ["a", "b"]
        assert await world.ledger.lanes([]) == []

    async def test_adding_a_lane_again_changes_nothing(self, world: World):
        """Its payments, and the reason it is held for, stay."""
        await accepted(world, "h1")
        await world.ledger.hold(PORTAL, "CODE", "text")
        before = await world.ledger.lanes()
        await world.ledger.add_lane(PORTAL)
        assert await world.ledger.lanes() == before

    async def test_a_lane_with_open_payments_is_not_removed(self, world: World):
        """Nothing accepted is lost by taking a portal away."""
        lease, payments = await claimed(world, "h1")
        with pytest.raises(LaneNotEmpty):
            await world.ledger.remove_lane(PORTAL)
        await settle(world, lease, payments, LOST)
        with pytest.raises(LaneNotEmpty):
            await world.ledger.remove_lane(PORTAL)

    async def test_finished_payments_outlive_their_lane(self, world: World):
        """A removed portal accepts nothing, its results stay readable, and it may come back."""
        [paid] = await ended(world, PAID)
        await world.ledger.remove_lane(PORTAL)
        assert await world.ledger.lanes() == []
        assert await open_one(world, "h2", invoice_id=2) == UnknownPortal(PortalKey(PORTAL))
        assert await found(world) == paid
        await world.ledger.add_lane(PORTAL)
        [lane] = await world.ledger.lanes()
        assert lane.counts[State.PAID] == 1
        await world.ledger.remove_lane("never-there")

    async def test_the_driver_of_a_removed_lane_does_not_bring_it_back(self, world: World):
        """Handing back a lane that is gone leaves it gone."""
        lease, payments = await claimed(world, "h1")
        await settle(world, lease, payments, PAID)
        await world.ledger.remove_lane(PORTAL)
        await world.ledger.release(lease, 0)
        assert await next_due_s(world) is None
        assert await world.ledger.renew([lease]) == [False]

    async def test_open_payments_are_listed_oldest_first(self, world: World):
        """Pages of queued payments follow the order in which they will be sent, without those withdrawn."""
        await accepted(world, "h1", "h2", "h3", "h4", "h5")
        await world.ledger.cancel("h2")
        pages = [await world.ledger.payments(PORTAL, State.QUEUED, offset, 2) for offset in (0, 2, 4)]
        assert [[payment.id for payment in page] for page in pages] == [["h1", "h3"], ["h4", "h5"], []]
        assert await world.ledger.payments(PORTAL, State.QUEUED, 0, 0) == []
        lease = await take_one(world)
        await settle(world, lease, (await world.ledger.claim(lease, 3)).payments[:1], LOST)
        for state, ids in ((State.SENDING, ["h3", "h4"]), (State.IN_DOUBT, ["h1"]), (State.QUEUED, ["h5"])):
            assert [payment.id for payment in await world.ledger.payments(PORTAL, state, 0, 10)] == ids

    async def test_finished_payments_are_listed_newest_first(self, world: World):
        """The latest result stands at the top."""
        paid = await ended(world, PAID, "h1", "h2", "h3")
        assert await world.ledger.payments(PORTAL, State.PAID, 0, 2) == [paid[2], paid[1]]
        await world.ledger.open([an_ask(f"f{n}", invoice_id=10 + n) for n in range(3)])
        lease = await take_one(world)
        failed = await settle(world, lease, (await world.ledger.claim(lease, 10)).payments, REFUSED)
        listed = await world.ledger.payments(PORTAL, State.FAILED, 1, 10)
        assert listed == [failed[1].payment, failed[0].payment]
        withdrawn = [await open_one(world, f"c{n}", invoice_id=20 + n) for n in range(2)]
        for n in range(len(withdrawn)):
            await world.ledger.cancel(f"c{n}")
        assert [payment.id for payment in await world.ledger.payments(PORTAL, State.CANCELLED, 0, 10)] == ["c1", "c0"]

    async def test_a_payment_that_must_be_read_first_is_listed_as_queued(self, world: World):
        """It waits like the others, though not to be sent."""
        await ended(world, PAID)
        await open_one(world, "h2", idempotency_key="again")
        await world.ledger.open([an_ask("h3", invoice_id=3)])
        listed = await world.ledger.payments(PORTAL, State.QUEUED, 0, 10)
        assert [payment.id for payment in listed] == ["h2", "h3"]
        [lane] = await world.ledger.lanes()
        assert lane.counts[State.QUEUED] == 2

    async def test_an_unknown_portal_has_no_payments(self, world: World):
        """A list of nothing is empty in every state."""
        assert [await world.ledger.payments("nobody", state, 0, 10) for state in State] == [[]] * len(State)

    async def test_only_a_queued_payment_can_be_cancelled(self, world: World):
        """What may have been sent, or has ended, stays as it is; cancelling twice changes nothing."""
        await accepted(world, "h1", "h2")
        lease = await take_one(world)
        await world.ledger.claim(lease, 1)
        sent = await world.ledger.cancel("h1")
        withdrawn = await world.ledger.cancel("h2")
        assert sent is not None
        assert withdrawn is not None
        assert (sent.state, withdrawn.state) == (State.SENDING, State.CANCELLED)
        assert await world.ledger.cancel("h2") == withdrawn
        assert await world.ledger.cancel("nobody") is None

    async def test_a_failed_payment_is_queued_again_with_all_its_attempts(self, world: World):
        """An operator's retry starts over, under the same id and the same names."""
        await world.ledger.add_lane(PORTAL)
        await open_one(world, idempotency_key="k")
        await open_one(world, "h2", idempotency_key="k2")
        lease = await take_one(world)
        await settle(world, lease, (await world.ledger.claim(lease, 1)).payments, REFUSED)
        await world.ledger.release(lease, 0)
        payment = await world.ledger.retry("h2")
        assert payment is not None
        assert (payment.id, payment.state, payment.attempts) == ("h1", State.QUEUED, 0)
        assert (payment.error, payment.finished_at) == (None, None)
        assert await is_due(world)
        await world.pass_time(RETENTION_S * 2)
        assert isinstance(await open_one(world, "h3", idempotency_key="k2"), Joined)
        lease = await take_one(world)
        await settle(world, lease, await world.ledger.doubts(lease, 1), Unpaid())
        [settled] = await settle(world, lease, (await world.ledger.claim(lease, 1)).payments, PAID)
        assert set(settled.handles) == {"h1", "h2", "h3"}

    async def test_a_retried_payment_that_was_sent_is_read_before_it_is_sent(self, world: World):
        """Its last call may have paid after all: found paid, it is no duplicate, for nobody else has paid it."""
        await ended(world, REFUSED, "h1", "h2")
        for handle in ("h1", "h2"):
            payment = await world.ledger.retry(handle)
            assert payment is not None
            assert (payment.state, payment.after) == (State.QUEUED, None)
        lease = await take_one(world)
        assert (await world.ledger.claim(lease, 10)).payments == ()
        paid, unpaid = await world.ledger.doubts(lease, 10)
        await world.ledger.settle(lease, [Decision(paid, PAID), Decision(unpaid, Unpaid())])
        assert [payment.id for payment in (await world.ledger.claim(lease, 10)).payments] == [unpaid.id]
        payment = await found(world, paid.id)
        assert (payment.state, payment.duplicate, payment.attempts) == (State.PAID, False, 0)

    async def test_a_payment_that_came_after_a_paid_one_names_it(self, world: World):
        """Until it was read: so a reader can tell it from a retry, which also is read first."""
        await ended(world, PAID)
        await open_one(world, "h2", idempotency_key="again")
        lease = await take_one(world)
        [due] = await world.ledger.doubts(lease, 10)
        assert due.after == "h1"
        await settle(world, lease, [due], Unpaid())
        [payment] = (await world.ledger.claim(lease, 10)).payments
        assert (payment.id, payment.after) == ("h2", None)

    async def test_a_retry_repeated_changes_nothing(self, world: World):
        """The second finds a queued payment and leaves it where it is."""
        await ended(world, REFUSED)
        assert await world.ledger.retry("h1") == await world.ledger.retry("h1")
        [lane] = await world.ledger.lanes()
        assert (lane.counts[State.QUEUED], lane.counts[State.FAILED]) == (1, 0)
        lease = await take_one(world)
        assert len(await world.ledger.doubts(lease, 10)) == 1

    async def test_nothing_is_retried_beside_another_payment_of_the_invoice(self, world: World):
        """While another payment is open or paid the failed one stays failed; after that one failed it may go."""
        await ended(world, REFUSED)
        await open_one(world, "h2")
        assert (await world.ledger.retry("h1")).state is State.FAILED  # type: ignore[union-attr]  # it is known
        lease = await take_one(world)
        await settle(world, lease, (await world.ledger.claim(lease, 1)).payments, REFUSED)
        assert (await world.ledger.retry("h1")).state is State.QUEUED  # type: ignore[union-attr]  # it is known
        assert (await world.ledger.retry("h2")).state is State.FAILED  # type: ignore[union-attr]  # it is known
        assert await open_one(world, "h3", pay_system_id=32) == Conflict((await found(world)).id, "invoice")

    async def test_only_a_failed_payment_is_retried(self, world: World):
        """Paid, open and unknown ones are left alone, and so is a failed one whose lane is gone."""
        await ended(world, PAID)
        assert await world.ledger.retry("h1") == await found(world)
        assert await world.ledger.retry("nobody") is None
        await world.ledger.open([an_ask("h2", invoice_id=2)])
        lease = await take_one(world)
        [settled] = await settle(world, lease, (await world.ledger.claim(lease, 1)).payments, REFUSED)
        await world.ledger.remove_lane(PORTAL)
        assert await world.ledger.retry("h2") == settled.payment

    async def test_a_held_lane_is_not_driven(self, world: World):
        """Payments are accepted and wait; the first reason is the one a person reads."""
        await accepted(world, "h1")
        assert await world.ledger.hold(PORTAL, "REVOKED", "ask the owner")
        assert await world.ledger.hold(PORTAL, "SECOND", "later")
        assert isinstance(await open_one(world, "h2", invoice_id=2), Accepted)
        [lane] = await world.ledger.lanes()
        assert lane.held is not None
        assert (lane.held.code, lane.held.text, lane.due_at) == ("REVOKED", "ask the owner", None)
        assert await next_due_s(world) is None
        assert not await world.ledger.hold("nobody", "CODE", "text")

    async def test_a_resumed_lane_goes_on_at_once(self, world: World):
        """With everything that waited, and without the pause it had."""
        await accepted(world, "h1")
        await world.ledger.release(await take_one(world), 1000)
        await world.ledger.hold(PORTAL, "REVOKED", "ask the owner")
        assert await world.ledger.resume(PORTAL)
        assert await is_due(world)
        assert not await world.ledger.resume(PORTAL)
        assert not await world.ledger.resume("nobody")

    async def test_a_resumed_lane_without_work_is_not_due(self, world: World):
        """There is nothing to drive."""
        await world.ledger.add_lane(PORTAL)
        await world.ledger.hold(PORTAL, "CODE", "text")
        await world.ledger.resume(PORTAL)
        assert await next_due_s(world) is None

    async def test_the_driver_of_a_held_lane_settles_but_claims_no_more(self, world: World):
        """What is in flight lands; then the lane rests until it is resumed."""
        await accepted(world, "h1", "h2")
        lease = await take_one(world)
        payments = (await world.ledger.claim(lease, 1)).payments
        await world.ledger.hold(PORTAL, "REVOKED", "ask the owner")
        claim = await world.ledger.claim(lease, 10)
        assert (claim.payments, claim.backlog) == ((), NOTHING)
        await settle(world, lease, payments, InDoubt(0))
        assert await world.ledger.doubts(lease, 10) == []
        await world.ledger.release(lease, 0)
        assert await next_due_s(world) is None
        await world.ledger.resume(PORTAL)
        assert await is_due(world)

    async def test_a_held_lane_whose_driver_died_is_still_recovered(self, world: World):
        """Holding a lane does not hide what was sent."""
        lease, _ = await claimed(world, "h1")
        await world.ledger.hold(PORTAL, "REVOKED", "ask the owner")
        await world.pass_time(LEASE_S)
        lease = await take_one(world, "next")
        assert await world.ledger.recover(lease) == 1
        await world.ledger.release(lease, 0)
        assert await next_due_s(world) is None
        assert await state_of(world) is State.IN_DOUBT
