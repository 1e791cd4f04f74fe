"""The spans of a worker: admit, pay, read back, settle. Names and attributes are those of OpenTelemetry's messaging
conventions; what they show is checked against the canaries of all secrets (docs/tracing.md).

A request to a portal carries several payments, each with a trace of its own. So its span links to all of them, and each
payment's trace gets a span for its end with a link to the request. A payment that travels alone has all in one trace.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlsplit

from bitrix24.errors import PortalError
from bitrix24.portal import Portal
from config import tracing
from config.celery import QUEUE
from ledger.ledger import Conflict, Opened, Settled, UnknownPortal
from ledger.payment import NewPayment, Payment
from ledger.verdict import Decision

_NOTHING: Final = nullcontext(None)
_HTTPS: Final = 443
_HTTP: Final = 80
# The request that a flight's verdicts come from; each flight is an asyncio task, and so has its own.
_request: ContextVar[str | None] = ContextVar("request", default=None)


def with_context(asked: NewPayment, headers: Mapping[str, Any]) -> NewPayment:
    """A message's request with the trace that the message belongs to."""
    context = tracing.carried(headers)
    return replace(asked, traceparent=context) if context else asked


def admitted(asked: Sequence[NewPayment], opened: Sequence[Opened], began_ns: int) -> None:
    """These requests of messages were answered by the ledger."""
    if not tracing.is_traced():
        return
    for request, outcome in zip(asked, opened, strict=True):
        if request.traceparent:
            told = {
                **_messaging("admit", "receive"),
                "messaging.message.id": request.id,
                "b24pay.portal": request.portal,
            }
            refused = type(outcome).__name__ if isinstance(outcome, Conflict | UnknownPortal) else ""
            if not isinstance(outcome, Conflict | UnknownPortal):
                told["b24pay.payment.id"] = outcome.payment.id
            parent = request.traceparent
            tracing.note_span(
                f"admit {QUEUE}", "CONSUMER", told, parent=parent, links=[parent], began_ns=began_ns, error=refused
            )


def paying(portal: Portal, payments: Sequence[Payment]) -> AbstractContextManager[Any]:
    """Around one request that pays."""
    return _around("pay", portal, payments) if tracing.is_traced() else _NOTHING


def reading(portal: Portal, payments: Sequence[Payment]) -> AbstractContextManager[Any]:
    """Around one request that reads back."""
    return _around("read back", portal, payments) if tracing.is_traced() else _NOTHING


def now_ns() -> int:
    """When something begins, for a process that traces."""
    return time.time_ns() if tracing.is_traced() else 0


def settled(decisions: Sequence[Decision], rows: Sequence[Settled], began_ns: int) -> None:
    """These verdicts were written down. An ended row has no context any more; the one that was decided on has."""
    if not tracing.is_traced():
        return
    contexts = {decision.payment.id: decision.payment.traceparent for decision in decisions}
    request = _request.get()
    for row in rows:
        payment, context = row.payment, contexts.get(row.payment.id)
        if context:
            links = [context] if request is None else [context, request]
            tracing.note_span(
                f"settle {QUEUE}",
                "CLIENT",
                {**_messaging("settle", "settle"), **_of(payment)},
                parent=context,
                links=links,
                began_ns=began_ns,
                error=payment.error.code if payment.error else "",
            )


@contextmanager
def _around(operation: str, portal: Portal, payments: Sequence[Payment]) -> Iterator[None]:
    contexts = [payment.traceparent for payment in payments if payment.traceparent]
    _request.set(None)
    if not contexts:
        yield
        return
    parent = contexts[0] if len(payments) == 1 else None
    told: dict[str, Any] = {**_messaging(operation, "process"), "b24pay.portal": portal.key}
    if parent:
        told["messaging.message.id"] = payments[0].id
    else:
        told["messaging.batch.message_count"] = len(payments)
    with tracing.span(
        f"{operation} {QUEUE}", "CONSUMER", told, parent=parent, links=contexts, alone=parent is None
    ) as request:
        _request.set(tracing.traceparent_of(request))
        # The URL has the webhook's code in its path, so neither it nor its path is told.
        with tracing.span("POST", "CLIENT", _http(portal)) as call:
            try:
                yield
            except PortalError as error:
                tracing.mark_failed(call, error.code or type(error).__name__)
                if error.status:
                    call.set_attribute("http.response.status_code", error.status)
                raise


def _messaging(operation: str, kind: str) -> dict[str, Any]:
    return {
        "messaging.system": "celery",
        "messaging.destination.name": QUEUE,
        "messaging.operation.name": operation,
        "messaging.operation.type": kind,
    }


def _of(payment: Payment) -> dict[str, Any]:
    return {
        "messaging.message.id": payment.id,
        "b24pay.portal": payment.portal,
        "b24pay.payment.id": payment.id,
        "b24pay.payment.state": payment.state.value,
        "b24pay.payment.attempts": payment.attempts,
        "b24pay.payment.evidence": payment.evidence.value if payment.evidence else "",
    }


def _http(portal: Portal) -> dict[str, Any]:
    address = urlsplit(portal.endpoint)
    return {
        "http.request.method": "POST",
        "server.address": address.hostname or "",
        "server.port": address.port or (_HTTPS if address.scheme == "https" else _HTTP),
    }
