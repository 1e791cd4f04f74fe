"""A limiter in a test: its clock, its chance, and builders. Time never passes by sleeping: a `World` lets it pass."""

import asyncio
from dataclasses import replace
from typing import Protocol

from limiter.limiter import Limiter, Limits, Observation

PORTAL = "acme"
# So slow that the milliseconds a test takes on a real server drain nothing that could be granted.
SLOW = Limits(rate=0.01, burst=50)
STANDARD = Limits(rate=2.0, burst=50)


class World(Protocol):
    """A limiter, the clock it believes in, and the chance (0 … 1) it spreads pauses with."""

    limiter: Limiter
    chance: float

    async def now(self) -> float:
        """Unix seconds of the limiter's clock."""

    async def pass_time(self, seconds: float) -> None:
        """Let time pass for everything the limiter knows."""


def an_observation(**changes: object) -> Observation:
    """An answered batch of ten pay commands that took a second."""
    plain = Observation(commands=10, took_s=1.0, operating_s=None, operating_reset_at=None)
    return replace(plain, **changes)  # type: ignore[arg-type]  # the tests name real fields


async def granted(world: World, asked: int, limits: Limits = SLOW, portal: str = PORTAL) -> int:
    """How many of so many requests at once get a permit."""
    permits = await asyncio.gather(*(world.limiter.acquire(portal, limits) for _ in range(asked)))
    return sum(permit.granted for permit in permits)
