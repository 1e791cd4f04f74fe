"""Signs of life: each worker says on the ledger's server, every two seconds, how it is.

    b24pay:{0}:life  hash  node name -> JSON {v, at (ms, the server's clock), hindrance or null, pid, metrics or null,
                           owner (of its leases), version, lanes (that it drives), requests (that are in flight)}

Whoever has said nothing for `SILENT_S` hangs, is stopped, or is gone without a word; one that stops in order takes its
row away. Rows are forgotten after `FORGOTTEN_S`. Several workers may not share a node name (Celery's own rule).
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from redis.asyncio import Redis

EVERY_S: Final = 2.0
# Two signs may be late. With the time in which a standing loop is noticed this stays within the 15 s of the contract.
SILENT_S: Final = 7.0
FORGOTTEN_S: Final = 300.0
_KEY: Final = "b24pay:{0}:life"
_VERSION: Final = 1
# One step, so that it takes the server's clock along and forgets what is too old.
_SAY: Final = """#!lua flags=allow-oom
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local said = cjson.decode(ARGV[2])
said.at = now
redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(said))
if redis.call('HLEN', KEYS[1]) > 1 then
  local rows = redis.call('HGETALL', KEYS[1])
  for n = 1, #rows, 2 do
    local read, row = pcall(cjson.decode, rows[n + 1])
    local at = read and type(row) == 'table' and tonumber(row.at) or 0
    if now - at > tonumber(ARGV[3]) then redis.call('HDEL', KEYS[1], rows[n]) end
  end
end
return now
"""


class Condition(StrEnum):
    """How a worker is."""

    CONSUMING = "consuming"
    HINDERED = "hindered"  # it lives and says why it does not consume
    SILENT = "silent"  # it has said nothing for too long: it hangs, or is gone


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """The latest sign of life of one worker."""

    node: str
    age_s: float
    hindrance: str | None  # in its own words
    pid: int | None
    metrics: str | None  # where it shows its metrics
    owner: str | None = None  # the name of its leases; this and what follows: None of an older version
    version: str | None = None
    lanes: int | None = None  # that it drives now
    requests: int | None = None  # that are in flight

    @property
    def condition(self) -> Condition:
        """What that means now."""
        if self.age_s > SILENT_S:
            return Condition.SILENT
        return Condition.HINDERED if self.hindrance else Condition.CONSUMING


@dataclass(frozen=True, slots=True, kw_only=True)
class Doing:
    """What a worker does: the name of its leases, its version, and how much is under way."""

    owner: str
    version: str | None
    lanes: int
    requests: int


class SignsOfLife:
    """Says and reads them; `client` may decode responses or not."""

    def __init__(self, client: "Redis") -> None:
        self._client = client
        self._say = client.register_script(_SAY)

    async def say(
        self, node: str, *, hindrance: str | None, pid: int, metrics: str | None, doing: Doing | None = None
    ) -> None:
        """Say that this worker lives, and what it does."""
        said = {"v": _VERSION, "hindrance": hindrance, "pid": pid, "metrics": metrics}
        said |= asdict(doing) if doing else {}
        await self._say(keys=[_KEY], args=[node, json.dumps(said), round(FORGOTTEN_S * 1000)])

    async def leave(self, node: str) -> None:
        """This worker stops in order: nobody is to miss it."""
        await self._client.hdel(_KEY, node)

    async def all(self) -> list[Sign]:
        """The latest sign of each worker that is remembered, in order of their names."""
        async with self._client.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.hgetall(_KEY)
            (seconds, micros), rows = await pipe.execute()
        now_ms = int(seconds) * 1000 + int(micros) // 1000
        signs = (_read(_text(node), row, now_ms) for node, row in rows.items())
        return sorted((sign for sign in signs if sign is not None), key=lambda sign: sign.node)


def _read(node: str, row: bytes | str, now_ms: int) -> Sign | None:
    """A row, None where it cannot be read or is too old to matter."""
    try:
        said: Mapping[str, Any] = json.loads(row)
        age_s = max(0.0, (now_ms - float(said["at"])) / 1000)
        sign = Sign(
            node=node,
            age_s=age_s,
            hindrance=said.get("hindrance"),
            pid=said.get("pid"),
            metrics=said.get("metrics"),
            owner=said.get("owner"),
            version=said.get("version"),
            lanes=said.get("lanes"),
            requests=said.get("requests"),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return sign if age_s <= FORGOTTEN_S else None


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
