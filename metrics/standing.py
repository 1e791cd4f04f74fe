"""How everything stands, by one look at the ledger's server: short steps that write nothing, and a few round trips.

With 1,000 lanes a look costs the server some milliseconds in four steps (docs/metrics.md); whoever asks again within a
second is given the same look, so that many who watch cost no more than one.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import structlog
from redis.exceptions import RedisError, ResponseError

from bitrix24.registry import PortalRegistry
from ledger.redis.overview import LaneOverview, LanesOverview, Overview, Owed
from limiter.limiter import Limits, Pace
from limiter.redis import RedisLimiter
from metrics.life import Condition, SignsOfLife
from metrics.table import OTHER, TOP_LANES

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = structlog.get_logger(__name__)

FRESH_S: Final = 1.0
# Prometheus gives a scrape ten seconds; a server that needs longer than this is as good as away.
WITHIN_S: Final = 5.0
_QUEUE: Final = "payments"
# Kombu keeps a list for each priority behind the queue's own (config/celery.py has the queue's other names).
_PRIORITIES: Final = (_QUEUE, *(f"{_QUEUE}\x06\x16{step}" for step in (3, 6, 9)))
_UNACKED: Final = f"{_QUEUE}.unacked"
_PARKED: Final = "b24pay:{0}:parked"  # worker/parked.py
_PARKINGS: Final = "b24pay:{0}:parkings"


@dataclass(frozen=True, slots=True, kw_only=True)
class Messages:
    """What is under way between producers and the ledger."""

    waiting: int
    unacknowledged: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """How the ledger's server is."""

    memory_used: int  # bytes
    memory_max: int  # bytes; 0: no limit
    writes_failing: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One look. None is what could not be had."""

    took_s: float
    lanes: LanesOverview
    paces: Mapping[str, Pace]  # of the lanes that have series of their own
    owed: Owed
    parked: int
    parkings: int
    workers: Mapping[Condition, int]
    messages: Messages | None
    server: Server | None


class Looks:
    """Looks when asked; `broker` is None where the broker is no Redis."""

    def __init__(
        self,
        redis: "Redis",
        broker: "Redis | None",
        registry: PortalRegistry,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redis = redis
        self._broker = broker
        self._registry = registry
        self._clock = clock
        self._overview = Overview(redis, most=TOP_LANES, rest=OTHER)
        self._limiter = RedisLimiter(redis)
        self._signs = SignsOfLife(redis)
        self._latest: Standing | None = None
        self._latest_at = float("-inf")
        self._turn = asyncio.Lock()

    async def look(self) -> Standing | None:
        """How everything stands, at most a second old; None where Redis does not tell."""
        async with self._turn:
            if self._clock() - self._latest_at >= FRESH_S:
                self._latest = await self._look()
                self._latest_at = self._clock()
            return self._latest

    async def _look(self) -> Standing | None:
        began = self._clock()
        try:
            async with asyncio.timeout(WITHIN_S):
                (lanes, paces), owed, (parked, parkings), workers, messages, server = await asyncio.gather(
                    self._lanes(),
                    self._overview.owed(),
                    self._parked(),
                    self._workers(),
                    self._messages(),
                    self._server(),
                )
                return Standing(
                    lanes=lanes,
                    paces=paces,
                    owed=owed,
                    parked=parked,
                    parkings=parkings,
                    workers=workers,
                    messages=messages,
                    server=server,
                    took_s=self._clock() - began,
                )
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("metrics.blind", error=type(error).__name__)
            return None

    async def _lanes(self) -> tuple[LanesOverview, dict[str, Pace]]:
        lanes = await self._overview.lanes()
        return lanes, await self._paces(lanes.first)

    async def _paces(self, lanes: Sequence[LaneOverview]) -> dict[str, Pace]:
        portals = await self._registry.some([lane.portal for lane in lanes])
        admitted = {
            portal.key: Limits(
                portal.limits.requests_per_second,
                portal.limits.burst,
                portal.limits.execution_seconds_per_10_min,
                portal.limits.execution_window_s,
            )
            for portal in portals
        }
        return await self._limiter.paces(admitted)

    async def _parked(self) -> tuple[int, int]:
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.llen(_PARKED)
            pipe.get(_PARKINGS)
            parked, parkings = await pipe.execute()
        return int(parked), int(parkings or 0)

    async def _workers(self) -> dict[Condition, int]:
        signs = await self._signs.all()
        return {condition: sum(sign.condition is condition for sign in signs) for condition in Condition}

    async def _messages(self) -> Messages | None:
        if self._broker is None:
            return None
        try:
            async with self._broker.pipeline(transaction=False) as pipe:
                for queue in _PRIORITIES:
                    pipe.llen(queue)
                pipe.hlen(_UNACKED)
                *waiting, unacknowledged = await pipe.execute()
        except (RedisError, OSError) as error:
            log.warning("metrics.broker_away", error=type(error).__name__)
            return None
        return Messages(waiting=sum(map(int, waiting)), unacknowledged=int(unacknowledged))

    async def _server(self) -> Server | None:
        try:
            memory: Mapping[str, Any] = await self._redis.info("memory")
            disk: Mapping[str, Any] = await self._redis.info("persistence")
        except ResponseError:  # not permitted to this user
            return None
        return Server(
            memory_used=int(memory.get("used_memory", 0)),
            memory_max=int(memory.get("maxmemory", 0)),
            writes_failing=str(disk.get("aof_last_write_status", "ok")) != "ok",
        )
