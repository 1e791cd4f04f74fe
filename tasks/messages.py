"""The Celery tasks `tasks.pay_invoice` and `tasks.pay_invoices` (`contract.md` §2).

A worker normally admits `tasks.pay_invoice` messages in groups before any task body runs (`worker/admission.py`). The
bodies here serve what does not go that way: messages with an ETA, eager mode, and the bulk task.
"""

import logging
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from threading import Event
from typing import Any

from celery import shared_task
from celery.exceptions import Ignore, Reject

from config.redaction import redact_value
from config.tracing import carried
from ledger.ledger import Accepted, AlreadyPaid, Conflict, Joined, Opened, UnknownPortal
from ledger.payment import NewPayment
from tasks.errors import InvalidPayment, LedgerUnavailable
from tasks.payment import is_our_id, parse_payment
from tasks.producer import find_payment, open_payments
from tasks.result import refusal_of

log = logging.getLogger(__name__)

AFTER_OUTAGE_S = 2.0
LARGEST_BULK = 1000  # payments of one `tasks.pay_invoices` message (`contract.md` §2)


@shared_task(name="tasks.pay_invoice", bind=True)  # type: ignore[untyped-decorator]  # Celery has no types
def pay_invoice(self: Any, **fields: object) -> None:
    """Write the payment down; its result is stored when the portal's answer is settled, not when this returns.

    Raises InvalidPayment (PaymentConflict), which Celery stores as the result.
    """
    [opened] = _opened([parse_payment(self.request.id, fields)])
    if isinstance(opened, Conflict | UnknownPortal):
        raise refusal_of(opened)
    raise Ignore


@shared_task(name="tasks.pay_invoices", bind=True)  # type: ignore[untyped-decorator]  # Celery has no types
def pay_invoices(self: Any, portal: object = None, payments: object = None, **unknown: object) -> dict[str, object]:
    """Write up to 1,000 payments of one portal down; each gets its own result under its own `task_id`.

    Returns `{"accepted": n, "joined": n, "rejected": [{"index": i, "error": text}]}`; raises InvalidPayment when the
    message as a whole is wrong, and then nothing of it was accepted.
    """
    _leave_payments_alone(self.request.id)
    if unknown:
        raise InvalidPayment(f"unknown field {sorted(unknown)!a}: known are portal and payments")
    if not isinstance(payments, list) or len(payments) > LARGEST_BULK:
        raise InvalidPayment(f"payments must be a list of at most {LARGEST_BULK}; split it into several messages")
    context = carried({"traceparent": getattr(self.request, "traceparent", None)})
    parsed = [_item(self.request.id, portal, index, item, context) for index, item in enumerate(payments)]
    places = [index for index, item in enumerate(parsed) if isinstance(item, NewPayment)]
    asked = [item for item in parsed if isinstance(item, NewPayment)]
    opened = _opened(asked)
    _announce(self.app, asked, opened)
    rejected = {index: str(item) for index, item in enumerate(parsed) if isinstance(item, InvalidPayment)}
    for index, outcome in zip(places, opened, strict=True):
        if isinstance(outcome, Conflict | UnknownPortal):
            rejected[index] = str(refusal_of(outcome))
    return {
        "accepted": _count(opened, Accepted),
        "joined": _count(opened, Joined) + _count(opened, AlreadyPaid),
        "rejected": [{"index": index, "error": rejected[index]} for index in sorted(rejected)],
    }


def _announce(app: Any, asked: Sequence[NewPayment], opened: Sequence[Opened]) -> None:
    """Let whoever watches the worker see the items that have a name of their own; the others are seen when sent."""
    if tell := getattr(app, "payments_opened", None):
        named = [pair for pair in zip(asked, opened, strict=True) if not is_our_id(pair[0].id)]
        tell([request for request, _ in named], [outcome for _, outcome in named], {})


def _leave_payments_alone(message_id: str) -> None:
    """Stop when the message has the id of a payment: what it stored would be read as that payment's result."""
    with _waiting_for_the_ledger():
        known = find_payment(message_id)
    if known is not None:
        raise Ignore


def _opened(requests: list[NewPayment]) -> list[Opened]:
    """Write requests down; while the ledger is away the message goes back to the queue, where it is safe.

    The wait keeps a message from going round and round; the ids make it harmless that some were written before.
    """
    with _waiting_for_the_ledger():
        return open_payments(requests)


@contextmanager
def _waiting_for_the_ledger() -> Iterator[None]:
    try:
        yield
    except LedgerUnavailable as error:
        Event().wait(AFTER_OUTAGE_S)
        raise Reject(str(error), requeue=True) from None
    except InvalidPayment:
        raise
    except Exception as error:
        # Celery stores text and traceback of an exception for the producer, and a library's may repeat a URL.
        log.exception("task.stumbled")
        raise RuntimeError(f"the ledger could not be asked: {redact_value(error)}") from None


def _item(
    message_id: str, portal: object, index: int, item: object, context: str | None
) -> NewPayment | InvalidPayment:
    if not isinstance(item, Mapping):
        return InvalidPayment("a payment must be an object with the fields of tasks.pay_invoice")
    if "portal" in item and item["portal"] != portal:
        return InvalidPayment("the item's portal differs from the message's; send one message per portal")
    fields = {str(name): value for name, value in item.items() if name != "task_id"}
    # Without a task_id of its own an item is named by its place, so that a redelivered message finds its payments.
    handle = item.get("task_id") or str(uuid.uuid5(uuid.NAMESPACE_OID, f"{message_id}/{index}"))
    try:
        return replace(parse_payment(handle, {**fields, "portal": portal}), traceparent=context)
    except InvalidPayment as error:
        return error


def _count(opened: Sequence[Opened], kind: type) -> int:
    return sum(isinstance(outcome, kind) for outcome in opened)
