"""The counts of a ledger on a Redis server."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final, TypeVar

from ledger.figures import Failures, Minute, in_order
from ledger.payment import PortalKey
from ledger.redis import records
from ledger.redis.records import Argument, Reply
from ledger.redis.steps import Step

T = TypeVar("T")

# A step over so many lanes keeps the server for a millisecond or two; between two steps it serves others.
LANES_AT_ONCE: Final = 250


class RedisFigures:
    """The counts; `run` runs a step of the ledger."""

    def __init__(self, run: Callable[[Step[object]], Awaitable[object]]) -> None:
        self._run_any = run

    async def _run(self, script: str, arguments: Sequence[Argument], decode: Callable[[Reply], T]) -> T:
        answers: list[T] = []
        await self._run_any(Step(script, arguments, lambda reply: answers.append(decode(reply))))
        return answers[-1]

    async def failures(self, portals: Sequence[str] | None = None) -> list[Failures]:
        """Failed payments by portal and code, the most first within a portal."""
        names = portals if portals is not None else await self._run("lane_names", (), _texts)
        wanted, found = sorted(set(names)), list[Failures]()
        for at in range(0, len(wanted), LANES_AT_ONCE):
            found += await self._run("failures", wanted[at : at + LANES_AT_ONCE], _failures)
        return found

    async def minutes(self, since: datetime) -> list[Minute]:
        """Minutes in which anything happened, oldest first."""
        return await self._run("minutes", (records.ms_of(since),), _minutes)

    async def tally(self, looks: int = 500) -> bool:
        """Count what an older version has left uncounted; False when nothing is left to do."""
        return await self._run("tally", (looks,), lambda reply: records.number(records.items(reply)[0]) > 0)


def _texts(reply: Reply) -> list[str]:
    return [records.text(each) for each in records.items(reply)]


def _failures(reply: Reply) -> list[Failures]:
    return [row for lane in records.items(reply) for row in _of_lane(records.items(lane))]


def _of_lane(told: list[Reply]) -> list[Failures]:
    portal, counted, *codes = told
    key, counting = PortalKey(records.text(portal)), records.number(counted) == 0
    rows = [
        Failures(key, records.text(code) or None, records.number(count), _moment(at), counting)
        for code, count, at in zip(codes[::3], codes[1::3], codes[2::3], strict=True)
    ]
    return in_order(rows)


def _moment(written: Reply) -> datetime | None:
    at = records.number(written)
    return records.instant(at) if at else None


def _minutes(reply: Reply) -> list[Minute]:
    rows = [[records.number(part) for part in records.items(row)] for row in records.items(reply)]
    return [Minute(records.instant(at), *counts) for at, *counts in rows]
