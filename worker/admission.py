"""Turn Celery messages into ledger entries, in groups, and acknowledge them only then.

Celery lets a task bring its own `Strategy`: what the consumer does with a message. Ours hands the request to the
event loop and acknowledges when the ledger has it, which costs about a third of running a task in a pool thread
(celery.md §8). Messages with an ETA, an expiry or a revoked id take Celery's ordinary way through the task's body.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from celery.worker.strategy import default as ordinary_strategy

from config.failpoints import failpoint
from ledger.ledger import AlreadyPaid, Conflict, Joined, Ledger, Undelivered, UnknownPortal
from ledger.payment import OPEN, Handle, NewPayment
from tasks.errors import InvalidPayment
from tasks.payment import is_handle, parse_payment
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


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that was not accepted, and why."""

    request: Request
    error: InvalidPayment


class Admission:
    """Collects requests on the event loop. While one group is written the next one gathers, so an idle worker adds no
    delay and a busy one fills its groups."""

    def __init__(self, ledger: Ledger, results: Results, loop: asyncio.AbstractEventLoop) -> None:
        self._ledger = ledger
        self._results = results
        self._loop = loop
        self._requests: asyncio.Queue[Request] = asyncio.Queue()
        self._refused: asyncio.Queue[Refused] = asyncio.Queue()

    def admit(self, request: Request) -> None:
        """Take a request from any thread."""
        self._loop.call_soon_threadsafe(self._requests.put_nowait, request)

    async def run(self) -> None:
        """Write groups of requests until cancelled; what is not written was not acknowledged either."""
        while True:
            group = [await self._requests.get()]
            while len(group) < AT_ONCE and not self._requests.empty():
                group.append(self._requests.get_nowait())
            await _until_done(lambda: self._take(group), len(group))  # noqa: B023 - awaited before the next group

    async def run_refusals(self) -> None:
        """Tell producers of refusals until cancelled. A result backend that is away holds up nothing else."""
        while True:
            refused = await self._refused.get()
            await _until_done(lambda: self._tell(refused), 1)  # noqa: B023 - awaited before the next one

    async def _take(self, group: Sequence[Request]) -> None:
        wanted = [row.wanted for row in group if isinstance(row.wanted, NewPayment)]
        failpoint("admission.popped", wanted)
        opened = iter(await self._ledger.open(wanted) if wanted else [])
        failpoint("admission.opened", wanted)
        ended: list[Undelivered] = []
        for request in group:
            outcome = request.wanted if isinstance(request.wanted, InvalidPayment) else next(opened)
            match outcome:
                case InvalidPayment():
                    self._refused.put_nowait(Refused(request, outcome))
                case Conflict() | UnknownPortal():
                    self._refused.put_nowait(Refused(request, refusal_of(outcome)))
                case AlreadyPaid(payment) | Joined(payment) if payment.state not in OPEN:
                    ended.append(Undelivered(request.handle, payment))
                    _acknowledge(request)
                case _:
                    _acknowledge(request)
        await self._results.deliver(ended)

    async def _tell(self, refused: Refused) -> None:
        handle = refused.request.handle
        [known] = await self._ledger.find([handle])
        # A message under the id of a payment must not overwrite what that payment's producer reads.
        log.info("request.refused", task_id=handle, error=str(refused.error), id_is_taken=known is not None)
        if known is None:
            await self._results.refuse(handle, refused.error)
        _acknowledge(refused.request)


async def _until_done(work: Callable[[], Awaitable[None]], requests: int) -> None:
    while True:
        try:
            return await work()
        except Exception as error:  # noqa: BLE001 - ledger or result backend, of whatever make
            log.warning("admission.waits", requests=requests, error=type(error).__name__, retry_s=AFTER_OUTAGE_S)
            await asyncio.sleep(AFTER_OUTAGE_S)


def _acknowledge(request: Request) -> None:
    try:
        request.ack()
    except Exception as error:  # noqa: BLE001 - a broker that has gone brings the message again, and it joins
        log.warning("admission.unacknowledged", task_id=request.handle, error=type(error).__name__)


def strategy(task: Any, app: Any, consumer: Any) -> Callable[..., Any]:
    """Celery's hook: what this consumer does with a `tasks.pay_invoice` message."""
    ordinary = ordinary_strategy(task, app, consumer)
    admission: Admission = consumer.controller.payments.admission
    revoked = consumer.controller.state.revoked

    def on_message(message: Any, body: Any, ack: Any, reject: Any, callbacks: Any, **options: Any) -> Any:
        headers = message.headers
        handle = headers.get("id")
        if not is_handle(handle):
            # No result can be stored under such a name, and Celery itself would die of some of them.
            log.error("request.dropped", reason="the message has no usable task id")
            ack(log, consumer.connection_errors)
            return None
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
