"""What verdicts make of payments, and which decisions come too late."""

from datetime import UTC, datetime

import pytest

from ledger.ledger import Lease
from ledger.payment import Evidence, Payment, Refusal, State
from ledger.verdict import Decision, Failed, InDoubt, Paid, Requeue, Unpaid, Verdict
from tests.conformance.ledger.world import (
    LOST,
    MAX_ATTEMPTS,
    PAID,
    PORTAL,
    QUIET_S,
    REFUSED,
    UNREADABLE,
    World,
    accepted,
    claimed,
    found,
    settle,
    state_of,
    take_one,
)

SUSPECT = Refusal("PAPER", "the portal said true, and the invoice is unpaid")


async def in_doubt(world: World, verdict: InDoubt = LOST) -> tuple[Lease, Payment]:
    """A lease and its payment in doubt whose read-back is due."""
    lease, payments = await claimed(world, "h1")
    await settle(world, lease, payments, verdict)
    await world.pass_time(3)
    [due] = await world.ledger.doubts(lease, 10)
    return lease, due


class Settling:
    """Claims about `settle` and `doubts`."""

    async def test_paid_keeps_its_evidence_and_the_portals_moment(self, world: World):
        """What the portal says of when it was paid is the answer; the ledger's clock only where it says nothing."""
        moment = datetime(2026, 11, 24, 1, 2, 3, tzinfo=UTC)
        lease, payments = await claimed(world, "h1", "h2")
        verdicts: list[Verdict] = [Paid(Evidence.READ_BACK, moment), Paid(Evidence.RESPONSE)]
        first, second = await world.ledger.settle(
            lease, [Decision(payment, verdict) for payment, verdict in zip(payments, verdicts, strict=True)]
        )
        assert (first.payment.evidence, first.payment.paid_at) == (Evidence.READ_BACK, moment)
        assert second.payment.evidence is Evidence.RESPONSE
        assert second.payment.paid_at == second.payment.finished_at == first.payment.finished_at

    async def test_failed_keeps_code_and_text(self, world: World):
        """The producer reads the portal's own words."""
        lease, payments = await claimed(world, "h1")
        [settled] = await settle(world, lease, payments, REFUSED)
        assert (settled.payment.state, settled.payment.error) == (State.FAILED, REFUSED.error)
        assert settled.handles == ("h1",)
        assert await found(world) == settled.payment

    async def test_a_portals_endless_text_is_cut(self, world: World):
        """An error page does not fill the ledger."""
        lease, payments = await claimed(world, "h1")
        [settled] = await settle(world, lease, payments, Failed(Refusal("X" * 1000, "ы" * 100_000)))
        assert settled.payment.error == Refusal("X" * 100, "ы" * 500)

    async def test_requeued_payments_are_first_again_in_their_old_order(self, world: World):
        """What was certainly not executed overtakes nothing and is overtaken by nothing; its attempt is given back."""
        await accepted(world, "h1", "h2", "h3")
        lease = await take_one(world)
        payments = (await world.ledger.claim(lease, 2)).payments
        settled = await settle(world, lease, payments, Requeue())
        assert [(entry.payment.attempts, entry.handles) for entry in settled] == [(0, ()), (0, ())]
        claim = await world.ledger.claim(lease, 10)
        assert [payment.id for payment in claim.payments] == ["h1", "h2", "h3"]

    async def test_a_spent_attempt_stays_spent(self, world: World):
        """An attempt that reached the portal counts although it was not executed."""
        lease, payments = await claimed(world, "h1")
        [settled] = await settle(world, lease, payments, Requeue(spent=True))
        assert (settled.payment.state, settled.payment.attempts) == (State.QUEUED, 1)

    async def test_a_doubt_is_read_soon_and_its_unpaid_counts_after_the_quiet_time(self, world: World):
        """Before that the portal may still be at work on the call we lost."""
        lease, due = await in_doubt(world)
        [settled] = await settle(world, lease, [due], Unpaid())
        assert settled.payment.state is State.IN_DOUBT
        assert await world.ledger.doubts(lease, 10) == []
        await world.pass_time(QUIET_S)
        await world.ledger.renew([lease])
        [settled] = await settle(world, lease, await world.ledger.doubts(lease, 10), Unpaid())
        assert (settled.payment.state, settled.payment.attempts, settled.handles) == (State.QUEUED, 1, ())
        assert [payment.id for payment in (await world.ledger.claim(lease, 10)).payments] == ["h1"]

    async def test_an_unpaid_that_was_read_before_the_quiet_time_ended_never_counts(self, world: World):
        """What matters is when the portal was asked, not when its answer is written down."""
        lease, due = await in_doubt(world)
        await world.pass_time(QUIET_S)
        [settled] = await settle(world, lease, [due], Unpaid())
        assert settled.payment.state is State.IN_DOUBT

    async def test_a_paid_counts_at_once(self, world: World):
        """A proof needs no quiet time."""
        lease, due = await in_doubt(world)
        [settled] = await settle(world, lease, [due], PAID)
        assert (settled.payment.state, settled.payment.duplicate, settled.handles) == (State.PAID, False, ("h1",))

    async def test_a_doubt_that_the_portal_has_finished_with_is_read_at_once(self, world: World):
        """Without a quiet time the first read-back decides, and an unpaid leads to the recorded end."""
        lease, payments = await claimed(world, "h1")
        [settled] = await settle(world, lease, payments, InDoubt(0, SUSPECT))
        assert settled.payment.error == SUSPECT
        [due] = await world.ledger.doubts(lease, 10)
        [settled] = await settle(world, lease, [due], Unpaid())
        assert (settled.payment.state, settled.payment.error) == (State.FAILED, SUSPECT)

    async def test_an_unreadable_doubt_stays_and_keeps_the_reason(self, world: World):
        """It is read again later; an answer clears the reason."""
        lease, due = await in_doubt(world)
        [settled] = await settle(world, lease, [due], UNREADABLE)
        assert (settled.payment.state, settled.payment.last_read_error) == (State.IN_DOUBT, UNREADABLE.error)
        assert await world.ledger.doubts(lease, 10) == []
        await world.pass_time(UNREADABLE.retry_s)
        [settled] = await settle(world, lease, await world.ledger.doubts(lease, 10), Unpaid())
        assert settled.payment.last_read_error is None

    async def test_a_payment_without_an_answer_is_sent_so_often_and_no_oftener(self, world: World):
        """After the last attempt an unpaid doubt fails by our own code."""
        await accepted(world, "h1")
        lease = await take_one(world)
        for attempt in range(1, MAX_ATTEMPTS + 1):
            [payment] = (await world.ledger.claim(lease, 1)).payments
            assert payment.attempts == attempt
            await settle(world, lease, [payment], InDoubt(0))
            [settled] = await settle(world, lease, await world.ledger.doubts(lease, 1), Unpaid())
        assert settled.payment.state is State.FAILED
        assert settled.payment.error is not None
        assert settled.payment.error.code == "NO_ANSWER"
        assert (await world.ledger.claim(lease, 1)).payments == ()

    async def test_a_new_attempt_remembers_nothing_of_the_doubt_before(self, world: World):
        """Quiet time and reasons belong to one claim."""
        lease, payments = await claimed(world, "h1")
        await settle(world, lease, payments, InDoubt(0))
        await settle(world, lease, await world.ledger.doubts(lease, 1), Unpaid())
        [payment] = (await world.ledger.claim(lease, 1)).payments
        assert (payment.quiet_until, payment.error, payment.last_read_error) == (None, None, None)

    @pytest.mark.parametrize("verdict", [PAID, REFUSED, Requeue(), LOST, InDoubt(0, SUSPECT)])
    async def test_an_answer_settled_twice_says_the_same_and_changes_nothing(self, world: World, verdict: Verdict):
        """A settle whose reply was lost is repeated: same rows, same handles to deliver to."""
        lease, payments = await claimed(world, "h1", "h2")
        first = await settle(world, lease, payments, verdict)
        lanes = await world.ledger.lanes()
        assert await settle(world, lease, payments, verdict) == first
        assert await world.ledger.lanes() == lanes

    @pytest.mark.parametrize("verdict", [PAID, REFUSED, Unpaid(), UNREADABLE])
    @pytest.mark.parametrize("doubt", [LOST, InDoubt(0), InDoubt(0, SUSPECT)])
    async def test_a_read_settled_twice_says_the_same_and_changes_nothing(
        self, world: World, doubt: InDoubt, verdict: Verdict
    ):
        """The same holds for what a read-back decided."""
        lease, due = await in_doubt(world, doubt)
        first = await settle(world, lease, [due], verdict)
        lanes = await world.ledger.lanes()
        assert await settle(world, lease, [due], verdict) == first
        assert await world.ledger.lanes() == lanes

    async def test_a_decision_on_an_older_claim_is_left_out(self, world: World):
        """An answer to the first attempt says nothing about the second."""
        lease, [first] = await claimed(world, "h1")
        await settle(world, lease, [first], Requeue())
        await world.ledger.claim(lease, 1)
        for verdict in (PAID, REFUSED, Requeue(), LOST):
            assert await settle(world, lease, [first], verdict) == []
        assert await state_of(world) is State.SENDING

    async def test_verdicts_that_do_not_fit_the_state_are_left_out(self, world: World):
        """A read-back decides nothing about a payment in sending, an answer nothing about a doubt."""
        lease, [sent] = await claimed(world, "h1")
        for verdict in (Unpaid(), UNREADABLE):
            assert await settle(world, lease, [sent], verdict) == []
        await settle(world, lease, [sent], InDoubt(0))
        [due] = await world.ledger.doubts(lease, 1)
        for verdict in (Requeue(), LOST):
            assert await settle(world, lease, [due], verdict) == []
        assert await state_of(world) is State.IN_DOUBT

    async def test_a_queued_payment_is_decided_on_by_nobody(self, world: World):
        """Unless it has to be read first, nothing can be known about it."""
        [payment] = await accepted(world, "h1")
        lease = await take_one(world)
        for verdict in (PAID, REFUSED, Requeue(), LOST, UNREADABLE):
            assert await settle(world, lease, [payment], verdict) == []
        assert await state_of(world) is State.QUEUED

    async def test_a_later_verdict_does_not_change_a_final_one(self, world: World):
        """Paid stays paid and failed stays failed, whatever is decided on the same claim afterwards."""
        lease, payments = await claimed(world, "h1", "h2")
        await world.ledger.settle(lease, [Decision(payments[0], PAID), Decision(payments[1], REFUSED)])
        assert await settle(world, lease, payments[:1], REFUSED) == []
        assert await settle(world, lease, payments[1:], PAID) == []
        assert [await state_of(world, handle) for handle in ("h1", "h2")] == [State.PAID, State.FAILED]

    async def test_decisions_are_answered_in_their_order(self, world: World):
        """Of several decisions each has its own outcome; an unknown payment is left out."""
        lease, payments = await claimed(world, "h1", "h2", "h3")
        await world.ledger.settle(lease, [Decision(payments[1], PAID)])
        settled = await settle(world, lease, payments, LOST)
        assert [entry.payment.id for entry in settled] == ["h1", "h3"]
        assert await settle(world, lease, [], PAID) == []

    async def test_counts_follow_every_verdict(self, world: World):
        """The lane's counts are exact at every moment."""
        lease, payments = await claimed(world, "h1", "h2", "h3", "h4")
        verdicts: list[Verdict] = [PAID, REFUSED, Requeue(), LOST]
        await world.ledger.settle(lease, [Decision(*pair) for pair in zip(payments, verdicts, strict=True)])
        [lane] = await world.ledger.lanes([PORTAL])
        assert lane.counts == {
            State.QUEUED: 1,
            State.SENDING: 0,
            State.IN_DOUBT: 1,
            State.PAID: 1,
            State.FAILED: 1,
            State.CANCELLED: 0,
        }
