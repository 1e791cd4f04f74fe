"""Messages that nobody can read, kept on the ledger's server for an operator: the newest two hundred.

b24pay:{0}:parked   list    newest first: number, instant (ms), JSON; see park.lua
b24pay:{0}:parkings string  how many were ever parked; the latest one's number
"""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha1
from pathlib import Path
from typing import Any, Final

from redis.exceptions import NoScriptError

MOST: Final = 200  # with 4 KB of each at most about a megabyte and a half
HEAD_BYTES: Final = 4096
SCHEMA: Final = 1
_LIST: Final = "b24pay:{0}:parked"
_NUMBERS: Final = "b24pay:{0}:parkings"
_PARK: Final = (Path(__file__).parent / "lua" / "park.lua").read_text(encoding="utf-8")
_SHA: Final = sha1(_PARK.encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class Misfit:
    """What is written down of a message: why, what is known of it, and its beginning."""

    queue: str
    reason: str
    task: str | None
    task_id: str | None
    size: int  # bytes
    head: bytes


@dataclass(frozen=True, slots=True)
class Parked:
    """A message that was written down."""

    number: int
    at: datetime
    misfit: Misfit


class ParkedMessages:
    """The list; any number of processes may use it at once."""

    def __init__(self, client: Any) -> None:  # an asynchronous redis client, of which redis-py has no useful type
        self._client = client

    async def add(self, misfit: Misfit) -> int:
        """Write a message down and give its number; the same one twice in a row counts once."""
        arguments = (2, _LIST, _NUMBERS, _written(misfit), MOST)
        try:
            return int(await self._client.evalsha(_SHA, *arguments))
        except NoScriptError:
            return int(await self._client.eval(_PARK, *arguments))

    async def all(self) -> list[Parked]:
        """Everything that is there, newest first."""
        return [_read(entry) for entry in await self._client.lrange(_LIST, 0, -1)]

    async def find(self, number: int) -> Parked | None:
        """One message by its number."""
        return next((parked for parked in await self.all() if parked.number == number), None)

    async def drop(self, numbers: Sequence[int]) -> list[int]:
        """Forget messages; the numbers of those that were there."""
        entries = {_read(entry).number: entry for entry in await self._client.lrange(_LIST, 0, -1)}
        known = [number for number in dict.fromkeys(numbers) if number in entries]
        return [number for number in known if await self._client.lrem(_LIST, 1, entries[number])]


def _written(misfit: Misfit) -> str:
    return json.dumps(
        {
            "v": SCHEMA,
            "queue": misfit.queue,
            "reason": misfit.reason,
            "task": misfit.task,
            "task_id": misfit.task_id,
            "size": misfit.size,
            "head": base64.b64encode(misfit.head[:HEAD_BYTES]).decode(),
        }
    )


def _read(entry: bytes) -> Parked:
    number, at_ms, text = entry.decode().split(" ", 2)
    fields = json.loads(text)
    misfit = Misfit(
        queue=fields["queue"],
        reason=fields["reason"],
        task=fields["task"],
        task_id=fields["task_id"],
        size=fields["size"],
        head=base64.b64decode(fields["head"]),
    )
    return Parked(int(number), datetime.fromtimestamp(int(at_ms) / 1000, UTC), misfit)
