"""Enqueue without a message to lose: the ledger is written before `enqueue` returns.

Needs `REDIS_URL` only. Safe to use from threads; a forked child opens its own connection.
"""

import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, assert_never

from config.failpoints import failpoint
from ledger.ledger import Accepted, AlreadyPaid, Conflict, Joined, Opened, UnknownPortal
from ledger.payment import NewPayment, State
from ledger.payment import Payment as Row
from tasks.errors import InvalidPayment, LedgerUnavailable
from tasks.payment import new_ids, parse_payment
from tasks.result import failure_of, refusal_of, result_of

if TYPE_CHECKING:
    from ledger.redis import ProducerLedger

CHUNK = 1000  # requests handed over at once; the ledger writes them in steps of some milliseconds
FIRST_LOOK_S, LONGEST_LOOK_S = 0.02, 0.5  # how often `result` reads the ledger: soon at first, then rarely


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment that was accepted: `id` is its handle everywhere (ledger, Celery result, command line, HTTP)."""

    id: str

    def result(self, timeout: float | None = None) -> dict[str, object]:
        """Wait for the end and give the result (`contract.md` §2).

        `timeout` in seconds, None waits for ever. Raises PaymentFailed, TimeoutError (the payment goes on),
        LedgerUnavailable, or LookupError when the result is no longer remembered.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        look_s = FIRST_LOOK_S
        while True:
            row = find_payment(self.id)
            if row is None:
                raise LookupError(f"payment {self.id} is not in the ledger (any more)")
            if row.state is State.PAID:
                return result_of(row)
            if row.state in (State.FAILED, State.CANCELLED):
                raise failure_of(row)
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(
                    f"payment {self.id} is still {row.state} after {timeout} s; it goes on, ask again later"
                )
            time.sleep(look_s if deadline is None else max(0.0, min(look_s, deadline - time.monotonic())))
            look_s = min(look_s * 1.5, LONGEST_LOOK_S)


def enqueue(
    *,
    portal: str,
    invoice_id: int | str,
    pay_system_id: int | str | None = None,
    bx_rest_handler: str | None = None,
    idempotency_key: str | None = None,
    callback: str | None = None,
) -> Payment:
    """Write a payment into the ledger; when this returns, it is durable and will end.

    `callback` is an address that is told of the end (docs/callbacks.md). Raises InvalidPayment (PaymentConflict) when
    nothing was accepted, LedgerUnavailable when Redis did not answer.
    """
    fields = {
        "portal": portal,
        "invoice_id": invoice_id,
        "pay_system_id": pay_system_id,
        "bx_rest_handler": bx_rest_handler,
        "idempotency_key": idempotency_key,
        "callback": callback,
    }
    request = parse_payment(new_ids(1)[0], fields)
    with _traced([request]) as asked:
        [opened] = open_payments(asked)
    outcome = _outcome(request, opened)
    if isinstance(outcome, InvalidPayment):
        raise outcome
    return outcome


def enqueue_many(payments: Iterable[Mapping[str, object]]) -> list[Payment | InvalidPayment]:
    """Write many payments, in order; one outcome per item: a Payment, or why this item was refused.

    Items are mappings of the fields of `enqueue`. Raises LedgerUnavailable when Redis did not answer; some of the items
    may be written then, and repeating the call joins them.
    """
    asked = list(payments)
    parsed = [_parsed(name, fields) for name, fields in zip(new_ids(len(asked)), asked, strict=True)]
    good = [item for item in parsed if isinstance(item, NewPayment)]
    with _traced(good) as traced:
        opened = iter(open_payments(traced))
    return [item if isinstance(item, InvalidPayment) else _outcome(item, next(opened)) for item in parsed]


def open_payments(requests: Sequence[NewPayment]) -> list[Opened]:
    """Write validated requests down in chunks; the way in for the Celery tasks, which bring their own handles."""
    opened: list[Opened] = []
    for start in range(0, len(requests), CHUNK):
        chunk = requests[start : start + CHUNK]
        failpoint("producer.asked", chunk)
        with _as_unavailable():
            opened.extend(_ledger(os.getpid()).open(chunk))
        failpoint("producer.opened", chunk)
    return opened


@contextmanager
def _traced(requests: Sequence[NewPayment]) -> Iterator[Sequence[NewPayment]]:
    """The requests with the trace that they begin or belong to, where the application traces."""
    # Not the API: other libraries load it wherever it is installed.
    if "opentelemetry.sdk.trace" not in sys.modules or not requests:
        yield requests
        return
    from tasks.tracing import enqueuing

    with enqueuing(len(requests)) as context:
        yield [replace(request, traceparent=context) for request in requests] if context else requests


def _parsed(name: str, fields: Mapping[str, object]) -> NewPayment | InvalidPayment:
    try:
        return parse_payment(name, fields)
    except InvalidPayment as error:
        return error


def _outcome(request: NewPayment, opened: Opened) -> Payment | InvalidPayment:
    match opened:
        case Accepted(row) | Joined(row):
            return Payment(row.id)
        case AlreadyPaid():
            return Payment(request.id)  # under this handle the same result says `duplicate: true`
        case Conflict() | UnknownPortal():
            return refusal_of(opened)
    assert_never(opened)


def find_payment(handle: str) -> Row | None:
    """What the ledger knows under a handle; raises LedgerUnavailable."""
    with _as_unavailable():
        [row] = _ledger(os.getpid()).find([handle])
    return row


@contextmanager
def _as_unavailable() -> Iterator[None]:
    from redis.exceptions import RedisError

    try:
        yield
    except (RedisError, OSError) as error:
        from config.advice import advice
        from config.redaction import redact

        known = advice(error)
        if known is not None:
            raise LedgerUnavailable(f"{known.cause} {known.next_step} Then send the same request again.") from None
        raise LedgerUnavailable(
            f"Redis did not answer ({type(error).__name__}): {redact(str(error))}; check REDIS_URL and the server, "
            f"then send the same request again: it joins the payment if that was written down"
        ) from None  # the original names the connection


@lru_cache(maxsize=1)
def _ledger(pid: int) -> "ProducerLedger":
    """Connect once per process: `pid` is the cache's key, because a fork needs sockets of its own."""
    from config.connections import redis_client
    from config.plain import plain_settings
    from ledger.redis import ProducerLedger

    return ProducerLedger(redis_client(plain_settings().redis_url, decode_responses=False))
