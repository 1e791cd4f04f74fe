"""A task that waits for Redis ends when it is cancelled."""

import asyncio
import contextlib

import pytest

from config.connections import async_redis_client


@pytest.mark.parametrize("pause_s", [0.0, 0.0001, 0.001])
async def test_a_cancelled_command_never_swallows_the_cancellation(redis_url: str, pause_s: float) -> None:
    """Whatever moment of a command it hits; and the connections stay usable for others."""
    async with async_redis_client(redis_url, max_connections=2, decode_responses=True) as client:
        keys = [f"k{number}" for number in range(200)]

        async def work() -> None:
            while True:
                await client.mget(keys)

        for turn in range(60):
            task = asyncio.create_task(work())
            await asyncio.sleep(0.002 + turn * pause_s / 10)
            task.cancel()
            done, _ = await asyncio.wait({task}, timeout=2)
            assert task in done, "the cancellation was lost"
            with contextlib.suppress(asyncio.CancelledError):
                await task
            assert await client.ping()
