"""The limiter against a portal's own bucket, over real HTTP."""

import asyncio

import aiohttp
import pytest

from config.connections import async_redis_client
from emulator import running_emulator
from limiter.limiter import Limits
from limiter.redis import RedisLimiter

# Past the burst, so that the pace afterwards is seen too: about six seconds at two requests a second.
REQUESTS = 60
SENDERS = 8


@pytest.mark.parametrize("count_rejected", [False, True])
async def test_greedy_senders_that_ask_for_permits_are_never_refused(redis_url: str, count_rejected: bool):
    """0 x 503: the whole burst leaves at once, and what follows keeps the portal's pace."""
    limits = Limits(rate=2.0, burst=50)
    rate = {"burst": limits.burst, "per_s": limits.rate, "count_rejected": count_rejected}
    async with (
        running_emulator({"template": {"rate": rate}}, any_loopback=0, addresses=()) as emulator,
        async_redis_client(redis_url, max_connections=SENDERS, decode_responses=False) as redis,
        aiohttp.ClientSession() as session,
    ):
        limiter, url = RedisLimiter(redis), emulator.webhook(emulator.loopback(1))
        statuses: list[int] = []
        left = iter(range(REQUESTS))

        async def send() -> None:
            for _ in left:
                while not (permit := await limiter.acquire("acme", limits)).granted:  # noqa: ASYNC110 - the limiter says how long
                    await asyncio.sleep(permit.wait_s)
                async with session.post(f"{url}server.time", json={}) as response:
                    statuses.append(response.status)

        await asyncio.gather(*(send() for _ in range(SENDERS)))
    assert statuses == [200] * REQUESTS
