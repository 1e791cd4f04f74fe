"""Hints that a lane became due, over one subscription per process."""

import asyncio
from typing import TYPE_CHECKING

from ledger.redis.scripts import PREFIX

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from redis.asyncio.client import PubSub

# One look at the due-set answers all hints that are there already; more than this many wait for the next look.
_DRAIN = 1000


class WakeUp:
    """A subscription that is made when it is first needed, and again after the connection broke."""

    def __init__(self, client: "Redis") -> None:
        self._client = client
        self._subscription: PubSub | None = None
        self._turn = asyncio.Lock()

    async def wait(self, timeout_s: float) -> None:
        """Return on a hint or after the timeout; raises what the client raises when the server is away."""
        async with self._turn:
            try:
                await self._wait(timeout_s)
            except BaseException:
                # A broken or half-read subscription is of no use; the next wait makes a new one.
                await self._drop()
                raise

    async def _wait(self, timeout_s: float) -> None:
        if self._subscription is None:
            self._subscription = self._client.pubsub(ignore_subscribe_messages=True)
            await self._subscription.subscribe(PREFIX + "wake")
            return  # what came before the subscription was not heard, so look once
        deadline = asyncio.get_running_loop().time() + timeout_s
        while (left := deadline - asyncio.get_running_loop().time()) > 0:
            if await self._subscription.get_message(timeout=left) is not None:
                break
        for _ in range(_DRAIN):
            if await self._subscription.get_message(timeout=0) is None:
                return

    async def close(self) -> None:
        """End the subscription."""
        async with self._turn:
            await self._drop()

    async def _drop(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            await subscription.aclose()  # type: ignore[no-untyped-call]  # the library leaves it untyped
