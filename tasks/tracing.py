"""The producer's span: `enqueue payments`, the context that a payment's whole trace hangs on."""

from collections.abc import Iterator
from contextlib import contextmanager

from config import tracing

_QUEUE = "payments"


@contextmanager
def enqueuing(payments: int) -> Iterator[str | None]:
    """Around writing payments down; gives the context that goes with them, None where nobody records."""
    tracing.trace_as_its_application_does()
    told: dict[str, str | int] = {
        "messaging.system": "celery",
        "messaging.destination.name": _QUEUE,
        "messaging.operation.name": "enqueue",
        "messaging.operation.type": "send",
    }
    if payments > 1:
        told["messaging.batch.message_count"] = payments
    with tracing.span(f"enqueue {_QUEUE}", "PRODUCER", told) as begun:
        try:
            yield tracing.traceparent_of(begun)
        except Exception as error:
            tracing.mark_failed(begun, type(error).__name__)
            raise
