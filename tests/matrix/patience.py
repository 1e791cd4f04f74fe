"""Waiting for what other processes do; many wait at once, so each looks rarely."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

LOOK_EVERY_S: Final = 0.2


async def until(condition: Callable[[], Awaitable[bool]], *, within_s: float) -> None:
    """Return when the condition holds; raises TimeoutError."""
    async with asyncio.timeout(within_s):
        while not await condition():  # noqa: ASYNC110 - other processes set no event
            await asyncio.sleep(LOOK_EVERY_S)
