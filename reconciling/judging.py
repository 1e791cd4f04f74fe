"""What two words about one payment mean together: a table, and the sentences for people."""

from typing import Final

from bitrix24.errors import PortalError
from bitrix24.facts import Invoice, Seen
from ledger.payment import Evidence, Payment, State
from reconciling.findings import Kind

Told = Seen | PortalError

_SAID: Final = {
    Evidence.READ_BACK: "It was read as paid then, so somebody has set it back since.",
    Evidence.RESPONSE: "Only the portal's word was believed then: it was set back since, or never paid.",
    Evidence.OPERATOR: "A person said that it was paid: it was set back since, or never paid.",
}


def judge(payment: Payment, told: Told) -> Kind | None:
    """The kind of a payment that has ended; None where ledger and portal agree."""
    if isinstance(told, PortalError):
        return Kind.UNREADABLE
    if payment.state is State.PAID:
        return Kind.GONE if told is None else None if told.paid else Kind.UNPAID_THERE
    # What failed or was withdrawn and whose invoice is gone: both say that nothing was paid.
    return Kind.PAID_THERE if told is not None and told.paid else None


def sentence(kind: Kind, payment: Payment, told: Told) -> str:
    """What was found, in words."""
    match kind:
        case Kind.UNPAID_THERE:
            said = _SAID[payment.evidence] if payment.evidence else ""
            return f"The ledger says paid, the portal says unpaid. {said}".rstrip()
        case Kind.PAID_THERE:
            return f"The ledger says {payment.state}, the portal says paid{_by(told)}: not by this payment."
        case Kind.GONE:
            return "The ledger says paid, and the portal has no such invoice any more."
        case Kind.UNREADABLE:
            return f"The portal does not show the invoice: {reason_of(told)}."
        case Kind.IN_DOUBT:
            return "Nobody knows yet whether it was paid. It is read back by itself; see `b24pay doubts`."


def reason_of(told: Told) -> str:
    """Why the portal did not say, as people read it."""
    if not isinstance(told, PortalError):
        return ""
    return ": ".join(part.rstrip(".") for part in (told.code, told.text) if part)


def _by(told: Told) -> str:
    return f", by user {told.paid_by}" if isinstance(told, Invoice) and told.paid_by else ""
