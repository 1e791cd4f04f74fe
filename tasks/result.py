"""What a producer reads: the result of a paid payment, the exception of one that was not."""

from datetime import UTC, datetime
from typing import assert_never

from ledger.ledger import Conflict, UnknownPortal
from ledger.payment import Payment, Refusal, State
from ledger.transitions import Transition, transitions_of
from tasks.errors import InvalidPayment, PaymentConflict, PaymentFailed

CANCELLED = Refusal("CANCELLED", "The payment was withdrawn before anything was sent.")


def result_of(payment: Payment) -> dict[str, object]:
    """A payment as JSON (`contract.md` §2): instants are ISO 8601 in UTC, whole seconds."""
    return {
        "id": payment.id,
        "portal": payment.portal,
        "invoice_id": payment.invoice_id,
        "pay_system_id": payment.pay_system_id,
        "bx_rest_handler": payment.bx_rest_handler,
        "status": payment.state.value,
        "evidence": payment.evidence.value if payment.evidence else None,
        "paid_at": instant(payment.paid_at),
        "attempts": payment.attempts,
        "duplicate": payment.duplicate,
        "enqueued_at": instant(payment.enqueued_at),
        "finished_at": instant(payment.finished_at),
    }


def way_of(payment: Payment) -> list[dict[str, object]]:
    """A payment's transitions as JSON, in their order; `at` is ISO 8601 in UTC with milliseconds, null where it is not
    known when."""
    return [transition_document(step) for step in transitions_of(payment)]


def transition_document(step: Transition) -> dict[str, object]:
    """One of them."""
    at = step.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z") if step.at else None
    return {
        "at": at,
        "state": step.state.value if step.state else None,
        "cause": step.cause.value,
        "by": step.by.value if step.by else None,
        "evidence": step.evidence,
        "code": step.code,
        "attempt": step.attempt,
        "fence": step.fence,
        "times": step.times,
    }


def failure_of(payment: Payment) -> PaymentFailed:
    """Why a payment that ended was not paid."""
    error = payment.error if payment.state is State.FAILED and payment.error else CANCELLED
    return PaymentFailed(error.code, error.text)


def refusal_of(opened: Conflict | UnknownPortal) -> InvalidPayment:
    """Why the ledger refused a request."""
    match opened:
        case UnknownPortal(portal):
            return InvalidPayment(
                f"portal {portal!r} is not configured; "
                f"see `b24pay portal list`, or add it with `b24pay portal add {portal}`"
            )
        case Conflict(payment_id, "key"):
            return PaymentConflict(
                f"this idempotency_key belongs to payment {payment_id} with other content; "
                f"use a new key for a new payment"
            )
        case Conflict(payment_id, "handle"):
            return PaymentConflict(f"the id {payment_id} is taken by a payment with other content; use a new id")
        case Conflict(payment_id):
            return PaymentConflict(
                f"the invoice has the open payment {payment_id} with another pay system or handler; "
                f"wait for it or cancel it with `b24pay cancel {payment_id}`"
            )
    assert_never(opened)


def instant(moment: datetime | None) -> str | None:
    """An instant as the results show it: `2026-11-24T01:02:03Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None
