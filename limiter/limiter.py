"""The limiter's contract: how fast one portal may be asked, shared by all processes and timed by the limiter's clock.

Two implementations pass one conformance suite: `limiter.redis.RedisLimiter` and `limiter.memory.MemoryLimiter`.
"""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Limits:
    """What a portal admits: requests drain at `rate` per second from a bucket of `burst`; execution per 10 minutes."""

    rate: float = 2.0
    burst: int = 50
    execution_s: float = 480.0


@dataclass(frozen=True, slots=True)
class Permit:
    """A right to one request, or how long to wait for it.

    `command_s`: believed seconds of one pay command (a smoothed, pessimistic observation), None before the first.
    `execution_left_s`: what is believed to be left of the execution-time budget, None where the portal has not said.
    """

    granted: bool
    wait_s: float
    command_s: float | None
    execution_left_s: float | None


@dataclass(frozen=True, slots=True)
class Observation:
    """What one answered request taught us."""

    commands: int  # pay commands that ran
    took_s: float  # from first byte sent to last byte read
    operating_s: float | None  # the portal's running `operating` of the method, None where it did not say
    operating_reset_at: float | None  # unix seconds, the portal's `operating_reset_at`


class Limiter(Protocol):
    """Permits, pauses and budgets of portals."""

    async def acquire(self, portal: str, limits: Limits) -> Permit:
        """Take one request permit unless the bucket is full, the portal is paused or the execution budget is spent."""

    async def give_back(self, portal: str, limits: Limits) -> None:
        """Return a permit whose request was not made."""

    async def refused(self, portal: str, limits: Limits) -> float:
        """The portal answered QUERY_LIMIT_EXCEEDED: the bucket counts as full and the portal is paused, longer each
        time in a row, with jitter. Returns the pause in seconds."""

    async def pause(self, portal: str, seconds: float) -> None:
        """Grant nothing for this portal for so long (never shortens a pause)."""

    async def execution_spent(self, portal: str, reset_at: float | None) -> float:
        """The portal answered OPERATION_TIME_LIMIT: wait until the known reset, else 60 s, at most 600 s. Returns the
        wait in seconds."""

    async def backoff(self, portal: str) -> float:
        """The portal could not be reached or is out of order: pause it, longer each time in a row (1 s … 60 s, with
        jitter). Returns the pause in seconds."""

    async def observed(self, portal: str, observation: Observation) -> None:
        """Learn from an answered request; it also ends the row of refusals that makes pauses grow."""
