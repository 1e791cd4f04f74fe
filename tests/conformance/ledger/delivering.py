"""The results that are owed, how long they are remembered, and who is woken for new work."""

from dataclasses import replace

from ledger.ledger import Accepted, Joined
from ledger.payment import Handle, State
from ledger.verdict import Unpaid
from tests.conformance.ledger.world import (
    PAID,
    PORTAL,
    REFUSED,
    RETENTION_S,
    World,
    accepted,
    an_ask,
    ended,
    open_one,
    settle,
    state_of,
    take_one,
)


class Delivering:
    """Claims about results that are owed, about retention, and about the wake-up."""

    async def test_every_handle_of_a_final_payment_is_owed_its_result(self, world: World):
        """A result stays in the outbox until it is confirmed, oldest first."""
        await accepted(world, "h1")
        await open_one(world, "h2")
        lease = await take_one(world)
        await settle(world, lease, (await world.ledger.claim(lease, 1)).payments, PAID)
        await world.pass_time(5)
        owed = await world.ledger.undelivered(10, 5)
        assert [(entry.handle, entry.payment.id) for entry in owed] == [("h1", "h1"), ("h2", "h1")]
        assert await world.ledger.undelivered(1, 0) == owed[:1]
        assert await world.ledger.undelivered(10, 6) == []
        await world.ledger.delivered([owed[0], owed[0], replace(owed[0], handle=Handle("unknown"))])
        assert await world.ledger.undelivered(10, 0) == owed[1:]
        await world.ledger.delivered([])

    async def test_cancelled_and_failed_payments_are_owed_too(self, world: World):
        """A producer that waits hears of every end."""
        await accepted(world, "h1", "h2")
        await world.ledger.cancel("h1")
        lease = await take_one(world)
        await settle(world, lease, (await world.ledger.claim(lease, 1)).payments, REFUSED)
        assert {entry.payment.state for entry in await world.ledger.undelivered(10, 0)} == {
            State.CANCELLED,
            State.FAILED,
        }

    async def test_a_request_for_something_final_is_owed_its_result(self, world: World):
        """The handle that came late gets the result as the duplicate it is."""
        await ended(world, PAID)
        await world.ledger.delivered(await world.ledger.undelivered(10, 0))
        await open_one(world, "h2")
        [owed] = await world.ledger.undelivered(10, 0)
        assert (owed.handle, owed.payment.id, owed.payment.duplicate) == ("h2", "h1", True)

    async def test_a_retried_payment_is_owed_nothing_until_it_ends_again(self, world: World):
        """Its old failure is not delivered over its new result."""
        await ended(world, REFUSED)
        await world.ledger.retry("h1")
        assert await world.ledger.undelivered(10, 0) == []

    async def test_an_old_result_that_comes_late_confirms_nothing(self, world: World):
        """Whoever delivered the failure was slow: the result of the retry is still owed, and its own is confirmed."""
        await ended(world, REFUSED)
        late = await world.ledger.undelivered(10, 0)
        await world.ledger.retry("h1")
        await world.ledger.delivered(late)
        lease = await take_one(world)
        [settled] = await settle(world, lease, await world.ledger.doubts(lease, 10), PAID)
        await world.ledger.delivered(late)
        [owed] = await world.ledger.undelivered(10, 0)
        assert owed.payment == settled.payment
        await world.ledger.delivered([owed])
        assert await world.ledger.undelivered(10, 0) == []

    async def test_a_second_failure_is_not_confirmed_by_the_first(self, world: World):
        """It may have another reason; what tells them apart is when they ended."""
        await ended(world, REFUSED)
        late = await world.ledger.undelivered(10, 0)
        await world.ledger.retry("h1")
        await world.pass_time(1)
        lease = await take_one(world)
        await settle(world, lease, await world.ledger.doubts(lease, 10), REFUSED)
        await world.ledger.delivered(late)
        assert len(await world.ledger.undelivered(10, 0)) == 1

    async def test_finished_payments_are_forgotten_after_the_retention(self, world: World):
        """With all their names, counts and results; a request is then a new payment."""
        await world.ledger.add_lane(PORTAL)
        await open_one(world, idempotency_key="k")
        await open_one(world, "h2")
        lease = await take_one(world)
        await settle(world, lease, (await world.ledger.claim(lease, 1)).payments, PAID)
        await world.ledger.release(lease, 0)
        await world.pass_time(RETENTION_S - 1)
        assert await state_of(world, "h2") is State.PAID
        await world.pass_time(2)
        assert await world.ledger.find(["h1", "h2"]) == [None, None]
        assert await world.ledger.find_invoice(PORTAL, 1) is None
        assert await world.ledger.undelivered(10, 0) == []
        assert await world.ledger.payments(PORTAL, State.PAID, 0, 10) == []
        [lane] = await world.ledger.lanes()
        assert set(lane.counts.values()) == {0}
        assert isinstance(await open_one(world, "h3", idempotency_key="k", invoice_id=2), Accepted)

    async def test_a_name_that_is_used_again_does_not_stand_in_for_a_forgotten_payment(self, world: World):
        """An index entry may outlive its record; another payment under that name is none of this invoice."""
        await ended(world, PAID, "h1", "h2")
        await open_one(world, "h3", invoice_id=3)
        await world.pass_time(RETENTION_S + 1)
        assert isinstance(await open_one(world, "h1", invoice_id=4), Accepted)
        assert await world.ledger.find_invoice(PORTAL, 1) is None
        assert isinstance(await open_one(world, "h5"), Accepted)

    async def test_an_open_payment_is_never_forgotten(self, world: World):
        """Nor are its names, although neighbours in the index came and went."""
        await ended(world, PAID, "h1", "h2")
        await open_one(world, "h3", invoice_id=3, idempotency_key="k")
        await open_one(world, "h4", invoice_id=3)
        await world.pass_time(RETENTION_S * 2)
        assert await state_of(world, "h4") is State.QUEUED
        assert isinstance(await open_one(world, "h5", invoice_id=3, idempotency_key="k"), Joined)
        latest = await world.ledger.find_invoice(PORTAL, 3)
        assert latest is not None
        assert latest.id == "h3"

    async def test_counts_forget_only_what_has_expired(self, world: World):
        """Of payments that ended at different times the older leave first, in every final state."""
        for n, verdict in enumerate((PAID, REFUSED)):
            await world.ledger.add_lane(PORTAL)
            await world.ledger.open([an_ask(f"a{n}", invoice_id=10 + n), an_ask(f"c{n}", invoice_id=20 + n)])
            await world.ledger.cancel(f"c{n}")
            lease = await take_one(world)
            await settle(world, lease, (await world.ledger.claim(lease, 1)).payments, verdict)
            await world.ledger.release(lease, 0)
            await world.pass_time(RETENTION_S / 2 + 1)
        [lane] = await world.ledger.lanes()
        assert (lane.counts[State.PAID], lane.counts[State.FAILED], lane.counts[State.CANCELLED]) == (0, 1, 1)

    async def test_a_lane_that_becomes_due_wakes_who_waits(self, world: World):
        """Nobody has to poll: the wait ends long before its timeout."""
        await world.ledger.add_lane(PORTAL)
        await world.ledger.wait_for_work(0.01)
        await accepted(world, "h1")
        await world.ledger.wait_for_work(3600)

    async def test_a_wait_without_work_ends(self, world: World):
        """The timeout is the answer where nothing comes in."""
        await world.ledger.wait_for_work(0.01)
        await world.ledger.wait_for_work(0.01)
        await world.ledger.wait_for_work(0)

    async def test_an_unpaid_read_first_payment_waits_behind_the_others(self, world: World):
        """It enters the queue where a new payment would."""
        await ended(world, PAID)
        await open_one(world, "h2", idempotency_key="again")
        await world.ledger.open([an_ask("h3", invoice_id=3)])
        lease = await take_one(world)
        await settle(world, lease, await world.ledger.doubts(lease, 10), Unpaid())
        assert [payment.id for payment in (await world.ledger.claim(lease, 10)).payments] == ["h3", "h2"]
