"""The limiter within one process: for tests and for reading. The Redis limiter does the same in its Lua steps."""

import random
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from limiter import pace
from limiter.account import Account
from limiter.bucket import Bucket
from limiter.limiter import MOST_COMMANDS, Limits, Observation, Pace, Permit
from limiter.speed import Speed, believable


@dataclass(slots=True)
class _Portal:
    """What is known about one portal; instants are seconds of the limiter's clock."""

    bucket: Bucket = field(default_factory=Bucket)
    pause_ends_at: float = 0.0
    outages: int = 0
    speeds: defaultdict[str, Speed] = field(default_factory=lambda: defaultdict(Speed))
    accounts: defaultdict[str, Account] = field(default_factory=lambda: defaultdict(Account))


class MemoryLimiter:
    """Paces portals by an injected clock (unix seconds) and injected chance; every step is atomic in one event loop."""

    def __init__(self, *, clock: Callable[[], float] = time.time, chance: Callable[[], float] = random.random) -> None:
        self._clock = clock
        self._chance = chance
        self._portals: defaultdict[str, _Portal] = defaultdict(_Portal)

    async def acquire(
        self, portal: str, limits: Limits, *, commands: int = MOST_COMMANDS, account: str = "", requests: int = 1
    ) -> Permit:
        """Take permits for up to so many requests unless the bucket, the pause or the account says to wait."""
        now, known = self._clock(), self._portals[portal]
        speed, budget = known.speeds[account], known.accounts[account]
        budget.forget(limits, now)
        fitting, command_s = speed.commands(commands), speed.command_s or 0.0
        level, busy_at = known.bucket.drained(limits, now)
        room = known.bucket.room(level, now - busy_at, limits, now)
        wait_s = max(
            0.0 if room else known.bucket.wait_s(level, limits, now),
            known.pause_ends_at - now,
            budget.wait_s(command_s, fitting, limits, now) if commands else 0.0,
        )
        left_s, reserved_s = budget.left_s(limits, now), 0.0
        if wait_s > pace.ROUNDING / 2:
            return Permit(
                granted=False,
                wait_s=wait_s,
                command_s=speed.command_s,
                execution_left_s=left_s,
                commands=fitting,
                requests=0,
                free=0 if known.pause_ends_at > now else room,
            )
        alone = speed.command_s is None or known.outages > 0
        count = 1 if alone else max(1, min(requests, room))
        if commands:
            count = budget.requests(count, fitting * command_s, limits, now)
        known.bucket.grant(count, level, busy_at, now)
        if commands and left_s is not None:
            if command_s > 0:
                fitting = max(1, min(fitting, int(left_s / command_s)))
            reserved_s = count * fitting * command_s
            budget.reserve(count, fitting * command_s, limits, now)
        return Permit(
            granted=True,
            wait_s=0.0,
            command_s=speed.command_s,
            execution_left_s=left_s,
            commands=fitting,
            reserved_s=reserved_s,
            requests=count,
            free=room - count,
            alone=alone,
        )

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
        """Return permits whose requests were not made, or only the execution time that they did not use."""
        known = self._portals[portal]
        if not made:
            known.bucket.give_back(requests)
        known.accounts[account].take_back(reserved_s)
        known.accounts[account].hasten(reserved_s)

    async def refused(self, portal: str, limits: Limits) -> float:
        """Believe less and pause the portal; a refusal during a pause belongs to the step before it."""
        now, known = self._clock(), self._portals[portal]
        anew = known.pause_ends_at <= now
        if anew:
            known.pause_ends_at = now + pace.REFUSED.pause_s(known.bucket.refusals, self._chance())
        known.bucket.refuse(limits, now, anew=anew)
        return known.pause_ends_at - now

    async def pause(self, portal: str, seconds: float) -> None:
        """Grant nothing for this portal for so long (never shortens a pause)."""
        known = self._portals[portal]
        known.pause_ends_at = max(known.pause_ends_at, self._clock() + seconds)

    async def execution_spent(self, portal: str, limits: Limits, reset_at: float | None, *, account: str = "") -> float:
        """Wait until the known reset, else a step of 60 s; never longer than a window."""
        now, budget = self._clock(), self._portals[portal].accounts[account]
        budget.forget(limits, now)
        return budget.stopped(reset_at, limits, now)

    async def backoff(self, portal: str) -> float:
        """Pause a portal that is out of order; an outage seen during a pause belongs to the step before it."""
        now, known = self._clock(), self._portals[portal]
        if known.pause_ends_at <= now:
            known.pause_ends_at = now + pace.BACKOFF.pause_s(known.outages, self._chance())
            known.outages += 1
        return known.pause_ends_at - now

    async def observed(self, portal: str, limits: Limits, observation: Observation, *, account: str = "") -> None:
        """Learn from an answered request; it also ends the row of refusals that makes pauses grow."""
        now, known = self._clock(), self._portals[portal]
        speed, budget = known.speeds[account], known.accounts[account]
        known.outages = 0
        known.bucket.answered(now - observation.took_s)
        told_s, cost_s = believable(observation.commands_s, observation.took_s), 0.0
        if observation.commands > 0:
            speed.learn(observation.commands, observation.took_s, told_s)
            cost_s = speed.cost_s(observation.took_s, told_s)
        budget.forget(limits, now)
        budget.settle(observation, cost_s, limits, now)

    async def unanswered(self, portal: str, commands: int, took_s: float, *, account: str = "") -> None:
        """Believe that each command takes so long at least; what was reserved stays spent."""
        if commands > 0:
            self._portals[portal].speeds[account].give_up(commands, took_s)

    async def pace(self, portal: str, limits: Limits, *, account: str = "") -> Pace:
        """What is believed now; changes nothing."""
        now, known = self._clock(), self._portals[portal]
        parts = known.bucket, known.speeds[account], known.accounts[account]
        return pace_of(*parts, limits, now, pause_s=max(0.0, known.pause_ends_at - now))


def pace_of(bucket: Bucket, speed: Speed, budget: Account, limits: Limits, now: float, *, pause_s: float) -> Pace:
    """What the three parts believe, for people to read."""
    budget.forget(limits, now)
    return Pace(
        rate=bucket.rate(limits, now),
        burst=bucket.burst(limits, now),
        level=bucket.drained(limits, now)[0],
        pause_s=pause_s,
        command_s=speed.command_s,
        base_s=speed.base_s or 0.0,
        execution_used_s=None if budget.told_s is None else budget.spent_s(),
        execution_limit_s=budget.limit(limits, now),
        commands=speed.commands(MOST_COMMANDS),
    )
