"""The limiter's contract: how fast one portal may be asked, shared by all processes and timed by the limiter's clock.

Two implementations pass one conformance suite: `limiter.redis.RedisLimiter` and `limiter.memory.MemoryLimiter`.

`account` names what the portal charges execution time to, where a lane uses more than one (credential, method); the
empty name is the lane's pay method. A request with `commands=0` is charged to none: it is never held up by one.
"""

from dataclasses import dataclass
from typing import Final, Protocol

MOST_COMMANDS: Final = 49  # a batch holds 50, and one of them is the read-back


@dataclass(frozen=True, slots=True)
class Limits:
    """What a portal admits: requests drain at `rate` per second from a bucket of `burst`; so many seconds of execution
    in any window."""

    rate: float = 2.0
    burst: int = 50
    execution_s: float = 480.0
    execution_window_s: float = 600.0


@dataclass(frozen=True, slots=True)
class Permit:
    """A right to so many requests at once, or how long to wait for one.

    `command_s`: believed seconds of one pay command without the request's own latency, None before the first answer.
    `execution_left_s`: what is believed to be left of the execution-time budget, None where the portal has not said.
    `commands`: how many pay commands each request may carry; the believed cost of all of them, `reserved_s`, counts as
    spent until `observed` or `give_back` is told the figure.
    `free`: how many more requests the bucket would admit right now; 0 while the portal is paused.
    `alone`: nobody knows whether, or how fast, the portal answers: before the first answer and after an outage. One
    request is granted at a time then, and nothing should fly beside it.
    """

    granted: bool
    wait_s: float
    command_s: float | None
    execution_left_s: float | None
    commands: int = MOST_COMMANDS
    reserved_s: float = 0.0
    requests: int = 1  # 0 where not granted
    free: int = 0
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Observation:
    """What one answered request taught us."""

    commands: int  # pay commands that ran
    took_s: float  # from first byte sent to last byte read
    operating_s: float | None  # the portal's running `operating` of the method, None where it did not say
    operating_reset_at: float | None  # unix seconds, the portal's `operating_reset_at`
    reserved_s: float = 0.0  # its permit's
    commands_s: float | None = None  # what these commands took at the portal, None where it did not say


@dataclass(frozen=True, slots=True)
class Pace:
    """What is believed about a portal now, for people to read."""

    rate: float  # requests per second; less than the configured one after a refusal
    burst: float
    level: float  # requests that the bucket holds now
    pause_s: float  # nothing is granted for so long
    command_s: float | None
    base_s: float  # what a request takes beside its commands
    execution_used_s: float | None  # in flight included; None where the portal does not say
    execution_limit_s: float
    commands: int = MOST_COMMANDS  # how many pay commands a request would carry, if that many payments waited


class Limiter(Protocol):
    """Permits, pauses and budgets of portals."""

    async def acquire(
        self, portal: str, limits: Limits, *, commands: int = MOST_COMMANDS, account: str = "", requests: int = 1
    ) -> Permit:
        """Take permits for up to so many requests, unless the bucket is full, the portal is paused or the execution
        budget is spent or being spent too fast. `commands`: how many pay commands each request could carry; 0 for
        requests without any. Before the first answer one request is granted at a time."""

    async def give_back(
        self,
        portal: str,
        limits: Limits,
        *,
        reserved_s: float = 0.0,
        account: str = "",
        made: bool = False,
        requests: int = 1,
    ) -> None:
        """Return permits whose requests were not made, with the execution time they had reserved. `made`: they were
        made and cost no execution time, so only that comes back."""

    async def refused(self, portal: str, limits: Limits) -> float:
        """The portal answered QUERY_LIMIT_EXCEEDED: the bucket counts as full, the portal is paused, longer each time
        in a row, with jitter, and the believed limits fall. Returns the pause in seconds."""

    async def pause(self, portal: str, seconds: float) -> None:
        """Grant nothing for this portal for so long (never shortens a pause)."""

    async def execution_spent(self, portal: str, limits: Limits, reset_at: float | None, *, account: str = "") -> float:
        """The portal answered OPERATION_TIME_LIMIT: wait until the known reset, else a step, at most a whole window.
        Returns the wait in seconds."""

    async def backoff(self, portal: str) -> float:
        """The portal could not be reached or is out of order: pause it, longer each time in a row (1 s … 60 s, with
        jitter). Returns the pause in seconds."""

    async def observed(self, portal: str, limits: Limits, observation: Observation, *, account: str = "") -> None:
        """Learn from an answered request; it also ends the row of refusals that makes pauses grow."""

    async def unanswered(self, portal: str, commands: int, took_s: float, *, account: str = "") -> None:
        """A request was given up after so long: its commands take so long at least, and the next one is smaller. What
        it had reserved stays spent, because the portal may have gone on."""

    async def pace(self, portal: str, limits: Limits, *, account: str = "") -> Pace:
        """What is believed now; changes nothing."""
