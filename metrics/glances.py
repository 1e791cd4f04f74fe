"""
What changes from moment to moment, seen often: the lanes' figures, what is owed, the workers' signs of life.

A glance is a part of a `Standing` that costs the ledger's server a millisecond with a few hundred lanes. Whoever asks
within a fraction of a second is given the same glance, so that a hundred who watch cost no more than one.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ledger.payment import State
from ledger.redis.overview import LanesOverview, Overview, Owed
from metrics.life import Sign, SignsOfLife
from metrics.table import OTHER, TOP_LANES

if TYPE_CHECKING:
    from redis.asyncio import Redis

FRESH_S: Final = 0.15
# Beyond it a server is as good as away: whoever looks must be told.
WITHIN_S: Final = 3.0
# A rate is that of the last so many seconds.
_RATE_S: Final = 10.0
_AUDIT: Final = "b24pay:{0}:audit"  # access/audit.py
_PARKED: Final = "b24pay:{0}:parked"  # worker/parked.py


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """One glance. `paid_per_s` is None until there was time to measure."""

    lanes: LanesOverview
    owed: Owed
    signs: tuple[Sign, ...]
    parked: int
    latest_change: str  # the newest row of the audit
    paid_per_s: float | None

    @property
    def counts(self) -> dict[State, int]:
        """Payments by state, of all lanes."""
        rows = (*self.lanes.first, self.lanes.rest)
        return {state: sum(row.counts[state] for row in rows) for state in State}

    @property
    def waiting_s(self) -> float:
        """How long the oldest queued payment waits; 0 without one."""
        return max((row.waiting_s for row in (*self.lanes.first, self.lanes.rest)), default=0.0)

    @property
    def in_doubt_s(self) -> float:
        """How long the oldest doubt is one; 0 without one."""
        return max((row.in_doubt_s for row in (*self.lanes.first, self.lanes.rest)), default=0.0)

    @property
    def mark(self) -> object:
        """Equal to that of another glance where nothing has happened in between. Ages grow by themselves."""
        lanes = [(row.portal, tuple(row.counts.values())) for row in (*self.lanes.first, self.lanes.rest)]
        owed = (self.owed.results, self.owed.callbacks, self.owed.callbacks_failed)
        signs = [(sign.node, sign.condition, sign.hindrance) for sign in self.signs]
        return lanes, dict(self.lanes.held), owed, signs, self.parked, self.latest_change


class Glances:
    """One per process, because it remembers. Raises RedisError, OSError or TimeoutError where Redis does not tell."""

    def __init__(self, redis: "Redis", *, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis = redis
        self._clock = clock
        self._overview = Overview(redis, most=TOP_LANES, rest=OTHER)
        self._signs = SignsOfLife(redis)
        self._turn = asyncio.Lock()
        self._latest: Glance | None = None
        self._latest_at = float("-inf")
        self._paid: deque[tuple[float, int]] = deque()

    async def look(self) -> Glance:
        """How everything stands, at most `FRESH_S` old."""
        async with self._turn:
            if self._latest is None or self._clock() - self._latest_at >= FRESH_S:
                async with asyncio.timeout(WITHIN_S):
                    self._latest = await self._look()
                self._latest_at = self._clock()
            return self._latest

    async def held(self, most: int) -> list[str]:
        """The portals of the first held lanes."""
        async with asyncio.timeout(WITHIN_S):
            return await self._overview.held(most)

    async def _look(self) -> Glance:
        lanes, owed, signs, (parked, newest) = await asyncio.gather(
            self._overview.lanes(), self._overview.owed(), self._signs.all(), self._others()
        )
        paid = sum(row.counts[State.PAID] for row in (*lanes.first, lanes.rest))
        return Glance(
            lanes=lanes,
            owed=owed,
            signs=tuple(signs),
            parked=parked,
            latest_change=newest,
            paid_per_s=self._rate(paid),
        )

    async def _others(self) -> tuple[int, str]:
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.llen(_PARKED)
            pipe.xrevrange(_AUDIT, count=1)
            parked, rows = await pipe.execute()
        newest = rows[0][0] if rows else ""
        return int(parked), newest.decode() if isinstance(newest, bytes) else newest

    def _rate(self, paid: int) -> float | None:
        """Payments paid a second, of late. What retention forgets does not count as less than none."""
        now = self._clock()
        while self._paid and now - self._paid[0][0] > _RATE_S:
            self._paid.popleft()
        self._paid.append((now, paid))
        first_at, first = self._paid[0]
        if now - first_at < 1:
            return None
        return max(0, paid - first) / (now - first_at)
