"""Builders: a payment, an invoice and an error as a test wants them."""

from datetime import UTC, datetime

from bitrix24.errors import Effect, Fate, Meaning, PortalError, Refused
from bitrix24.facts import Invoice
from ledger.payment import Payment, PaymentId, PortalKey, State

NOW = datetime(2026, 11, 24, 1, 2, 3, tzinfo=UTC)


def a_payment(invoice_id: int = 2, **changes: object) -> Payment:
    """A payment that was just claimed."""
    fields: dict[str, object] = {
        "id": PaymentId(f"p-{invoice_id}"),
        "portal": PortalKey("acme"),
        "invoice_id": invoice_id,
        "pay_system_id": 31,
        "bx_rest_handler": None,
        "idempotency_key": None,
        "state": State.SENDING,
        "attempts": 1,
        "deaths": 0,
        "enqueued_at": NOW,
        "sent_at": NOW,
        "finished_at": None,
        "paid_at": None,
        "evidence": None,
        "error": None,
        "duplicate": False,
        "claim": "1.1",
        "quiet_until": None,
    }
    return Payment(**{**fields, **changes})  # type: ignore[arg-type]  # a builder takes any field


def an_invoice(invoice_id: int = 2, *, paid: bool) -> Invoice:
    """An invoice as a read-back shows it."""
    return Invoice(id=invoice_id, paid=paid, paid_at=NOW if paid else None, paid_by="1" if paid else None)


def an_error(
    fate: Fate, effect: Effect = Effect.GO_ON, code: str = "SOME_CODE", text: str = "some text"
) -> PortalError:
    """An error of the far side with this meaning."""
    return Refused(code, text, meaning=Meaning(fate, effect), method="sale.paysystem.pay.invoice", status=400)
