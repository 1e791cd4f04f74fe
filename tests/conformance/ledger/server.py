"""A ledger on a real server whose clock stands still until a test moves it.

The steps ask the server for its time in one place, the prelude; here that place reads a key instead. Expiry, which the
server does by its own clock, is moved by the same amount.
"""

from collections.abc import Mapping

from redis.asyncio import Redis

from ledger.redis import RedisLedger
from ledger.redis.scripts import PREFIX, Script, load_scripts
from tests.conformance.ledger.world import LEASE_S, MAX_ATTEMPTS, QUIET_S, RETENTION_S

CLOCK_KEY = "test:clock"
_ASKS_TIME = "redis.call('TIME')"
# Steps that may be the first after a restart, and begin something or end it without a proof.
GUARDED = {"take", "claim", "doubts", "renew", "cancel", "decide"}
SERVER_KEY = "test:server"
_ASKS_SERVER = "redis.call('INFO', 'server', 'replication')"
_READS_SERVER = f"redis.call('GET', '{SERVER_KEY}')"
_READS_KEY = f"redis.call('HMGET', '{CLOCK_KEY}', 'seconds', 'micros')"
# In one step, because thousands of histories are played.
_MOVE_EXPIRY = """
for _, key in ipairs(redis.call('KEYS', 'b24pay:*')) do
  local left = redis.call('PTTL', key)
  if left >= 0 then redis.call('PEXPIRE', key, math.max(0, left - ARGV[1])) end
end
"""


def with_a_stopped_clock(scripts: Mapping[str, Script]) -> dict[str, Script]:
    """The same steps on a clock that is a key, and on a server whose identity is one."""
    assert all(script.text.count(_ASKS_TIME) == 1 for script in scripts.values())
    assert {name for name, script in scripts.items() if _ASKS_SERVER in script.text} == GUARDED
    return {
        name: Script.of(script.text.replace(_ASKS_TIME, _READS_KEY).replace(_ASKS_SERVER, _READS_SERVER))
        for name, script in scripts.items()
    }


class ServerWorld:
    """Time is a key, and so is the server's identity."""

    def __init__(self, client: Redis) -> None:
        self.client = client
        self.ledger = self.another()

    def another(self) -> RedisLedger:
        """The same ledger as another process has it."""
        return RedisLedger(
            self.client,
            lease_s=LEASE_S,
            retention_s=RETENTION_S,
            max_attempts=MAX_ATTEMPTS,
            quiet_s=QUIET_S,
            scripts=_SCRIPTS,
        )

    async def start_clock(self) -> None:
        """Begin at a round moment, 2026-11-24, on the first server."""
        await self.client.hset(CLOCK_KEY, mapping={"seconds": 1_795_478_400, "micros": 0})
        await self.client.set(SERVER_KEY, "run_id:1\r\nmaster_replid:1\r\n")

    async def pass_time(self, seconds: float) -> None:
        """Move the clock of the steps and the expiry of every key."""
        clock = await self.client.hmget(CLOCK_KEY, "seconds", "micros")
        micros = int(clock[0]) * 1_000_000 + int(clock[1]) + round(seconds * 1_000_000)
        await self.client.hset(CLOCK_KEY, mapping={"seconds": micros // 1_000_000, "micros": micros % 1_000_000})
        await self.client.eval(_MOVE_EXPIRY, 0, round(seconds * 1000))

    async def restart_server(self) -> None:
        """Be another server."""
        run_id = await self.client.incr(SERVER_KEY + ":restarts")
        await self.client.set(SERVER_KEY, f"run_id:again{run_id}\r\nmaster_replid:1\r\n")

    async def empty(self) -> None:
        """Forget everything but the clock and the server's identity."""
        keys = [key async for key in self.client.scan_iter("b24pay:*")]
        await self.client.delete("nothing", *keys)

    async def lose_due(self, portal: str) -> None:
        """Take a lane out of the due-set."""
        await self.client.zrem(PREFIX + "due", portal)

    async def forget_lease(self, portal: str) -> None:
        """End a lease before its time."""
        await self.client.hset(f"{PREFIX}l:{portal}", "until", 0)
        await self.client.zadd(PREFIX + "due", {portal: 0})

    async def lose_record(self, handle: str) -> None:
        """Delete a record and leave its name wherever it waits."""
        await self.client.delete(f"{PREFIX}p:{handle}")


_SCRIPTS = with_a_stopped_clock(load_scripts())
