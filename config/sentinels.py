"""The one pool redis-py does not ship: asyncio, behind sentinels, and waiting for a free connection."""

from redis.asyncio import BlockingConnectionPool
from redis.asyncio.sentinel import SentinelConnectionPool


class BlockingSentinelPool(SentinelConnectionPool, BlockingConnectionPool):
    """Follows the master as the sentinels name it; a coroutine waits for a connection instead of failing.

    The order of the bases matters: the sentinel half picks the connection's address and hands its arguments on to
    the blocking half, which owns the bound and the waiting.
    """
