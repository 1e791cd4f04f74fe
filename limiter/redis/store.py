"""The limiter in Redis or Valkey: every step is one Lua script, timed by the server's clock.

Keys
    b24pay:{0}:limit:v1:<portal>             hash, expires by itself (limiter.pace.KEEP_S)
        level, level_at, busy_at                 the request bucket
        cut_at, bound, cut_burst, granted        what is believed since the portal's last refusal
        pause_ends_at                            nothing is granted before
        refusals, outages                        steps in a row so far; gone after an answer
    the same hash for the pay method, else b24pay:{0}:limit:v1:<portal>:account:<name>
        command_s, base_s, fit                   believed seconds of one pay command and of a request; the sums behind
        used_s, reset_at, settled_at             the portal's own figure of execution time
        parts                                    what was spent in the window: "micros:spent:reserved", oldest first
        evenly, paced_ends_at, paced             the budget is being spent evenly; the next request from then on, and
                                                 the seconds of execution per second that this follows from
        spent_ends_at                            the account is used up until then
        limit_s, limit_at                        the portal stopped us earlier than configured

Instants are microseconds of unix time. Absent fields have defaults, and older releases ignore what they do not know. A
breaking change of a field's meaning takes a new version into the key, so that workers of two releases can run beside
each other.
"""

import random
from collections.abc import Callable, Mapping
from typing import Final, cast

from redis.asyncio import Redis

from limiter import pace
from limiter.limiter import MOST_COMMANDS, Limits, Observation, Pace, Permit
from limiter.redis.rows import pace_of_rows
from limiter.redis.scripts import step

_KEEP_MS: Final = int(pace.KEEP_S * 1000)


class RedisLimiter:
    """Paces portals for every process that shares the server; each method is one round trip.

    `client` may decode responses or not. `shard` is the hash tag that a lane's keys share.
    """

    def __init__(self, client: Redis, *, shard: int = 0, chance: Callable[[], float] = random.random) -> None:
        self._client = client
        self._prefix = f"b24pay:{{{shard}}}:limit:v1:"
        self._chance = chance
        self._acquire = client.register_script(step("acquire"))
        self._give_back = client.register_script(step("give_back"))
        self._refused = client.register_script(step("refused"))
        self._pause = client.register_script(step("pause"))
        self._execution_spent = client.register_script(step("execution_spent"))
        self._backoff = client.register_script(step("backoff"))
        self._observed = client.register_script(step("observed"))
        self._unanswered = client.register_script(step("unanswered"))

    async def acquire(
        self, portal: str, limits: Limits, *, commands: int = MOST_COMMANDS, account: str = "", requests: int = 1
    ) -> Permit:
        """Take permits for up to so many requests unless the bucket, the pause or the account says to wait.

        A replay after a lost reply costs as many permits more: the portal is then asked slower than it allows.
        """
        granted, wait_s, command_s, left_s, fitting, reserved_s, count, free, alone = cast(
            "tuple[int, str, str, str, int, str, int, int, int]",
            await self._acquire(
                keys=[self._key(portal), self._key(portal, account)],
                args=[
                    limits.rate,
                    limits.burst,
                    pace.reserve(limits),
                    pace.RESERVE_S,
                    limits.execution_s,
                    limits.execution_window_s,
                    commands,
                    _KEEP_MS,
                    requests,
                ],
            ),
        )
        return Permit(
            granted=bool(granted),
            wait_s=float(wait_s),
            command_s=_number(command_s),
            execution_left_s=_number(left_s),
            commands=int(fitting),
            reserved_s=float(reserved_s),
            requests=int(count),
            free=int(free),
            alone=bool(alone),
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
        keys = [self._key(portal), self._key(portal, account)]
        await self._give_back(keys=keys, args=[reserved_s, limits.execution_window_s, 0 if made else requests])

    async def refused(self, portal: str, limits: Limits) -> float:
        """Believe less and pause the portal; a refusal during a pause belongs to the step before it."""
        growth = pace.REFUSED
        args = [limits.rate, limits.burst, pace.reserve(limits), pace.RESERVE_S]
        args += [growth.first_s, growth.most_s, pace.MOST_DOUBLINGS, self._spread(), _KEEP_MS]
        return float(await self._refused(keys=[self._key(portal)], args=args))

    async def pause(self, portal: str, seconds: float) -> None:
        """Grant nothing for this portal for so long (never shortens a pause)."""
        await self._pause(keys=[self._key(portal)], args=[seconds, _KEEP_MS])

    async def execution_spent(self, portal: str, limits: Limits, reset_at: float | None, *, account: str = "") -> float:
        """Wait until the known reset, else a step of 60 s; never longer than a window."""
        told = "" if reset_at is None else reset_at
        args = [told, pace.EXECUTION_STEP_S, limits.execution_s, limits.execution_window_s, _KEEP_MS]
        return float(await self._execution_spent(keys=[self._key(portal, account)], args=args))

    async def backoff(self, portal: str) -> float:
        """Pause a portal that is out of order; an outage seen during a pause belongs to the step before it."""
        growth = pace.BACKOFF
        args = [growth.first_s, growth.most_s, pace.MOST_DOUBLINGS, self._spread(), _KEEP_MS]
        return float(await self._backoff(keys=[self._key(portal)], args=args))

    async def observed(self, portal: str, limits: Limits, observation: Observation, *, account: str = "") -> None:
        """Learn from an answered request; it also ends the row of refusals that makes pauses grow."""
        used_s = "" if observation.operating_s is None else observation.operating_s
        reset_at = "" if observation.operating_reset_at is None else observation.operating_reset_at
        commands_s = "" if observation.commands_s is None else observation.commands_s
        args = [observation.commands, observation.took_s, used_s, reset_at, observation.reserved_s]
        args += [limits.execution_window_s, _KEEP_MS, commands_s]
        await self._observed(keys=[self._key(portal), self._key(portal, account)], args=args)

    async def unanswered(self, portal: str, commands: int, took_s: float, *, account: str = "") -> None:
        """Believe that each command takes so long at least; what was reserved stays spent."""
        if commands > 0:
            await self._unanswered(keys=[self._key(portal, account)], args=[commands, took_s, _KEEP_MS])

    async def pace(self, portal: str, limits: Limits, *, account: str = "") -> Pace:
        """What is believed now; changes nothing."""
        async with self._client.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.hgetall(self._key(portal))
            pipe.hgetall(self._key(portal, account))
            (seconds, micros), portal_row, account_row = await pipe.execute()
        return pace_of_rows(portal_row, account_row, limits, float(seconds) + float(micros) / 1_000_000)

    async def paces(self, portals: Mapping[str, Limits]) -> dict[str, Pace]:
        """What is believed now of some portals, in one round trip; changes nothing."""
        async with self._client.pipeline(transaction=False) as pipe:
            pipe.time()
            for portal in portals:
                pipe.hgetall(self._key(portal))
            (seconds, micros), *rows = await pipe.execute()
        now = float(seconds) + float(micros) / 1_000_000
        return {
            portal: pace_of_rows(row, row, limits, now)
            for (portal, limits), row in zip(portals.items(), rows, strict=True)
        }

    def _key(self, portal: str, account: str = "") -> str:
        return f"{self._prefix}{portal}:account:{account}" if account else self._prefix + portal

    def _spread(self) -> float:
        return pace.spread(self._chance())


def _number(field: str) -> float | None:
    return float(field) if field else None
