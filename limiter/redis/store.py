"""The limiter in Redis or Valkey: every step is one Lua script, timed by the server's clock.

Keys
    b24pay:{0}:limit:v1:<portal>   hash, expires by itself (limiter.pace.KEEP_S)
        level, level_at, busy_at       the request bucket
        pause_ends_at                  nothing is granted before
        refusals, outages              steps in a row so far; gone after an answer
        command_s                      believed seconds of one pay command
        used_s, reset_at               the portal's account of execution time
        spent_ends_at                  the account is used up until then

Instants are microseconds of unix time. A breaking change of a field's meaning takes a new version into the key, so
that workers of two releases can run beside each other.
"""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Final, cast

from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from limiter import pace
from limiter.limiter import Limits, Observation, Permit

_LUA: Final = Path(__file__).parent / "lua"
_KEEP_MS: Final = int(pace.KEEP_S * 1000)


class RedisLimiter:
    """Paces portals for every process that shares the server; each method is one round trip.

    `client` may decode responses or not. `shard` is the hash tag that a lane's keys share.
    """

    def __init__(self, client: Redis, *, shard: int = 0, chance: Callable[[], float] = random.random) -> None:
        self._prefix = f"b24pay:{{{shard}}}:limit:v1:"
        self._chance = chance
        self._acquire = _script(client, "acquire")
        self._give_back = _script(client, "give_back")
        self._refused = _script(client, "refused")
        self._pause = _script(client, "pause")
        self._execution_spent = _script(client, "execution_spent")
        self._backoff = _script(client, "backoff")
        self._observed = _script(client, "observed")

    async def acquire(self, portal: str, limits: Limits) -> Permit:
        """Take one request permit unless the bucket is full, the portal is paused or the execution budget is spent.

        A replay after a lost reply costs one permit more: the portal is then asked a little slower than it allows.
        """
        granted, wait_s, command_s, left_s = cast(
            "tuple[int, str, str, str]",
            await self._acquire(
                keys=[self._key(portal)],
                args=[
                    limits.rate,
                    limits.burst,
                    pace.reserve(limits),
                    pace.RESERVE_S,
                    limits.execution_s,
                    _KEEP_MS,
                ],
            ),
        )
        return Permit(bool(granted), float(wait_s), _number(command_s), _number(left_s))

    async def give_back(self, portal: str, limits: Limits) -> None:
        """Return a permit whose request was not made."""
        await self._give_back(keys=[self._key(portal)])

    async def refused(self, portal: str, limits: Limits) -> float:
        """Count the bucket as full and pause the portal; a refusal during a pause belongs to the step before it."""
        growth = pace.REFUSED
        args = [limits.burst, pace.RESERVE_S, growth.first_s, growth.most_s, pace.MOST_DOUBLINGS, self._spread()]
        return float(await self._refused(keys=[self._key(portal)], args=[*args, _KEEP_MS]))

    async def pause(self, portal: str, seconds: float) -> None:
        """Grant nothing for this portal for so long (never shortens a pause)."""
        await self._pause(keys=[self._key(portal)], args=[seconds, _KEEP_MS])

    async def execution_spent(self, portal: str, reset_at: float | None) -> float:
        """Wait until the known reset, else a step of 60 s; never longer than 600 s."""
        args = ["" if reset_at is None else reset_at, pace.EXECUTION_STEP_S, pace.EXECUTION_MOST_S, _KEEP_MS]
        return float(await self._execution_spent(keys=[self._key(portal)], args=args))

    async def backoff(self, portal: str) -> float:
        """Pause a portal that is out of order; an outage seen during a pause belongs to the step before it."""
        growth = pace.BACKOFF
        args = [growth.first_s, growth.most_s, pace.MOST_DOUBLINGS, self._spread(), _KEEP_MS]
        return float(await self._backoff(keys=[self._key(portal)], args=args))

    async def observed(self, portal: str, observation: Observation) -> None:
        """Learn from an answered request; it also ends the row of refusals that makes pauses grow."""
        command_s = observation.took_s / observation.commands if observation.commands > 0 else ""
        used_s = "" if observation.operating_s is None else observation.operating_s
        reset_at = "" if observation.operating_reset_at is None else observation.operating_reset_at
        await self._observed(
            keys=[self._key(portal)],
            args=[command_s, used_s, reset_at, pace.FALLING_SHARE, pace.EXECUTION_MOST_S, _KEEP_MS],
        )

    def _key(self, portal: str) -> str:
        return self._prefix + portal

    def _spread(self) -> float:
        return pace.spread(self._chance())


def _script(client: Redis, name: str) -> AsyncScript:
    return client.register_script((_LUA / f"{name}.lua").read_text(encoding="utf-8"))


def _number(field: str) -> float | None:
    return float(field) if field else None
