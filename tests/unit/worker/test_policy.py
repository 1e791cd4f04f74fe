"""What an answer means for one payment: `true` is a claim, PAYED='Y' is the proof, silence is a doubt."""

import pytest

from bitrix24.errors import Effect, Fate, Meaning, Refused
from bitrix24.facts import Claims, Invoices
from ledger.payment import Evidence, Refusal, State
from ledger.verdict import Failed, InDoubt, Paid, Requeue, Unpaid, Unreadable, Verdict
from tests.unit.worker.builders import NOW, a_payment, an_error, an_invoice
from worker.policy import ACCEPTED_NOT_PAID, AFTER_TROUBLE_S, judge, judge_reading, judge_unanswered

PAID = {2: an_invoice(2, paid=True)}
UNPAID = {2: an_invoice(2, paid=False)}
ABSENT: Invoices = {}
READING_FAILED = an_error(Fate.UNKNOWN, code="ERROR_CORE")
NOT_PERMITTED = Refused("INSUFFICIENT_SCOPE", "", meaning=Meaning(Fate.NOT_RUN), method="crm.invoice.list", status=401)
REFUSAL = Refusal("SOME_CODE", "some text")


@pytest.mark.parametrize(
    ("invoices", "verdict"),
    [
        (PAID, Paid(Evidence.READ_BACK, NOW)),
        (UNPAID, Failed(ACCEPTED_NOT_PAID)),
        (ABSENT, InDoubt(quiet_s=0.0, if_unpaid=ACCEPTED_NOT_PAID)),
        (READING_FAILED, InDoubt(quiet_s=0.0, if_unpaid=ACCEPTED_NOT_PAID)),
        (NOT_PERMITTED, Paid(Evidence.RESPONSE)),
    ],
)
def test_true_is_only_a_claim(invoices: Invoices, verdict: Verdict) -> None:
    """`true` is paid when the read-back shows it, or where reading is not permitted at all."""
    assert judge(a_payment(), Claims(), invoices) == verdict


@pytest.mark.parametrize(
    ("fate", "invoices", "verdict"),
    [
        (Fate.NOT_RUN, UNPAID, Requeue()),
        (Fate.NOT_RUN, PAID, Paid(Evidence.READ_BACK, NOW)),
        (Fate.REFUSED, PAID, Paid(Evidence.READ_BACK, NOW)),
        (Fate.REFUSED, UNPAID, Failed(REFUSAL)),
        (Fate.REFUSED_IF_UNPAID, UNPAID, Failed(REFUSAL)),
        (Fate.REFUSED_IF_UNPAID, PAID, Paid(Evidence.READ_BACK, NOW)),
        (Fate.REFUSED_IF_UNPAID, ABSENT, InDoubt(quiet_s=0.0, if_unpaid=REFUSAL)),
        (Fate.REFUSED_IF_UNPAID, READING_FAILED, InDoubt(quiet_s=0.0, if_unpaid=REFUSAL)),
        (Fate.UNKNOWN, PAID, Paid(Evidence.READ_BACK, NOW)),
        (Fate.UNKNOWN, UNPAID, InDoubt(quiet_s=0.0)),
        (Fate.UNKNOWN, ABSENT, InDoubt(quiet_s=0.0)),
    ],
)
def test_an_error_of_one_command_decides_as_far_as_it_can(fate: Fate, invoices: Invoices, verdict: Verdict) -> None:
    """Nothing that may have been executed is sent again before the portal was asked."""
    assert judge(a_payment(), an_error(fate), invoices) == verdict


def test_the_row_of_another_invoice_proves_nothing() -> None:
    """Whatever else a read-back shows, only the payment's own invoice counts, as paid and as unpaid."""
    for paid in (True, False):
        foreign = {3: an_invoice(3, paid=paid)}
        assert judge(a_payment(2), Claims(), foreign) == InDoubt(quiet_s=0.0, if_unpaid=ACCEPTED_NOT_PAID)
        assert judge(a_payment(2), an_error(Fate.UNKNOWN), foreign) == InDoubt(quiet_s=0.0)
        assert isinstance(judge_reading(a_payment(2), foreign), Unreadable)


@pytest.mark.parametrize(
    ("fate", "alone", "verdict"),
    [
        (Fate.NOT_RUN, True, Requeue()),
        (Fate.NOT_RUN, False, Requeue()),
        (Fate.REFUSED, True, Failed(REFUSAL)),
        (Fate.REFUSED, False, Requeue()),
        (Fate.REFUSED_IF_UNPAID, True, InDoubt(quiet_s=0.0, if_unpaid=REFUSAL)),
        (Fate.REFUSED_IF_UNPAID, False, InDoubt(quiet_s=0.0)),
        (Fate.UNKNOWN, True, InDoubt(quiet_s=125.0)),
        (Fate.UNKNOWN, False, InDoubt(quiet_s=125.0)),
    ],
)
def test_a_request_that_failed_as_a_whole(fate: Fate, alone: bool, verdict: Verdict) -> None:
    """The refusal of a group speaks of the request, silence leaves every payment of it in doubt."""
    assert judge_unanswered(an_error(fate), quiet_s=125.0, alone=alone) == verdict


def test_a_reading_of_its_own_proves_or_says_unpaid() -> None:
    """Whether an "unpaid" counts yet is the ledger's to say, by its own clock."""
    assert judge_reading(a_payment(), PAID) == Paid(Evidence.READ_BACK, NOW)
    assert judge_reading(a_payment(), UNPAID) == Unpaid()


@pytest.mark.parametrize("invoices", [ABSENT, READING_FAILED, NOT_PERMITTED])
def test_what_cannot_be_read_stays_in_doubt(invoices: Invoices) -> None:
    """A guess is never made."""
    assert isinstance(judge_reading(a_payment(), invoices), Unreadable)


def test_a_reading_that_met_a_paused_lane_is_repeated_soon() -> None:
    """The trouble is the portal's, not the invoice's."""
    error = an_error(Fate.UNKNOWN, Effect.BACKOFF)
    assert judge_reading(a_payment(), error) == Unreadable(REFUSAL, AFTER_TROUBLE_S)


def test_a_claim_that_may_not_be_read_counts_as_claimed() -> None:
    """A payment sent alone has no read-back beside it; where reading is not permitted the portal's word is all."""
    doubt = a_payment(state=State.IN_DOUBT, error=ACCEPTED_NOT_PAID)
    assert judge_reading(doubt, NOT_PERMITTED) == Paid(Evidence.RESPONSE)
