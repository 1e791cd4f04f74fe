"""What an answer means for one payment: pure functions from facts to verdicts.

The portal's codes are classified at the far side (`bitrix24.classification`); here only their meaning counts.
"""

from collections.abc import Mapping
from typing import assert_never

from bitrix24.client import reading_not_permitted
from bitrix24.errors import Effect, Fate, PortalError
from bitrix24.facts import Answer, Claims, Invoice, Invoices
from ledger.payment import Evidence, Payment, Refusal, State
from ledger.verdict import Failed, InDoubt, Paid, Requeue, Unpaid, Unreadable, Verdict

ACCEPTED_NOT_PAID = Refusal(
    "ACCEPTED_NOT_PAID",
    "The portal accepted the call but the invoice is still unpaid. Likely causes: the pay system is a paper one "
    "(bill, cash), which a call cannot pay, or the portal refused to save the invoice; see `b24pay portal check`.",
)
NOT_READABLE = Refusal(
    "NOT_READABLE",
    "The read-back did not show this invoice: it was deleted, or the credential's user may not read it.",
)
# An invoice that a read-back did not show rarely appears by itself; a person looks at it sooner than this.
UNREADABLE_RETRY_S = 300.0
# The lane as a whole is in trouble, and paused or held for it: read again as soon as it goes on.
AFTER_TROUBLE_S = 5.0


def judge(payment: Payment, answer: Answer, invoices: Invoices) -> Verdict:
    """The verdict on one payment of an answered request; `invoices` was read behind the pay commands."""
    match answer:
        case Claims():
            return _claimed(payment, invoices)
        case PortalError():
            return _refused(payment, answer, invoices)
    assert_never(answer)


def judge_unanswered(error: PortalError, *, quiet_s: float, alone: bool) -> Verdict:
    """The verdict on each payment of a request that failed as a whole.

    `alone`: it was the only payment, so a refusal speaks of it; the refusal of a group speaks of the request.
    """
    refusal = Refusal(error.code, error.text)
    match error.meaning.fate:
        case Fate.NOT_RUN:
            return Requeue()
        case Fate.REFUSED:
            return Failed(refusal) if alone else Requeue()
        case Fate.REFUSED_IF_UNPAID:
            return InDoubt(quiet_s=0.0, if_unpaid=refusal if alone else None)
        case Fate.UNKNOWN:
            return InDoubt(quiet_s=quiet_s)
    assert_never(error.meaning.fate)


def judge_reading(payment: Payment, invoices: Mapping[int, Invoice] | PortalError) -> Verdict:
    """The verdict on a payment in doubt, from a read-back of its own."""
    if isinstance(invoices, PortalError):
        return _not_read(payment, invoices)
    invoice = invoices.get(payment.invoice_id)
    if invoice is None:
        return Unreadable(NOT_READABLE, UNREADABLE_RETRY_S)
    return _proven(invoice) if invoice.paid else Unpaid()


def _not_read(payment: Payment, error: PortalError) -> Verdict:
    refusal = Refusal(error.code or NOT_READABLE.code, error.text)
    if error.meaning.effect is not Effect.GO_ON:
        return Unreadable(refusal, AFTER_TROUBLE_S)
    claimed = payment.error is not None and payment.error.code == ACCEPTED_NOT_PAID.code
    permitted = not reading_not_permitted(error)
    if claimed and not permitted:
        return Paid(Evidence.RESPONSE)
    if payment.state is State.QUEUED and payment.after is None and not permitted:
        return Unpaid()  # a retry: the portal had refused it for good, and nobody may look whether that has changed
    return Unreadable(refusal, UNREADABLE_RETRY_S)


def _claimed(payment: Payment, invoices: Invoices) -> Verdict:
    """`true` is a claim (`protocol.md` §1, layer D): only the read-back proves it."""
    if isinstance(invoices, PortalError):
        if reading_not_permitted(invoices):
            return Paid(Evidence.RESPONSE)
        return InDoubt(quiet_s=0.0, if_unpaid=ACCEPTED_NOT_PAID)
    invoice = invoices.get(payment.invoice_id)
    if invoice is None:
        return InDoubt(quiet_s=0.0, if_unpaid=ACCEPTED_NOT_PAID)
    return _proven(invoice) if invoice.paid else Failed(ACCEPTED_NOT_PAID)


def _refused(payment: Payment, error: PortalError, invoices: Invoices) -> Verdict:
    refusal = Refusal(error.code, error.text)
    seen = None if isinstance(invoices, PortalError) else invoices.get(payment.invoice_id)
    if seen is not None and seen.paid:
        return _proven(seen)  # proof before everything, whatever the command was answered
    match error.meaning.fate:
        case Fate.NOT_RUN:
            return Requeue()
        case Fate.REFUSED:
            return Failed(refusal)
        case Fate.REFUSED_IF_UNPAID:
            return InDoubt(quiet_s=0.0, if_unpaid=refusal) if seen is None else Failed(refusal)
        case Fate.UNKNOWN:
            # The request was answered, so the command is over: "unpaid" needs no quiet time, but a second look.
            return InDoubt(quiet_s=0.0)
    assert_never(error.meaning.fate)


def _proven(invoice: Invoice) -> Paid:
    return Paid(Evidence.READ_BACK, invoice.paid_at)
