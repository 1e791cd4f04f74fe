"""Turn Celery messages into ledger entries, in groups, and acknowledge them only then.

Celery lets a task bring its own `Strategy`: what the consumer does with a message. Ours hands the request to the
event loop and acknowledges when the ledger has it, which costs about a third of running a task in a pool thread
(celery.md §8). Messages with an ETA, an expiry or a revoked id take Celery's ordinary way through the task's body.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from celery.worker.strategy import default as ordinary_strategy

from ledger.ledger import AlreadyPaid, Conflict, Joined, Ledger, Opened, Undelivered, UnknownPortal
from ledger.payment import OPEN, Handle, NewPayment
from tasks.errors import InvalidPayment
from tasks.payment import parse_payment
from tasks.result import refusal_of
from worker.results import Results

log = structlog.get_logger(__name__)

AT_ONCE = 100  # requests per step of the ledger
AFTER_OUTAGE_S = 1.0  # messages stay unacknowledged meanwhile; the prefetch limit bounds how many


@dataclass(frozen=True, slots=True)
class Request:
    """A message's request and how to say that it is taken care of."""

    handle: Handle
    wanted: NewPayment | InvalidPayment
    ack: Callable[[], None]


class Admission:
    """Collects requests on the event loop. While one group is written the next one gathers, so an idle worker adds no
    delay and a busy one fills its groups."""

    def __init__(self, ledger: Ledger, results: Results, loop: asyncio.AbstractEventLoop) -> None:
        self._ledger = ledger
        self._results = results
        self._loop = loop
        self._requests: asyncio.Queue[Request] = asyncio.Queue()

    def admit(self, request: Request) -> None:
        """Take a request from any thread."""
        self._loop.call_soon_threadsafe(self._requests.put_nowait, request)

    async def run(self) -> None:
        """Write groups of requests until cancelled; what is not written was not acknowledged either."""
        while True:
            group = [await self._requests.get()]
            while len(group) < AT_ONCE and not self._requests.empty():
                group.append(self._requests.get_nowait())
            await self._until_taken(group)

    async def _until_taken(self, group: Sequence[Request]) -> None:
        while True:
            try:
                await self._take(group)
            except Exception as error:  # noqa: BLE001 - ledger or result backend, of whatever make
                log.warning("admission.waits", requests=len(group), error=type(error).__name__, retry_s=AFTER_OUTAGE_S)
                await asyncio.sleep(AFTER_OUTAGE_S)
            else:
                for request in group:
                    request.ack()
                return

    async def _take(self, group: Sequence[Request]) -> None:
        wanted = [(row.handle, row.wanted) for row in group if isinstance(row.wanted, NewPayment)]
        opened = await self._ledger.open([payment for _, payment in wanted]) if wanted else []
        refusals: list[tuple[Handle, Exception]] = [
            (row.handle, row.wanted) for row in group if isinstance(row.wanted, InvalidPayment)
        ]
        ended: list[Undelivered] = []
        for (handle, _), outcome in zip(wanted, opened, strict=True):
            self._sort(handle, outcome, refusals, ended)
        await self._results.refuse(refusals)
        await self._results.deliver(ended)

    def _sort(
        self, handle: Handle, outcome: Opened, refusals: list[tuple[Handle, Exception]], ended: list[Undelivered]
    ) -> None:
        match outcome:
            case Conflict() | UnknownPortal():
                refusals.append((handle, refusal_of(outcome)))
            case AlreadyPaid(payment) | Joined(payment) if payment.state not in OPEN:
                ended.append(Undelivered(handle, payment))
            case _:
                return
        log.info("request.answered", task_id=handle, outcome=type(outcome).__name__)


def strategy(task: Any, app: Any, consumer: Any) -> Callable[..., Any]:
    """Celery's hook: what this consumer does with a `tasks.pay_invoice` message."""
    ordinary = ordinary_strategy(task, app, consumer)
    admission: Admission = consumer.controller.payments.admission
    revoked = consumer.controller.state.revoked

    def on_message(message: Any, body: Any, ack: Any, reject: Any, callbacks: Any, **options: Any) -> Any:
        headers = message.headers
        handle = headers.get("id")
        if body is not None or headers.get("eta") or headers.get("expires") or handle in revoked:
            return ordinary(message, body, ack, reject, callbacks, **options)
        request = Request(handle, _wanted(handle, message), lambda: ack(log, consumer.connection_errors))
        admission.admit(request)
        return None

    return on_message


def _wanted(handle: str, message: Any) -> NewPayment | InvalidPayment:
    """The payment a message asks for. Raises kombu's DecodeError for a body that is not JSON: Celery answers that."""
    payload = message.payload
    try:
        args, kwargs, _embedded = payload
        if args or not isinstance(kwargs, dict):
            return InvalidPayment(
                "tasks.pay_invoice takes keyword arguments only: portal, invoice_id, pay_system_id, …"
            )
        return parse_payment(handle, kwargs)
    except InvalidPayment as error:
        return error
    except (TypeError, ValueError):
        return InvalidPayment("the message body is not [args, kwargs, embed], as Celery's protocol 2 has it")
