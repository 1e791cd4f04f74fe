"""How payments are shown: as documents for scripts, as facts and tables for people."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from cli.output import Output, cell, facts, state, table

if TYPE_CHECKING:
    from ledger.payment import Payment


def document_of(payment: "Payment") -> dict[str, object]:
    """A payment for scripts: the contract's result, and the error where there is one."""
    from tasks.result import result_of

    error = payment.error
    return {**result_of(payment), "error": {"code": error.code, "text": error.text} if error else None}


def inspected(payment: "Payment") -> dict[str, object]:
    """Every field of a payment's row."""
    from tasks.result import instant

    error, read_error = payment.error, payment.last_read_error
    return {
        **document_of(payment),
        "error": f"{error.code}: {error.text}" if error else None,
        "idempotency_key": payment.idempotency_key,
        "sent_at": instant(payment.sent_at),
        "claim": payment.claim or None,
        "driver_deaths": payment.deaths,
        "quiet_until": instant(payment.quiet_until),
        "last_read_error": f"{read_error.code}: {read_error.text}" if read_error else None,
    }


def what_next(payment: "Payment", *, held: bool) -> str:
    """What happens to a payment from here on, and who makes it happen."""
    from ledger.payment import State

    if held and payment.state in (State.QUEUED, State.IN_DOUBT):
        return f"waits until a person resumes the lane: b24pay portal resume {payment.portal}"
    texts = {
        State.QUEUED: "is sent as soon as the portal admits a request",
        State.SENDING: "its answer is awaited; a lost one is read back at the portal",
        State.IN_DOUBT: "the invoice is read back at the portal; nothing is sent before that",
        State.PAID: "nothing: it is paid",
        State.FAILED: f"nothing; after mending the cause: b24pay retry {payment.id}",
        State.CANCELLED: "nothing: it was withdrawn",
    }
    return texts[payment.state]


def show(output: Output, payments: "Sequence[Payment]") -> None:
    """One payment as its facts, several as a table; nothing for none."""
    if len(payments) == 1 and not output.json:
        [payment] = payments
        output.data({}, facts({**_without_empty(inspected(payment)), "status": state(payment.state)}))
    else:
        show_rows(output, payments)


def show_rows(output: Output, payments: "Sequence[Payment]") -> None:
    """Payments as a table, however many; with --json one document a line."""
    if output.json:
        for payment in payments:
            output.data(document_of(payment), "")
    elif payments:
        shown = table("id", "portal", "invoice", "status", "why", numbers=("invoice",), words=("portal", "why"))
        for each in payments:
            why = f"{each.error.code}: {each.error.text}" if each.error else each.evidence
            shown.add_row(cell(each.id), cell(each.portal), cell(each.invoice_id), state(each.state), cell(why))
        output.data({}, shown)


def _without_empty(document: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in document.items() if value not in (None, "", 0, False)}
