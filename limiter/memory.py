"""The limiter within one process: for tests and for reading. The Redis limiter does the same in its Lua steps."""

import random
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from limiter import pace
from limiter.limiter import Limits, Observation, Permit

# Below any request; absorbs the rounding of a bucket that is full to the brim.
_ROUNDING = 1e-6


@dataclass(slots=True)
class _Portal:
    """What is known about one portal; instants are seconds of the limiter's clock."""

    level: float = 0.0
    level_at: float = float("-inf")
    busy_at: float = 0.0  # since when the bucket has not been idle
    pause_ends_at: float = 0.0
    refusals: int = 0
    outages: int = 0
    command_s: float | None = None
    used_s: float | None = None
    reset_at: float = 0.0
    spent_ends_at: float = 0.0


class MemoryLimiter:
    """Paces portals by an injected clock (unix seconds) and injected chance; every step is atomic in one event loop."""

    def __init__(self, *, clock: Callable[[], float] = time.time, chance: Callable[[], float] = random.random) -> None:
        self._clock = clock
        self._chance = chance
        self._portals: defaultdict[str, _Portal] = defaultdict(_Portal)

    async def acquire(self, portal: str, limits: Limits) -> Permit:
        """Take one request permit unless the bucket is full, the portal is paused or the execution budget is spent."""
        now, known = self._clock(), self._portals[portal]
        left_s = _execution_left_s(known, limits, now)
        level, busy_at = _drained(known, limits, now)
        wait_s = max(
            _bucket_wait_s(level, now - busy_at, limits),
            known.pause_ends_at - now,
            _execution_wait_s(known, left_s, now),
            0.0,
        )
        if wait_s <= 0:
            known.level, known.level_at, known.busy_at = level + 1, now, busy_at
        return Permit(wait_s <= 0, wait_s, known.command_s, left_s)

    async def give_back(self, portal: str, limits: Limits) -> None:
        """Return a permit whose request was not made."""
        known = self._portals[portal]
        known.level = max(0.0, known.level - 1)

    async def refused(self, portal: str, limits: Limits) -> float:
        """Count the bucket as full and pause the portal; a refusal during a pause belongs to the step before it."""
        now, known = self._clock(), self._portals[portal]
        known.level, known.level_at = float(limits.burst), now
        known.busy_at = min(known.busy_at, now - pace.RESERVE_S)
        if known.pause_ends_at <= now:
            known.pause_ends_at = now + pace.REFUSED.pause_s(known.refusals, self._chance())
            known.refusals += 1
        return known.pause_ends_at - now

    async def pause(self, portal: str, seconds: float) -> None:
        """Grant nothing for this portal for so long (never shortens a pause)."""
        known = self._portals[portal]
        known.pause_ends_at = max(known.pause_ends_at, self._clock() + seconds)

    async def execution_spent(self, portal: str, reset_at: float | None) -> float:
        """Wait until the known reset, else a step of 60 s; never longer than 600 s."""
        now, known = self._clock(), self._portals[portal]
        resets = [instant for instant in (reset_at, known.reset_at) if instant is not None and instant > now]
        wait_s = min(resets[0] - now if resets else pace.EXECUTION_STEP_S, pace.EXECUTION_MOST_S)
        known.spent_ends_at = max(known.spent_ends_at, now + wait_s)
        known.used_s = None  # the portal contradicted it
        return known.spent_ends_at - now

    async def backoff(self, portal: str) -> float:
        """Pause a portal that is out of order; an outage seen during a pause belongs to the step before it."""
        now, known = self._clock(), self._portals[portal]
        if known.pause_ends_at <= now:
            known.pause_ends_at = now + pace.BACKOFF.pause_s(known.outages, self._chance())
            known.outages += 1
        return known.pause_ends_at - now

    async def observed(self, portal: str, observation: Observation) -> None:
        """Learn from an answered request; it also ends the row of refusals that makes pauses grow."""
        known = self._portals[portal]
        known.refusals = known.outages = 0
        if observation.commands > 0:
            known.command_s = _believed_s(known.command_s, observation.took_s / observation.commands)
        if observation.operating_s is not None:
            _note_execution(known, observation.operating_s, observation.operating_reset_at, self._clock())


def _drained(known: _Portal, limits: Limits, now: float) -> tuple[float, float]:
    """The level now, and since when the bucket has been busy: idle long enough, it starts afresh."""
    # A clock that was set back must not stop the draining until it has caught up.
    known.level_at = min(known.level_at, now)
    passed_s = now - known.level_at
    level = max(0.0, known.level - limits.rate * passed_s)
    idle_s = passed_s - known.level / limits.rate
    return level, now if idle_s >= pace.RESERVE_S else min(known.busy_at, now)


def _bucket_wait_s(level: float, busy_s: float, limits: Limits) -> float:
    whole = pace.reserve(limits)
    if level + min(whole, limits.rate * busy_s) + 1 <= limits.burst + _ROUNDING:
        return 0.0
    # The reserve will have grown to its whole by then.
    return max(_ROUNDING, (level + whole + 1 - limits.burst) / limits.rate)


def _execution_left_s(known: _Portal, limits: Limits, now: float) -> float | None:
    if known.spent_ends_at > now:
        return 0.0
    if known.used_s is None:
        return None
    return limits.execution_s - known.used_s if known.reset_at > now else limits.execution_s


def _execution_wait_s(known: _Portal, left_s: float | None, now: float) -> float:
    if left_s is None or left_s > 0:
        return 0.0
    return max(known.spent_ends_at, known.reset_at if known.used_s is not None else 0.0) - now


def _believed_s(before: float | None, seen: float) -> float:
    if before is None or seen >= before:
        return seen
    return before + pace.FALLING_SHARE * (seen - before)


def _note_execution(known: _Portal, used_s: float, reset_at: float | None, now: float) -> None:
    """Keep the newest account of the portal. Replies of one window overtake each other: its largest figure counts."""
    current = known.used_s is not None and known.reset_at > now
    if reset_at is None:
        reset_at = known.reset_at if current else now + pace.EXECUTION_MOST_S
    # What resets later than a whole window from now is nonsense, and would stop the portal for as long.
    reset_at = min(reset_at, now + pace.EXECUTION_MOST_S)
    if known.used_s is not None and current:
        if reset_at < known.reset_at:
            return
        if reset_at == known.reset_at:
            used_s = max(used_s, known.used_s)
    known.used_s, known.reset_at = used_s, reset_at
