"""A ledger on a real server whose clock stands still until a test moves it.

The steps ask the server for its time in one place, the prelude; here that place reads a key instead. Expiry, which the
server does by its own clock, is moved by the same amount.
"""

from collections.abc import Mapping

from redis.asyncio import Redis

from ledger.redis import RedisLedger
from ledger.redis.scripts import Script, load_scripts
from tests.conformance.ledger.world import LEASE_S, MAX_ATTEMPTS, QUIET_S, RETENTION_S

CLOCK_KEY = "test:clock"
_ASKS_TIME = "redis.call('TIME')"
_READS_KEY = f"redis.call('HMGET', '{CLOCK_KEY}', 'seconds', 'micros')"


def with_a_stopped_clock(scripts: Mapping[str, Script]) -> dict[str, Script]:
    """The same steps on a clock that is a key."""
    assert all(script.text.count(_ASKS_TIME) == 1 for script in scripts.values())
    return {name: Script.of(script.text.replace(_ASKS_TIME, _READS_KEY)) for name, script in scripts.items()}


class ServerWorld:
    """Time is a key."""

    def __init__(self, client: Redis) -> None:
        self.client = client
        self.ledger = RedisLedger(
            client,
            lease_s=LEASE_S,
            retention_s=RETENTION_S,
            max_attempts=MAX_ATTEMPTS,
            quiet_s=QUIET_S,
            scripts=with_a_stopped_clock(load_scripts()),
        )

    async def start_clock(self) -> None:
        """Begin at a round moment, 2026-11-24."""
        await self.client.hset(CLOCK_KEY, mapping={"seconds": 1_795_478_400, "micros": 0})

    async def pass_time(self, seconds: float) -> None:
        """Move the clock of the steps and the expiry of every key."""
        clock = await self.client.hmget(CLOCK_KEY, "seconds", "micros")
        micros = int(clock[0]) * 1_000_000 + int(clock[1]) + round(seconds * 1_000_000)
        await self.client.hset(CLOCK_KEY, mapping={"seconds": micros // 1_000_000, "micros": micros % 1_000_000})
        async for key in self.client.scan_iter("b24pay:*"):
            left_ms = await self.client.pttl(key)
            if left_ms >= 0:
                await self.client.pexpire(key, max(0, left_ms - round(seconds * 1000)))
