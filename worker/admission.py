"""Turn Celery messages into ledger entries, in groups, and acknowledge them only then.

Celery lets a task bring its own `Strategy`: what the consumer does with a message. Ours hands the request to the
event loop and acknowledges when the ledger has it, which costs about a third of running a task in a pool thread
(celery.md §8). What a message looks like was checked before (`worker/consumer.py`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import structlog
from celery.exceptions import TaskRevokedError
from celery.worker.strategy import default as ordinary_strategy

from config.failpoints import failpoint
from ledger.ledger import AlreadyPaid, Conflict, Joined, Ledger, Undelivered, UnknownPortal
from ledger.payment import OPEN, Handle, NewPayment
from tasks.errors import InvalidPayment
from tasks.payment import parse_payment
from tasks.result import refusal_of
from worker import tracing
from worker.inspection import moment
from worker.results import Results

log = structlog.get_logger(__name__)

AT_ONCE = 100  # requests per step of the ledger
AFTER_OUTAGE_S = 1.0  # messages stay unacknowledged meanwhile; the prefetch limit bounds how many


@dataclass(frozen=True, slots=True)
class Request:
    """A message's request and how to say that it is taken care of."""

    handle: Handle
    wanted: NewPayment | InvalidPayment | TaskRevokedError
    ack: Callable[[], None]
    headers: Mapping[str, Any] = field(default_factory=dict)  # of the message


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that was not accepted, and why."""

    request: Request
    error: InvalidPayment | TaskRevokedError


class Admission:
    """Collects requests on the event loop. While one group is written the next one gathers, so an idle worker adds no
    delay and a busy one fills its groups."""

    def __init__(self, ledger: Ledger, results: Results, loop: asyncio.AbstractEventLoop) -> None:
        self._ledger = ledger
        self._results = results
        self._loop = loop
        self._requests: asyncio.Queue[Request] = asyncio.Queue()
        self._refused: asyncio.Queue[Refused] = asyncio.Queue()

    def admit(self, requests: Iterable[Request]) -> None:
        """Take requests from any thread; what comes together is written together."""
        self._loop.call_soon_threadsafe(self._put, requests)

    def _put(self, requests: Iterable[Request]) -> None:
        for request in requests:
            self._requests.put_nowait(request)

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
        began_ns = tracing.now_ns()
        answers = await self._ledger.open(wanted) if wanted else []
        failpoint("admission.opened", wanted)
        tracing.admitted(wanted, answers, began_ns)
        self._results.events.received(wanted, answers, {row.handle: row.headers for row in group})
        opened = iter(answers)
        ended: list[Undelivered] = []
        for request in group:
            outcome = next(opened) if isinstance(request.wanted, NewPayment) else request.wanted
            match outcome:
                case InvalidPayment() | TaskRevokedError():
                    self._refused.put_nowait(Refused(request, outcome))
                case Conflict() | UnknownPortal():
                    self._refused.put_nowait(Refused(request, refusal_of(outcome)))
                case AlreadyPaid(payment) | Joined(payment) if payment.state not in OPEN:
                    ended.append(Undelivered(request.handle, payment))
                    _acknowledge(request)
                case _:
                    _acknowledge(request)
        self._results.deliver_beside(ended)

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


class Gathering:
    """Requests of one turn of Celery's event loop, handed to the admission at its end: the messages that were fetched
    in one step come to the ledger in one step, and the payments' loop is woken once."""

    def __init__(self, admission: Admission, consumer: Any) -> None:
        self._admission = admission
        self._consumer = consumer
        self._requests: list[Request] = []

    def add(self, request: Request) -> None:
        """Take a request while messages are delivered."""
        if not self._requests:
            self._consumer.call_soon(self._hand_over)
        self._requests.append(request)

    def _hand_over(self) -> None:
        requests, self._requests = self._requests, []
        self._admission.admit(requests)


def strategy(task: Any, app: Any, consumer: Any) -> Callable[..., Any]:
    """Celery's hook: what this consumer does with a `tasks.pay_invoice` message."""
    admission: Admission = consumer.controller.payments.admission
    gathering = Gathering(admission, consumer)
    revoked = consumer.controller.state.revoked

    def on_message(message: Any, body: Any, ack: Any, *_: Any, **_options: Any) -> None:
        eta = moment(message.headers.get("eta"))
        if eta is not None and eta > datetime.now(UTC):
            consumer.later(eta, lambda: admission.admit([request_of(message, ack)]))
        else:
            gathering.add(request_of(message, ack))

    def request_of(message: Any, ack: Any) -> Request:
        handle = message.headers["id"]
        wanted = _withdrawn(message.headers, revoked) or _wanted(handle, message)
        return Request(handle, wanted, lambda: ack(log, consumer.connection_errors), message.headers)

    return on_message


def bulk_strategy(task: Any, app: Any, consumer: Any) -> Callable[..., Any]:
    """The same for `tasks.pay_invoices`: Celery's way, except that it must not store REVOKED under a payment's id."""
    ordinary = ordinary_strategy(task, app, consumer)
    admission: Admission = consumer.controller.payments.admission
    revoked = consumer.controller.state.revoked

    def on_message(message: Any, body: Any, ack: Any, *rest: Any, **options: Any) -> Any:
        withdrawn = _withdrawn(message.headers, revoked)
        if withdrawn is None:
            return ordinary(message, body, ack, *rest, **options)
        admission.admit([Request(message.headers["id"], withdrawn, lambda: ack(log, consumer.connection_errors))])
        return None

    return on_message


def _withdrawn(headers: Mapping[str, Any], revoked: Container[str]) -> TaskRevokedError | None:
    """Whether nobody wants it any more; in Celery's words, because a producer reads them."""
    if headers["id"] in revoked:
        return TaskRevokedError("revoked")
    expires = moment(headers.get("expires"))
    return TaskRevokedError("expired") if expires is not None and expires < datetime.now(UTC) else None


def _wanted(handle: str, message: Any) -> NewPayment | InvalidPayment:
    args, kwargs, embed = message.payload
    if args:
        return InvalidPayment("tasks.pay_invoice takes keyword arguments only: portal, invoice_id, pay_system_id, …")
    after = [spoken for name, spoken in _AFTERWARDS.items() if (embed or {}).get(name)]
    if after:
        # They belong to a task's end. This task ends when the payment is written down, long before it is paid.
        return InvalidPayment(
            f"tasks.pay_invoice starts nothing afterwards, and the message asks for {', '.join(after)}; "
            f"wait for the payment's result, AsyncResult(id).get(), and start the next step yourself"
        )
    try:
        return tracing.with_context(parse_payment(handle, kwargs), message.headers)
    except InvalidPayment as error:
        return error


# What Celery's protocol can attach to a task, by its names in the message and in a producer's code.
_AFTERWARDS: Final = {"callbacks": "link", "errbacks": "link_error", "chain": "chain", "chord": "chord"}
