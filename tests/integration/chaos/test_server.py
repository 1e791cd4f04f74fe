"""The storm's server: a killed one keeps what it has answered, a power loss takes exactly the latest."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from chaos.server import StormServer
from config.connections import redis_client


@pytest.fixture
async def server() -> AsyncIterator[StormServer]:
    async with StormServer().running() as server:
        yield server


async def write(server: StormServer, seconds: float) -> dict[str, float]:
    """Write keys for a while; each with the moment when its answer came."""
    written = {}
    end = time.time() + seconds
    with redis_client(server.url, decode_responses=True) as client:
        while time.time() < end:
            key = f"k{len(written)}"
            client.set(key, "x" * 100)
            written[key] = time.time()
            await asyncio.sleep(0.005)
    return written


def kept(server: StormServer) -> set[str]:
    with redis_client(server.url, decode_responses=True) as client:
        return set(client.scan_iter(count=1000))


async def test_a_killed_server_has_everything_that_it_answered(server: StormServer) -> None:
    """A crash of the process is no loss: the file was written before the answer."""
    written = await write(server, 0.2)
    await server.kill(0.0)
    assert kept(server) == set(written)


async def test_a_power_loss_takes_the_latest_and_nothing_before_it(server: StormServer) -> None:
    """What was answered before the interval stays; something inside of it is gone; the cut may split a command."""
    written = await write(server, 0.8)
    loss = await server.lose_power(0.3, 0.0, 0.5)
    left = kept(server)
    assert {key for key, at in written.items() if at < loss.from_at} <= left
    gone = set(written) - left
    assert gone
    assert all(loss.from_at <= written[key] <= loss.to_at for key in gone)
    assert loss.bytes > 0


async def test_power_may_be_lost_again_and_again(server: StormServer) -> None:
    """Each loss has an interval of its own that begins after the restart before it, and the server always starts."""
    restarted_at = 0.0
    for into in (1.0, 0.5, 0.9, 0.3):
        written = await write(server, 0.15)
        loss = await server.lose_power(0.1, 0.0, into)
        assert loss.from_at >= restarted_at
        assert {key for key, at in written.items() if at < loss.from_at} <= kept(server)
        restarted_at = loss.to_at
