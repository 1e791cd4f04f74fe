"""What a receiver is sent: the payment's result as producers know it, and which end it is about."""

import json

from ledger.callbacks import Callback
from ledger.payment import State
from tasks.result import failure_of, instant, result_of

_TYPES = {State.PAID: "payment.paid", State.FAILED: "payment.failed", State.CANCELLED: "payment.cancelled"}


def type_of(callback: Callback) -> str:
    """The kind of event, for whoever sorts them."""
    return _TYPES[callback.payment.state]


def body_of(callback: Callback) -> str:
    """The body, the same to the byte in every attempt. `timestamp` is when the payment ended."""
    payment = callback.payment
    error = None
    if payment.state is not State.PAID:
        failure = failure_of(payment)
        error = {"code": failure.code, "description": failure.description}
    data = {**result_of(payment), "handle": callback.handle, "error": error}
    letter = {"type": type_of(callback), "id": callback.id, "timestamp": instant(payment.finished_at), "data": data}
    return json.dumps(letter, ensure_ascii=False, separators=(",", ":"))
