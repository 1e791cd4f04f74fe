"""The producers' door: enqueue payments and read their results."""

from tasks.errors import InvalidPayment, LedgerUnavailable, PaymentConflict, PaymentFailed
from tasks.producer import Payment, enqueue, enqueue_many

__all__ = [
    "InvalidPayment",
    "LedgerUnavailable",
    "Payment",
    "PaymentConflict",
    "PaymentFailed",
    "enqueue",
    "enqueue_many",
]
