"""The gate of one process: what it believes while Redis is there, and while it is away."""

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from access.gate import CACHE_S, REMEMBERED_S, Gate, NotAdmitted
from access.roles import Role
from access.tokens import Tokens
from cli.embedded import EmbeddedServer
from config.connections import async_redis_client


class Clock:
    """A clock that a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


async def test_in_an_outage_what_was_known_last_counts_for_a_while(own_server: EmbeddedServer):
    """So that whoever watches sees it; nobody comes in who was not in before, and a refused one stays out."""
    clock = Clock()
    async with async_redis_client(own_server.url, max_connections=2, decode_responses=False) as client:
        tokens = Tokens(client)
        gate = Gate(tokens, clock=clock)
        known, gone, unseen = [await tokens.create(name, Role.VIEWER) for name in ("known", "gone", "unseen")]
        await tokens.revoke(gone.token.id)
        assert (await gate.admit(known.text)).name == "known"
        with pytest.raises(NotAdmitted):
            await gate.admit(gone.text)
        assert not await gate.is_open()
        own_server.kill()
        clock.now += CACHE_S
        assert (await gate.admit(known.text)).name == "known"
        assert not await gate.is_open()
        with pytest.raises(NotAdmitted):
            await gate.admit(gone.text)
        with pytest.raises(RedisConnectionError):
            await gate.admit(unseen.text)
        clock.now += REMEMBERED_S
        with pytest.raises(RedisConnectionError):
            await gate.admit(known.text)
