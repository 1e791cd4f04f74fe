"""What tests of several boxes on a real server share. `client` is the module's own: it knows its connections."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from tests.conformance.ledger.server import ServerWorld


@pytest.fixture
async def world(client: Redis) -> AsyncIterator[ServerWorld]:
    """An empty ledger on a server."""
    world = ServerWorld(client)
    await world.start_clock()
    yield world
    await world.ledger.close()
