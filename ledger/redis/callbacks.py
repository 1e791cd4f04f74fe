"""The callbacks of a ledger on a Redis server."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar, assert_never

from ledger.callbacks import (
    DELIVERED_KEPT_S,
    REMARK_LIMIT,
    Callback,
    CallbackCounts,
    CallbackPage,
    CallbackState,
    Delivered,
    EventId,
    GivenUp,
    Outcome,
    TryAgain,
)
from ledger.payment import Destination, Handle
from ledger.redis import records
from ledger.redis.records import Argument, Reply, ms
from ledger.redis.steps import Step

T = TypeVar("T")

_STATES = {"q": CallbackState.PENDING, "f": CallbackState.FAILED, "d": CallbackState.DELIVERED}


class RedisOutbox:
    """The callbacks; `run` runs a step of the ledger."""

    def __init__(self, run: Callable[[Step[object]], Awaitable[object]], retention_ms: int) -> None:
        self._run_any = run
        self._retention_ms = retention_ms

    async def _run(self, script: str, arguments: Sequence[Argument], decode: Callable[[Reply], T]) -> T:
        answers: list[T] = []
        await self._run_any(Step(script, arguments, lambda reply: answers.append(decode(reply))))
        return answers[-1]

    async def take(
        self, limit: int, *, per_host: int, lease_s: float, rooms: Mapping[str, int]
    ) -> tuple[list[Callback], float | None]:
        """Lease due callbacks, and say in how many seconds the next is due (None: none is)."""

        def decode(reply: Reply) -> tuple[list[Callback], float | None]:
            wait, *taken = records.items(reply)
            wait_ms = records.number(wait)
            return [_callback(each) for each in taken], None if wait_ms < 0 else wait_ms / 1000

        fewer = [part for host, room in rooms.items() for part in (host, room)]
        return await self._run("take_callbacks", (limit, per_host, ms(lease_s), *fewer), decode)

    async def told(self, callback: Callback, outcome: Outcome) -> bool:
        """Write down what came of an attempt; False when it counts no more."""
        letter, number = self._written(outcome)
        said = (callback.id, callback.attempt, letter, outcome.remark[:REMARK_LIMIT], number)
        return await self._run("told", said, lambda reply: records.number(reply) == 1)

    def _written(self, outcome: Outcome) -> tuple[str, int]:
        match outcome:
            case Delivered():
                return "D", min(ms(DELIVERED_KEPT_S), self._retention_ms)
            case TryAgain(_, wait_s):
                return "R", ms(wait_s)
            case GivenUp():
                return "F", self._retention_ms
            case _ as never:
                assert_never(never)

    async def find(self, ids: Sequence[str]) -> list[Callback | None]:
        """Read callbacks by their names."""
        return await self._run("find_callbacks", tuple(ids), _known) if ids else []

    async def page(
        self, state: CallbackState, *, host: str = "", since: datetime | None = None, offset: int = 0, limit: int = 100
    ) -> CallbackPage:
        """List callbacks in one state, newest first."""

        def decode(reply: Reply) -> CallbackPage:
            following, *found = records.items(reply)
            at = records.number(following)
            return CallbackPage(tuple(_callback(each) for each in found), None if at < 0 else at)

        begin = records.ms_of(since) if since else 0
        return await self._run("page_callbacks", (state.value, host, begin, offset, limit), decode)

    async def resend(self, ids: Sequence[str]) -> list[bool]:
        """Have callbacks sent now; False where unknown."""

        def decode(reply: Reply) -> list[bool]:
            return [records.number(each) == 1 for each in records.items(reply)]

        return await self._run("resend_callbacks", tuple(ids), decode) if ids else []

    async def sweep(self, limit: int) -> tuple[int, int]:
        """Make callbacks due that an older version has left out: how many were looked at, and how many were found."""

        def decode(reply: Reply) -> tuple[int, int]:
            looked, found = map(records.number, records.items(reply))
            return looked, found

        return await self._run("sweep_callbacks", (limit,), decode)

    async def counts(self) -> CallbackCounts:
        """How many there are."""

        def decode(reply: Reply) -> CallbackCounts:
            *numbers, since = records.items(reply)
            pending, failed, delivered = map(records.number, numbers)
            oldest = records.instant(records.text(since)) if since else None
            return CallbackCounts(pending, failed, delivered, oldest)

        return await self._run("count_callbacks", (), decode)


def _known(reply: Reply) -> list[Callback | None]:
    return [_callback(each) if each else None for each in records.items(reply)]


def _callback(reply: Reply) -> Callback:
    event, flat, *rest = records.items(reply)
    written = records.fields(flat)
    due = records.text(rest[0]) if rest else written.get("l", "")
    return Callback(
        id=EventId(records.text(event)),
        to=Destination(written["o"], written["u"]),
        handle=Handle(written["h"]),
        payment=records.known_payment(json.loads(written["r"])),
        state=_STATES[written["s"]],
        created_at=records.instant(written["e"]),
        attempt=int(written.get("n", 0)),
        tries=int(written.get("t", 0)),
        due_at=records.instant(due) if due else None,
        remark=written.get("c"),
        tried_at=records.instant(written["x"]) if "x" in written else None,
    )
