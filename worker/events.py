"""Celery's events, told of the payment: what Flower and exporters show is how it stands, not how its message fared.

A payment's message is acknowledged when the ledger has it, long before anything is paid. So its events come from where
it is admitted, sent, settled and delivered, under the handles that producers wait for. Every one names the task and the
payment, so that a watcher who came late, or lost one, shows no nameless task.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from celery.exceptions import TaskRevokedError
from celery.worker import state

from config.celery import QUEUE
from ledger.ledger import Conflict, Opened, Undelivered, UnknownPortal
from ledger.payment import OPEN, Handle, NewPayment, Payment, State
from tasks.payment import is_our_id
from tasks.result import failure_of, result_of
from worker.post import Note, Post

NAME: Final = "tasks.pay_invoice"
Headers = Mapping[str, Any]  # of a Celery message


class PaymentEvents:
    """Notes what happens to payments for whoever watches; next to nothing while nobody does."""

    def __init__(self, post: Post, wanted: Callable[[], bool]) -> None:
        self._post = post
        self._wanted = wanted

    def received(self, asked: Sequence[NewPayment], opened: Sequence[Opened], headers: Mapping[str, Headers]) -> None:
        """The ledger has answered the requests of messages, whose headers are known by handle."""
        if asked and self._wanted():
            now = time.time()
            self._post.put(lambda: _received(zip(asked, opened, strict=True), headers, now))

    def started(self, payments: Sequence[Payment]) -> None:
        """These payments are about to leave."""
        state.total_count[NAME] += len(payments)
        state.all_total_count[0] += len(payments)
        if self._wanted():
            now = time.time()
            self._post.put(lambda: _started(payments, now))

    def requeued(self, payments: Sequence[Payment]) -> None:
        """These payments were certainly not executed, and go again; what was read before it was ever sent does not."""
        if payments and self._wanted():
            now = time.time()
            self._post.put(lambda: [_requeued(payment, now) for payment in payments if payment.sent_at])

    def ended(self, delivered: Sequence[Undelivered]) -> None:
        """These results can be read."""
        if self._wanted():
            self._post.put(lambda: _ended(delivered))

    def refused(self, handle: Handle, error: Exception) -> None:
        """This request was not accepted."""
        if self._wanted():
            now = time.time()
            self._post.put(lambda: _refused(handle, error, now))


class Unwatched:
    """Where there is nobody to tell."""

    def received(self, asked: Sequence[NewPayment], opened: Sequence[Opened], headers: Mapping[str, Headers]) -> None:
        """Nobody is told."""

    def started(self, payments: Sequence[Payment]) -> None:
        """Nobody is told."""

    def requeued(self, payments: Sequence[Payment]) -> None:
        """Nobody is told."""

    def ended(self, delivered: Sequence[Undelivered]) -> None:
        """Nobody is told."""

    def refused(self, handle: Handle, error: Exception) -> None:
        """Nobody is told."""


Events = PaymentEvents | Unwatched


def _received(
    opened: Iterable[tuple[NewPayment, Opened]], headers: Mapping[str, Headers], now: float
) -> Iterator[Note]:
    for request, outcome in opened:
        if isinstance(outcome, Conflict | UnknownPortal):
            continue  # it was refused, and that has its own events
        family = {name: headers.get(request.id, {}).get(name) for name in ("root_id", "parent_id")}
        yield _of(request.id, request, "task-received", now, retries=0, eta=None, expires=None, **family)


def _started(payments: Sequence[Payment], now: float) -> Iterator[Note]:
    for payment in payments:
        if payment.attempts <= 1 and is_our_id(payment.id):
            # No message brought it and told of it: it came by the ledger.
            at = payment.enqueued_at.timestamp()
            yield _of(payment.id, payment, "task-sent", at, queue=QUEUE, routing_key=QUEUE, retries=0)
            yield _of(payment.id, payment, "task-received", at, retries=0, eta=None, expires=None)
        yield _of(payment.id, payment, "task-started", now)


def _requeued(payment: Payment, now: float) -> Note:
    why = payment.error.code if payment.error else "it was certainly not executed"
    return _of(payment.id, payment, "task-retried", now, exception=why, traceback=None)


def _ended(delivered: Sequence[Undelivered]) -> Iterator[Note]:
    for entry in delivered:
        payment = entry.payment
        at = payment.finished_at.timestamp() if payment.finished_at else time.time()
        if str(entry.handle) != payment.id and payment.sent_at:
            # Who joined a payment was not known to its driver until now.
            yield _of(entry.handle, payment, "task-started", payment.sent_at.timestamp())
        if payment.state is State.PAID:
            runtime_s = _seconds(payment.sent_at, payment.finished_at)
            yield _of(entry.handle, payment, "task-succeeded", at, result=repr(result_of(payment)), runtime=runtime_s)
        elif payment.state not in OPEN:
            yield _of(entry.handle, payment, "task-failed", at, exception=repr(failure_of(payment)), traceback=None)


def _refused(handle: Handle, error: Exception, now: float) -> Iterator[Note]:
    # What it asked for is not repeated: somebody may have put a secret where a portal's key belongs.
    ours = {"uuid": handle, "name": NAME, "timestamp": now}
    yield "task-received", {**ours, "args": "()", "kwargs": "{}", "retries": 0, "eta": None, "expires": None}
    if isinstance(error, TaskRevokedError):
        yield "task-revoked", {**ours, "terminated": False, "signum": None, "expired": str(error) == "expired"}
    else:
        yield "task-failed", {**ours, "exception": repr(error), "traceback": None}


def _of(handle: str, payment: NewPayment | Payment, kind: str, at: float, **fields: Any) -> Note:
    asked = {"portal": payment.portal, "invoice_id": payment.invoice_id}
    if payment.pay_system_id is not None:
        asked["pay_system_id"] = payment.pay_system_id
    if payment.bx_rest_handler is not None:
        asked["bx_rest_handler"] = payment.bx_rest_handler
    return kind, {"uuid": handle, "name": NAME, "args": "()", "kwargs": repr(asked), "timestamp": at, **fields}


def _seconds(since: datetime | None, until: datetime | None) -> float:
    """How long it took from its last departure on; 0.0 where it never left."""
    return max((until - since).total_seconds(), 0.0) if since and until else 0.0
