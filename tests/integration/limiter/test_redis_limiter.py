"""The Redis limiter on a real server: the conformance suite, and what only a shared server can show."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from config.connections import async_redis_client
from limiter.limiter import Limits
from limiter.redis import RedisLimiter
from tests.conformance.limiter.suite import LimiterSuite
from tests.conformance.limiter.world import PORTAL, an_observation, granted

SLOW = Limits(rate=0.01, burst=50)
KEY = "b24pay:{0}:limit:v1:acme"


class RedisWorld:
    """Time is the server's; it passes by moving every instant that the limiter has written down into the past."""

    def __init__(self, client: Redis) -> None:
        self.client = client
        self.chance = 0.0
        self.limiter = RedisLimiter(client, chance=lambda: self.chance)

    async def now(self) -> float:
        seconds, micros = await self.client.time()
        return float(seconds) + micros / 1_000_000

    async def pass_time(self, seconds: float) -> None:
        async for key in self.client.scan_iter("b24pay:*:limit:*"):
            for name, value in (await self.client.hgetall(key)).items():
                if name.endswith(b"_at"):
                    await self.client.hset(key, name, int(float(value) - seconds * 1_000_000))
                elif name == b"parts":
                    await self.client.hset(key, name, b" ".join(_earlier(part, seconds) for part in value.split()))


def _earlier(part: bytes, seconds: float) -> bytes:
    at, rest = part.split(b":", 1)
    return b"%d:%s" % (int(at) - int(seconds * 1_000_000), rest)


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Redis]:
    """A client with a connection for each of the coroutines that ask together."""
    async with async_redis_client(redis_url, max_connections=100, decode_responses=False) as client:
        yield client


@pytest.fixture
async def world(client: Redis) -> RedisWorld:
    """A limiter on an empty server."""
    return RedisWorld(client)


class TestRedis(LimiterSuite):
    """Every claim of the suite holds on a real server."""


async def test_processes_share_one_bucket(world: RedisWorld, redis_url: str):
    """Two clients that ask together get one burst between them, decoding responses or not."""
    async with async_redis_client(redis_url, max_connections=60, decode_responses=True) as other_client:
        other = RedisLimiter(other_client)
        permits = await asyncio.gather(
            *(limiter.acquire(PORTAL, SLOW) for limiter in (world.limiter, other) for _ in range(60))
        )
    assert sum(permit.granted for permit in permits) == SLOW.burst


async def test_every_key_expires_by_itself(world: RedisWorld):
    """Whatever was noted about a portal is forgotten once nobody asks it any more; a longer pause is not."""
    await granted(world, 1)
    await world.limiter.observed(PORTAL, SLOW, an_observation())
    await world.limiter.refused(PORTAL, SLOW)
    await world.limiter.backoff("b")
    await world.limiter.execution_spent("c", SLOW, None)
    await world.limiter.observed("d", SLOW, an_observation(commands=0))
    await world.limiter.give_back("e", SLOW)
    await world.limiter.pause("f", 200_000)
    lives = {key.rpartition(b":")[2]: await world.client.ttl(key) async for key in world.client.scan_iter("*")}
    assert await world.client.ttl(KEY) > 86_000
    assert all(86_000 < lives[name] <= 86_400 for name in (b"acme", b"b", b"c"))
    assert 199_000 < lives[b"f"] <= 200_000
    assert set(lives) == {b"acme", b"b", b"c", b"f"}


async def test_a_restarted_server_gets_the_scripts_again(world: RedisWorld):
    """A server that has forgotten its scripts is taught them without an error."""
    await granted(world, 1)
    await world.client.script_flush()
    assert (await world.limiter.acquire(PORTAL, SLOW)).granted


async def test_a_clock_that_is_set_back_does_not_stop_a_portal(world: RedisWorld):
    """After a failover to a server whose clock is an hour behind, the bucket drains from the new time."""
    limits = Limits(2.0, 50)
    await granted(world, 50, limits)
    await world.pass_time(-3600)
    permit = await world.limiter.acquire(PORTAL, limits)
    await world.pass_time(permit.wait_s)
    assert permit.wait_s < 2
    assert (await world.limiter.acquire(PORTAL, limits)).granted


async def test_a_step_is_one_round_trip(world: RedisWorld):
    """Permit, pause, command time and budget come back from a single command."""
    await world.limiter.acquire(PORTAL, SLOW)
    before = (await world.client.info("stats"))["total_commands_processed"]
    await world.limiter.acquire(PORTAL, SLOW)
    after = (await world.client.info("stats"))["total_commands_processed"]
    # The script's own commands count too; INFO is one more.
    assert after - before <= 1 + 1 + 6


async def test_rows_of_an_older_release_are_read(world: RedisWorld):
    """Its believed time and its sum of execution time count; its workers go on beside ours."""
    micros = int(await world.now() * 1_000_000)
    old = {"level": 3, "level_at": micros, "busy_at": micros, "command_s": "0.3", "used_s": "400"}
    await world.client.hset(KEY, mapping={**old, "reset_at": micros + 300_000_000})
    permit = await world.limiter.acquire(PORTAL, SLOW)
    assert permit.granted
    assert permit.command_s == 0.3
    assert permit.execution_left_s == pytest.approx(80, abs=0.1)
    assert permit.commands == 49
