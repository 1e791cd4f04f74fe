"""What becomes of a request: accepted, joined, known as paid, or refused with nothing written."""

import asyncio
from dataclasses import replace

import pytest

from ledger.ledger import Accepted, AlreadyPaid, Conflict, Joined, UnknownPortal
from ledger.payment import Evidence, PaymentId, PortalKey, Refusal, State
from ledger.verdict import Decision, InDoubt, Unpaid
from tests.conformance.ledger.world import (
    MAX_ATTEMPTS,
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

BIG_INVOICE = 2**53 - 1


async def unpaid_out_of_a_doubt(world: World, end: str) -> None:
    """A payment of invoice 1 that was sent and has ended in this way, in a lane that nobody drives."""
    await accepted(world, "h1")
    for _ in range({"no answer": MAX_ATTEMPTS, "deaths": 3}.get(end, 1)):
        lease = await take_one(world)
        payments = (await world.ledger.claim(lease, 1)).payments or (
            await world.ledger.claim(lease, 1, suspect=True)
        ).payments
        if end == "deaths":
            await world.pass_time(QUIET_S)
            lease = await take_one(world)
            await world.ledger.recover(lease)
        else:
            refusal = Refusal("CODE", "text") if end == "a doubt" else None
            await settle(world, lease, payments, InDoubt(0, refusal))
        if end == "a person":
            await world.ledger.decide("h1", paid=False, because="looked at another invoice")
        else:
            await settle(world, lease, await world.ledger.doubts(lease, 1), Unpaid())
        if end == "withdrawn":
            await world.ledger.cancel("h1")
        await world.ledger.release(lease, 0)


class Opening:
    """Claims about `open`, `find` and `find_invoice`."""

    async def test_an_accepted_payment_is_queued_with_all_its_content(self, world: World):
        """What was asked for can be read again by the handle and by the invoice."""
        await world.ledger.add_lane(PORTAL)
        answer = await open_one(world, bx_rest_handler="till", pay_system_id=None, idempotency_key="k", invoice_id=7)
        assert isinstance(answer, Accepted)
        payment = answer.payment
        assert (payment.id, payment.state, payment.invoice_id) == ("h1", State.QUEUED, 7)
        assert (payment.pay_system_id, payment.bx_rest_handler, payment.idempotency_key) == (None, "till", "k")
        assert (payment.attempts, payment.deaths, payment.claim, payment.duplicate) == (0, 0, "", False)
        assert await found(world) == payment == await world.ledger.find_invoice(PORTAL, 7)

    async def test_the_largest_invoice_number_is_kept_exactly(self, world: World):
        """2**53-1 and its neighbour are two invoices."""
        await world.ledger.add_lane(PORTAL)
        await world.ledger.open([an_ask("big", invoice_id=BIG_INVOICE), an_ask("near", invoice_id=BIG_INVOICE - 1)])
        for handle, invoice_id in (("big", BIG_INVOICE), ("near", BIG_INVOICE - 1)):
            payment = await world.ledger.find_invoice(PORTAL, invoice_id)
            assert payment is not None
            assert (payment.id, payment.invoice_id) == (handle, invoice_id)

    async def test_an_unknown_portal_is_refused_and_nothing_is_written(self, world: World):
        """Without a lane nobody would ever drive the payment."""
        assert await open_one(world) == UnknownPortal(PortalKey(PORTAL))
        assert await world.ledger.find(["h1"]) == [None]

    async def test_the_same_handle_again_joins_itself(self, world: World):
        """A redelivered message is the payment it was."""
        [payment] = await accepted(world, "h1")
        assert await open_one(world) == Joined(payment)

    async def test_the_same_handle_with_other_content_is_a_conflict(self, world: World):
        """A producer that uses a task id twice must not be told that the second invoice is being paid."""
        await accepted(world, "h1")
        assert await open_one(world, invoice_id=2) == Conflict(PaymentId("h1"), "handle")
        assert await world.ledger.find_invoice(PORTAL, 2) is None

    async def test_an_open_invoice_is_joined_by_the_same_content(self, world: World):
        """A second request for an open payment gets that payment under its own handle, and is no duplicate."""
        [payment] = await accepted(world, "h1")
        assert await open_one(world, "h2") == Joined(replace(payment, history="j0:H"))
        assert await found(world, "h2") == replace(payment, history="j0:H")

    async def test_an_open_invoice_is_not_paid_in_another_way_as_well(self, world: World):
        """Another pay system or handler for an open invoice is refused, naming the payment in the way."""
        await accepted(world, "h1")
        for changes in ({"pay_system_id": 32}, {"bx_rest_handler": "till"}):
            assert await open_one(world, "h2", **changes) == Conflict(PaymentId("h1"), "invoice")
        assert await world.ledger.find(["h2"]) == [None]

    async def test_a_payment_in_doubt_is_joined_like_any_open_one(self, world: World):
        """Nothing is sent for an invoice while it is not known whether it was paid."""
        lease, payments = await claimed(world, "h1")
        assert isinstance(await open_one(world, "h2"), Joined)
        await world.ledger.release(lease, 0)
        await world.ledger.recover(await take_one(world))
        assert await state_of(world) is State.IN_DOUBT
        assert isinstance(await open_one(world, "h3"), Joined)
        assert [payment.id for payment in payments] == ["h1"]

    async def test_a_known_key_joins_its_payment_whatever_became_of_it(self, world: World):
        """A repeated request is answered with the same payment, be it open, failed or paid."""
        await world.ledger.add_lane(PORTAL)
        await open_one(world, idempotency_key="k")
        assert isinstance(await open_one(world, "h2", idempotency_key="k"), Joined)
        lease = await take_one(world)
        [payment] = (await world.ledger.claim(lease, 1)).payments
        [failed] = await settle(world, lease, [payment], REFUSED)
        assert await open_one(world, "h3", idempotency_key="k") == Joined(failed.payment)
        assert set(failed.handles) == {"h1", "h2"}

    async def test_a_known_key_with_other_content_is_a_conflict(self, world: World):
        """A key names one content for ever, in every portal."""
        await world.ledger.add_lane(PORTAL)
        await world.ledger.add_lane("other")
        await open_one(world, idempotency_key="k")
        for changes in ({"invoice_id": 2}, {"pay_system_id": 32}, {"portal": PortalKey("other")}):
            assert await open_one(world, "h2", idempotency_key="k", **changes) == Conflict(PaymentId("h1"), "key")

    async def test_a_new_key_that_joins_an_open_payment_is_remembered(self, world: World):
        """The joined key answers later requests and refuses other content."""
        await accepted(world, "h1")
        assert isinstance(await open_one(world, "h2", idempotency_key="k"), Joined)
        assert await open_one(world, "h3", idempotency_key="k", invoice_id=9) == Conflict(PaymentId("h1"), "key")

    async def test_requests_of_one_call_see_each_other(self, world: World):
        """The second request for an invoice in one call joins the first; each has its own answer in order."""
        await world.ledger.add_lane(PORTAL)
        answers = await world.ledger.open(
            [an_ask("h1"), an_ask("h2"), an_ask("h3", pay_system_id=32), an_ask("h4", invoice_id=2)]
        )
        assert [type(answer) for answer in answers] == [Accepted, Joined, Conflict, Accepted]

    async def test_a_paid_invoice_answers_at_once(self, world: World):
        """A request without a key gets the earlier result as a duplicate, under its own handle, whatever it asks."""
        await ended(world, PAID)
        answer = await open_one(world, "h2", pay_system_id=32)
        assert isinstance(answer, AlreadyPaid)
        assert (answer.payment.id, answer.payment.duplicate) == ("h1", True)
        assert (await found(world, "h2")).duplicate
        assert not (await found(world, "h1")).duplicate
        assert await open_one(world, "h2", pay_system_id=32) == answer

    async def test_a_new_key_on_a_paid_invoice_is_read_before_anything_is_sent(self, world: World):
        """It is a payment of its own that no claim gives out, and its read-back is due at once."""
        await ended(world, PAID)
        answer = await open_one(world, "h2", idempotency_key="again")
        assert isinstance(answer, Accepted)
        assert answer.payment.after == "h1"
        assert await found(world, "h2") == answer.payment
        assert await is_due(world)
        lease = await take_one(world)
        claim = await world.ledger.claim(lease, 10)
        assert (claim.payments, claim.backlog.waiting) == ((), 0)
        assert [payment.id for payment in await world.ledger.doubts(lease, 10)] == ["h2"]

    async def test_read_as_still_paid_it_is_a_duplicate(self, world: World):
        """Nothing was sent, and the result says so."""
        await ended(world, PAID)
        await open_one(world, "h2", idempotency_key="again")
        lease = await take_one(world)
        [settled] = await settle(world, lease, await world.ledger.doubts(lease, 10), PAID)
        assert (settled.payment.id, settled.payment.state, settled.payment.duplicate) == ("h2", State.PAID, True)
        assert (settled.payment.attempts, settled.payment.evidence) == (0, Evidence.READ_BACK)

    async def test_read_as_unpaid_it_is_paid_like_any_other(self, world: World):
        """Somebody set the invoice back to unpaid: the payment is claimed and its result is no duplicate."""
        await ended(world, PAID)
        await open_one(world, "h2", idempotency_key="again")
        lease = await take_one(world)
        await settle(world, lease, await world.ledger.doubts(lease, 10), Unpaid())
        [payment] = (await world.ledger.claim(lease, 10)).payments
        [settled] = await settle(world, lease, [payment], PAID)
        assert (settled.payment.id, settled.payment.attempts, settled.payment.duplicate) == ("h2", 1, False)

    async def test_withdrawing_an_unread_payment_does_not_forget_that_the_invoice_is_paid(self, world: World):
        """After a cancelled or failed payment that was never read as unpaid, the earlier result still answers."""
        await ended(world, PAID)
        await open_one(world, "h2", idempotency_key="again")
        await world.ledger.cancel("h2")
        assert isinstance(await open_one(world, "h3"), AlreadyPaid)
        await open_one(world, "h4", idempotency_key="and again")
        lease = await take_one(world)
        await settle(world, lease, await world.ledger.doubts(lease, 10), REFUSED)
        assert await state_of(world, "h4") is State.FAILED
        assert isinstance(await open_one(world, "h5"), AlreadyPaid)

    async def test_after_a_failed_or_cancelled_payment_a_request_is_a_new_one(self, world: World):
        """What ended without a payment does not stand in the way."""
        await ended(world, REFUSED)
        assert isinstance(await open_one(world, "h2"), Accepted)
        await world.ledger.cancel("h2")
        assert isinstance(await open_one(world, "h3"), Accepted)
        latest = await world.ledger.find_invoice(PORTAL, 1)
        assert latest is not None
        assert latest.id == "h3"

    @pytest.mark.parametrize("end", ["a person", "a doubt", "no answer", "deaths", "withdrawn"])
    async def test_a_request_after_an_end_that_came_out_of_a_doubt_is_read_first(self, world: World, end: str):
        """Its call may have paid after all, whoever said otherwise; found paid, it is no duplicate."""
        await unpaid_out_of_a_doubt(world, end)
        assert await state_of(world, "h1") in {State.FAILED, State.CANCELLED}
        assert isinstance(await open_one(world, "h2"), Accepted)
        lease = await take_one(world)
        assert (await world.ledger.claim(lease, 10)).payments == ()
        [due] = await world.ledger.doubts(lease, 10)
        assert (due.id, due.state, due.after) == ("h2", State.QUEUED, None)
        [settled] = await settle(world, lease, [due], PAID)
        assert (settled.payment.state, settled.payment.duplicate) == (State.PAID, False)

    async def test_an_unread_request_does_not_forget_why_it_was_to_be_read(self, world: World):
        """Withdrawn before it was read, it leaves the next one to be read; once read as unpaid none is."""
        await unpaid_out_of_a_doubt(world, "a person")
        await open_one(world, "h2")
        await world.ledger.cancel("h2")
        await open_one(world, "h3")
        lease = await take_one(world)
        assert (await world.ledger.claim(lease, 10)).payments == ()
        await settle(world, lease, await world.ledger.doubts(lease, 10), Unpaid())
        await settle(world, lease, (await world.ledger.claim(lease, 10)).payments, REFUSED)
        await open_one(world, "h4")
        assert [payment.id for payment in (await world.ledger.claim(lease, 10)).payments] == ["h4"]

    async def test_a_thousand_requests_at_once_make_one_payment(self, world: World):
        """However many ask together for one invoice, one is accepted and all others join it."""
        await world.ledger.add_lane(PORTAL)
        answers = await asyncio.gather(*(open_one(world, f"h{n}") for n in range(1000)))
        assert sum(isinstance(answer, Accepted) for answer in answers) == 1
        assert sum(isinstance(answer, Joined) for answer in answers) == 999
        lease = await take_one(world)
        [payment] = (await world.ledger.claim(lease, 100)).payments
        [settled] = await settle(world, lease, [payment], PAID)
        assert set(settled.handles) == {f"h{n}" for n in range(1000)}

    async def test_a_large_call_is_answered_in_order(self, world: World):
        """Each of a thousand requests has its own answer at its own place."""
        await world.ledger.add_lane(PORTAL)
        asks = [an_ask(f"h{n}", invoice_id=n) for n in range(1, 1001)]
        answers = await world.ledger.open(asks)
        assert [answer.payment.id for answer in answers if isinstance(answer, Accepted)] == [ask.id for ask in asks]

    async def test_one_call_for_several_lanes_fills_each_in_order(self, world: World):
        """Whatever lies between them in the call, and whoever is refused."""
        for portal in ("acme", "globex"):
            await world.ledger.add_lane(portal)
        asks = [an_ask(f"h{n}", portal=("acme", "globex", "nobody")[n % 3], invoice_id=n) for n in range(1, 31)]
        answers = await world.ledger.open([*asks, an_ask("again", portal="acme", invoice_id=3)])
        assert [isinstance(answer, UnknownPortal) for answer in answers[:30]] == [n % 3 == 2 for n in range(1, 31)]
        assert isinstance(answers[30], Joined)
        for lane, first in zip(await world.ledger.lanes(), (3, 1), strict=True):
            waiting = await world.ledger.payments(lane.portal, State.QUEUED, 0, 100)
            assert [payment.invoice_id for payment in waiting] == list(range(first, 31, 3))
            assert lane.counts[State.QUEUED] == 10

    async def test_names_keep_every_character(self, world: World):
        """Quotes, backslashes and letters of any script come back as they were asked for."""
        await world.ledger.add_lane(PORTAL)
        odd = 'a"\\\\/ü ж漢😀 \u2028'
        assert isinstance(answer := await open_one(world, odd, bx_rest_handler=odd, idempotency_key=odd), Accepted)
        assert (answer.payment.id, answer.payment.bx_rest_handler, answer.payment.idempotency_key) == (odd, odd, odd)
        assert await found(world, odd) == answer.payment

    async def test_no_requests_and_no_handles_are_no_work(self, world: World):
        """Empty calls have empty answers."""
        assert await world.ledger.open([]) == []
        assert await world.ledger.find([]) == []

    async def test_opening_makes_the_lane_due(self, world: World):
        """A payment that was accepted needs no second message to be driven."""
        await world.ledger.add_lane(PORTAL)
        assert await next_due_s(world) is None
        await accepted(world, "h1")
        assert await is_due(world)

    async def test_an_ask_for_an_unreadable_invoice_keeps_its_read_error(self, world: World):
        """A payment that must be read first stays queued while nobody can read, with the reason on its row."""
        await ended(world, PAID)
        await open_one(world, "h2", idempotency_key="again")
        lease = await take_one(world)
        [due] = await world.ledger.doubts(lease, 10)
        await world.ledger.settle(lease, [Decision(due, UNREADABLE)])
        payment = await found(world, "h2")
        assert (payment.state, payment.last_read_error) == (State.QUEUED, UNREADABLE.error)
        assert await world.ledger.doubts(lease, 10) == []
        await world.pass_time(UNREADABLE.retry_s)
        assert [due.id for due in await world.ledger.doubts(lease, 10)] == ["h2"]
