"""Results for producers: what `AsyncResult(handle)` reads, whatever the result backend is.

The ledger's outbox keeps a final result until it was delivered, so a lost delivery is repeated by the sweeper.
"""

import asyncio
import json
from collections.abc import Awaitable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import structlog
from celery import states
from celery.exceptions import TaskRevokedError

from config.failpoints import failpoint
from ledger.ledger import Ledger, Undelivered
from ledger.payment import Handle, Payment, State
from metrics.work import Work
from tasks.result import failure_of, result_of
from worker.events import Events, Unwatched

log = structlog.get_logger(__name__)

# A backend that takes longer is away. Its time is no lane's time, so it may be long.
PUT_WITHIN_S = 30.0
MOST_BESIDE = 500  # deliveries under way at once; each holds one request's payments in memory
BACKEND_THREADS = 4

# A request that takes longer shows its payments as STARTED meanwhile.
STARTED_AFTER_S: Final = 0.25

# One step instead of two commands a payment: packing and reading those was most of the cost.
_PUT: Final = """
local options = {}
if tonumber(ARGV[1]) > 0 then options = {'EX', ARGV[1]} end
if ARGV[2] == '1' then options[#options + 1] = 'NX' end
for n, key in ipairs(KEYS) do
  redis.call('SET', key, ARGV[n + 2], unpack(options))
  if ARGV[2] == '0' then redis.call('PUBLISH', key, ARGV[n + 2]) end
end
return #KEYS
"""

Meta = tuple[Handle, str, object]  # handle, Celery state, result (a JSON value, or an exception)


class Mailbox(Protocol):
    """A place where results are put down, several in one go."""

    async def put(self, metas: Sequence[Meta], *, only_new: bool) -> None:
        """Store results; `only_new` leaves alone what is there already."""


class RedisMailbox:
    """Celery's Redis result backend, written in one step (a small part of the cost of Celery's own way)."""

    def __init__(self, client: Any, backend: Any) -> None:  # Celery has no types, and our step is untyped as well
        self._backend = backend
        self._step = client.register_script(_PUT)

    async def put(self, metas: Sequence[Meta], *, only_new: bool) -> None:
        """SET with Celery's expiry and PUBLISH, as `RedisBackend` does."""
        keys = [self._backend.get_key_for_task(handle) for handle, _, _ in metas]
        values = [json.dumps(_meta(handle, state, self._encoded(result))) for handle, state, result in metas]
        expires_s = int(self._backend.expires or 0)
        await self._step(keys=keys, args=[expires_s, int(only_new), *values])

    def _encoded(self, result: object) -> object:
        return self._backend.prepare_exception(result) if isinstance(result, Exception) else result


class CeleryMailbox:
    """Any other Celery result backend, through its own blocking interface in a thread."""

    def __init__(self, backend: Any) -> None:  # Celery has no types
        self._backend = backend
        # Threads of its own: a backend that hangs must not use up those that resolve the portals' names.
        self._threads = ThreadPoolExecutor(BACKEND_THREADS, "results")

    async def put(self, metas: Sequence[Meta], *, only_new: bool) -> None:
        """Celery itself never overwrites a SUCCESS; a state that would come late is not worth a read."""
        if not only_new:
            await asyncio.get_running_loop().run_in_executor(self._threads, self._put, metas)

    def _put(self, metas: Sequence[Meta]) -> None:
        for handle, state, result in metas:
            self._backend.store_result(handle, result, state)


class Results:
    """Tells producers, and whoever watches, what becomes of payments."""

    def __init__(
        self, mailbox: Mailbox, ledger: Ledger, events: Events | None = None, work: Work | None = None
    ) -> None:
        self._work = work or Work()
        self._mailbox = mailbox
        self._ledger = ledger
        self.events = events or Unwatched()
        # Requests in flight by their payments' identity; `celery inspect active` reads it from another thread.
        self._leaving: dict[int, Sequence[Payment]] = {}
        self._telling: set[asyncio.Task[bool]] = set()

    @contextmanager
    def started(self, payments: Sequence[Payment]) -> Iterator[None]:
        """Let payments show as STARTED when what is done inside takes some time."""
        later = asyncio.get_running_loop().call_later(STARTED_AFTER_S, self.show_started, payments)
        self._leaving[id(payments)] = payments
        self.events.started(payments)
        try:
            yield
        finally:
            later.cancel()
            del self._leaving[id(payments)]

    def in_flight(self) -> list[Payment]:
        """Payments whose call is under way in this process; any thread may ask."""
        return [payment for payments in list(self._leaving.values()) for payment in payments]

    def show_started(self, payments: Sequence[Payment]) -> None:
        """Let payments show as STARTED, beside: it never overwrites anything, so it may come late."""
        metas: list[Meta] = [(Handle(payment.id), states.STARTED, None) for payment in payments]
        if metas:
            self._beside(self._quietly(self._put(metas, only_new=True)))

    def deliver_beside(self, undelivered: Sequence[Undelivered]) -> None:
        """Deliver while the lane goes on: a backend that hangs keeps no payment waiting. The outbox remembers."""
        if undelivered:
            self._beside(self.deliver(undelivered))

    async def finish(self, patience_s: float) -> None:
        """Let what is under way arrive; what does not is delivered by another worker's sweeper."""
        if self._telling:
            await asyncio.wait(self._telling, timeout=patience_s)

    async def deliver(self, undelivered: Sequence[Undelivered]) -> bool:
        """Store final results and confirm them; False when the result backend is away: they stay in the outbox."""
        if not undelivered:
            return True
        metas = [_final(entry) for entry in undelivered]
        arrived = await self._quietly(self._put(metas, only_new=False))
        self._work.delivered(len(metas), arrived=arrived)
        if not arrived:
            return False
        failpoint("results.stored", [entry.payment for entry in undelivered])
        self.events.ended(undelivered)
        await self._quietly(self._ledger.delivered(undelivered))
        return True

    async def refuse(self, handle: Handle, error: Exception) -> None:
        """Store why a request was not accepted; raises what the backend raises, because nothing else remembers it."""
        state = states.REVOKED if isinstance(error, TaskRevokedError) else states.FAILURE
        await self._put([(handle, state, error)], only_new=False)
        self.events.refused(handle, error)

    def _beside(self, work: Coroutine[Any, Any, bool]) -> None:
        if len(self._telling) >= MOST_BESIDE:
            work.close()  # the backend does not keep up: the sweeper delivers it later
            return
        telling = asyncio.create_task(work)
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)

    async def _put(self, metas: Sequence[Meta], *, only_new: bool) -> None:
        async with asyncio.timeout(PUT_WITHIN_S):
            await self._mailbox.put(metas, only_new=only_new)

    async def _quietly(self, work: Awaitable[None]) -> bool:
        try:
            await work
        except Exception as error:  # noqa: BLE001 - any backend may raise anything; the outbox remembers
            log.warning("results.unavailable", error=type(error).__name__)
            return False
        return True


def _final(entry: Undelivered) -> Meta:
    if entry.payment.state is State.PAID:
        return entry.handle, states.SUCCESS, result_of(entry.payment)
    return entry.handle, states.FAILURE, failure_of(entry.payment)


def _meta(handle: str, state: str, result: object) -> dict[str, object]:
    """Celery's stored form of a result (celery.md §7)."""
    return {
        "status": state,
        "result": result,
        "traceback": None,
        "children": [],
        "date_done": datetime.now(UTC).isoformat() if state in states.READY_STATES else None,
        "task_id": handle,
    }
