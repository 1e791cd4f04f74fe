"""One process' event loop and everything that lives on it: the place where the parts are built."""

import asyncio
import os
import signal
import socket
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import structlog
from redis.exceptions import RedisError

from bitrix24.client import Client
from bitrix24.fence import clock
from bitrix24.registry import PortalRegistry
from bitrix24.renewal import Renewal
from callbacks.courier import Courier
from callbacks.sending import Sender
from callbacks.signing import SigningSecrets
from config.connections import async_redis_client
from config.settings import Settings
from config.version import version_of_ours
from ledger.ledger import Ledger
from ledger.redis import RedisLedger
from limiter.redis import RedisLimiter
from metrics.life import Doing, SignsOfLife
from metrics.listener import Listener
from metrics.pulse import Beat, Pulse
from metrics.work import Work
from worker.admission import Admission
from worker.deps import Deps, quiet_after_claim_s
from worker.dispatcher import Dispatcher
from worker.events import Events
from worker.heart import Heart
from worker.parked import ParkedMessages
from worker.parking import ParkingPlace
from worker.probing import Prober
from worker.results import CeleryMailbox, Mailbox, RedisMailbox, Results
from worker.sweeper import Sweeper

log = structlog.get_logger(__name__)

# Every request in flight may be settling at once; too small a pool once made leases run out.
REDIS_CONNECTIONS = 128
HTTP_CONNECTIONS = 1000  # over all portals; a lane has at most 64 requests in flight
LOOK_S = 0.2  # how often a start that waits for Redis looks whether it is to stop
AFTER_OUTAGE_S = 1.0
# Contract: a process stops within 30 s of SIGTERM. Calls that last longer become in doubt and are read back.
PATIENCE_S = 22.0
PARTS_PATIENCE_S = 3.0
STOP_WITHIN_S = 28.0
DAY_S = 86_400
# A portal that left five calls of one invoice unanswered, each read back as unpaid, needs a person.
MOST_ATTEMPTS = 5


class Runtime:
    """Runs the dispatcher, the admission, the sweeper and the prober on a loop in a thread of its own."""

    def __init__(self, settings: Settings, backend: Any, events: Events | None = None, *, node: str) -> None:
        self._node = node
        self._settings = settings
        self._events = events
        self._backend = backend
        self._thread = threading.Thread(target=self._run, name="payments", daemon=True)
        self._started = threading.Event()
        self._stop = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._failure: BaseException | None = None
        self._work = Work()
        self.pulse = Pulse()
        for beat in Beat:
            self._work.shows_age(beat.value, partial(self.pulse.age_s, beat))
        listen = settings.metrics_listen
        self._listener = None if listen is None else Listener(listen, self._work.registry, self.pulse)
        self.admission: Admission
        self.parking: ParkingPlace
        self.results: Results

    def start(self, maybe_stop: Callable[[], None]) -> None:
        """Return when the loop works; raises what kept it from starting.

        Redis may come up after its workers, so it is waited for; `maybe_stop` raises when the process is to stop.
        """
        if self._listener is not None:
            self._listener.start()
        self._thread.start()
        while not self._started.wait(LOOK_S):
            maybe_stop()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Let what is in flight finish, hand the lanes back, and end the loop."""
        self.pulse.stopping = True
        if self._loop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(STOP_WITHIN_S)
        if self._listener is not None:
            self._listener.stop()

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:
            self._failure = error
            log.exception("runtime.failed", error=type(error).__name__)
            if self._started.is_set():
                _end_process()
        finally:
            self._started.set()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        owner = _owner()
        async with (
            open_parts(self._settings, self._backend, self._events, self._work) as deps,
            _open_parked(self._settings) as parked,
            _open_courier(self._settings, deps.ledger) as courier,
            self._open_heart(owner, deps.work) as heart,
        ):
            self.results = deps.results
            self.parking = parking = ParkingPlace(parked, deps.ledger, deps.results, self._loop)
            self.admission = admission = Admission(deps.ledger, deps.results, self._loop)
            dispatcher = Dispatcher(owner, deps, self.pulse)
            beside = [
                asyncio.create_task(admission.run()),
                asyncio.create_task(admission.run_refusals()),
                asyncio.create_task(parking.run()),
                asyncio.create_task(Sweeper(deps.ledger, deps.results).run()),
                asyncio.create_task(Prober(deps).run()),
                asyncio.create_task(heart.run()),
                asyncio.create_task(courier.run()),
                asyncio.create_task(courier.run_sweeps()),
            ]
            driving = asyncio.create_task(dispatcher.run())
            log.info("runtime.started")
            self._started.set()
            await self._until_stopped([driving, *beside])
            await dispatcher.stop(PATIENCE_S)
            await asyncio.gather(driving, return_exceptions=True)
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            parts = (deps.results, deps.renewal, courier)
            await asyncio.gather(*(part.finish(PARTS_PATIENCE_S) for part in parts), heart.end())
            log.info("runtime.stopped")

    @asynccontextmanager
    async def _open_heart(self, owner: str, work: Work) -> AsyncIterator[Heart]:
        """A connection of its own: a busy worker is not to look dead."""
        ours = version_of_ours()

        def doing() -> Doing:
            return Doing(owner=owner, version=ours, lanes=round(work.lanes()), requests=round(work.requests()))

        async with async_redis_client(self._settings.redis_url, max_connections=1, decode_responses=False) as client:
            yield Heart(self._node, self.pulse, SignsOfLife(client), self._shown_at, doing)

    def _shown_at(self) -> str | None:
        return self._listener.listens_at if self._listener is not None else None

    async def _until_stopped(self, parts: Sequence[asyncio.Task[None]]) -> None:
        """Wait for the stop. A part that ends by itself makes the process useless: it stops, to be started again."""
        stopping = asyncio.create_task(self._stop.wait())
        done, _ = await asyncio.wait({stopping, *parts}, return_when=asyncio.FIRST_COMPLETED)
        if stopping in done:
            return
        stopping.cancel()
        errors = [type(task.exception()).__name__ for task in done if not task.cancelled() and task.exception()]
        log.error("runtime.failed", error=", ".join(errors) or "a part ended")
        _end_process()


def _end_process() -> None:
    """Without its loop a worker is of no use: it stops in order, and its supervisor starts another."""
    os.kill(os.getpid(), signal.SIGTERM)


async def _until_it_answers(ledger: RedisLedger) -> None:
    """Wait for a server that is still coming up; raises UnknownSchema where it is another version's."""
    while True:
        try:
            return await ledger.check_schema()
        except (RedisError, OSError) as error:
            log.warning("ledger.unavailable", error=type(error).__name__, retry_s=AFTER_OUTAGE_S)
            await asyncio.sleep(AFTER_OUTAGE_S)


def _owner() -> str:
    """A name for this process' leases: where to look, and unique even when a process id comes again."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:6]}"


@asynccontextmanager
async def open_parts(
    settings: Settings, backend: Any, events: Events | None = None, work: Work | None = None
) -> AsyncIterator[Deps]:
    """Connect everything that a process works with; closed in the opposite order."""
    work = work or Work()
    redis = async_redis_client(settings.redis_url, max_connections=REDIS_CONNECTIONS, decode_responses=False)
    quiet_s = quiet_after_claim_s(settings.http_total_s, settings.portal_cut_s)
    ledger = RedisLedger(
        redis,
        lease_s=settings.lease_s,
        retention_s=settings.retention_days * DAY_S,
        max_attempts=MOST_ATTEMPTS,
        quiet_s=quiet_s,
    )
    client = Client(
        http_total_s=settings.http_total_s,
        allow_insecure=settings.allow_insecure_portals,
        connections=HTTP_CONNECTIONS,
        proxy=settings.portal_proxy_url,
    )
    async with redis, client, _open_mailbox(settings, backend) as mailbox:
        await _until_it_answers(ledger)
        registry = PortalRegistry(redis, settings.secret_keys)
        yield Deps(
            ledger=ledger,
            limiter=RedisLimiter(redis),
            client=client,
            registry=registry,
            renewal=Renewal(redis, registry, client, allow_insecure=settings.allow_insecure_portals),
            results=Results(mailbox, ledger, events, work),
            quarantine=asyncio.Lock(),
            clock=clock,
            http_total_s=settings.http_total_s,
            lease_s=settings.lease_s,
            quiet_s=quiet_s,
            work=work,
        )


@asynccontextmanager
async def _open_parked(settings: Settings) -> AsyncIterator[ParkedMessages]:
    """A connection of its own, so that a flood of unreadable messages holds up no payment."""
    async with async_redis_client(settings.redis_url, max_connections=1, decode_responses=False) as client:
        yield ParkedMessages(client)


@asynccontextmanager
async def _open_courier(settings: Settings, ledger: Ledger) -> AsyncIterator[Courier]:
    """Signing secrets by a connection of its own; a session of its own, so that receivers hold up no portal."""
    async with (
        async_redis_client(settings.redis_url, max_connections=1, decode_responses=False) as client,
        Sender(settings.callback_rules) as sender,
    ):
        yield Courier(ledger.callbacks, SigningSecrets(client, settings.secret_keys), sender)


@asynccontextmanager
async def _open_mailbox(settings: Settings, backend: Any) -> AsyncIterator[Mailbox]:
    """Redis backends are written in groups through a connection of our own, others through Celery."""
    from celery.backends.redis import RedisBackend

    if not isinstance(backend, RedisBackend):
        yield CeleryMailbox(backend)
        return
    url = settings.result_backend_url
    async with async_redis_client(url, max_connections=REDIS_CONNECTIONS, decode_responses=False) as client:
        yield RedisMailbox(client, backend)
