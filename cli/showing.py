"""How payments are shown: as documents for scripts, as facts and tables for people."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from cli.holds import next_look
from cli.output import Output, cell, facts, state, table

if TYPE_CHECKING:
    from ledger.ledger import Held
    from ledger.payment import Payment, Refusal


def document_of(payment: "Payment") -> dict[str, object]:
    """A payment for scripts: the contract's result, and the error where there is one."""
    from tasks.result import result_of

    error = payment.error
    document = {**result_of(payment), "error": {"code": error.code, "text": error.text} if error else None}
    return {**document, "because": payment.because}


def told(error: "Refusal | None") -> str | None:
    """A refusal in one line."""
    if error is None:
        return None
    return ": ".join(filter(None, (error.code, error.text)))


def inspected(payment: "Payment") -> dict[str, object]:
    """Every field of a payment's row."""
    from tasks.result import instant

    return {
        **document_of(payment),
        "error": told(payment.error),
        "idempotency_key": payment.idempotency_key,
        "sent_at": instant(payment.sent_at),
        "claim": payment.claim or None,
        "driver_deaths": payment.deaths,
        "quiet_until": instant(payment.quiet_until),
        "last_read_error": told(payment.last_read_error),
        "read_first_after": payment.after,
    }


def what_next(payment: "Payment", held: "Held | None" = None) -> str:
    """What happens to a payment from here on, and who makes it happen."""
    from ledger.payment import State

    if held is not None and payment.state in (State.QUEUED, State.IN_DOUBT):
        command = f"b24pay portal resume {payment.portal}"
        if held.probe_at is None:
            return f"waits until a person resumes the lane: {command}"
        return f"waits until the lane is found mended ({next_look(held)}) or resumed: {command}"
    if payment.last_read_error is not None and payment.state in (State.QUEUED, State.IN_DOUBT):
        return "the invoice is read back again; it could not be read so far, b24pay doubts says what to do"
    if payment.state is State.QUEUED and payment.after is not None:
        return "the invoice is read back first; it is sent only if it is unpaid"
    if payment.state is State.FAILED and payment.because is not None:
        return f"nothing; b24pay retry {payment.id} reads the invoice first and sends again if it is unpaid"
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
            why = told(each.error) or ": ".join(filter(None, (each.evidence, each.because)))
            shown.add_row(cell(each.id), cell(each.portal), cell(each.invoice_id), state(each.state), cell(why))
        output.data({}, shown)


def _without_empty(document: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in document.items() if value not in (None, "", 0, False)}
