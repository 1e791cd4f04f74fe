"""The ledger as a monitor sees it: all lanes in a few short steps that write nothing.

It is no part of the ledger's contract, which drivers and operators share: only a server has a thousand lanes and a
million payments to look at from outside.
"""

import heapq
from collections import Counter
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

from ledger.payment import State
from ledger.redis import records
from ledger.redis.replies import as_reply
from ledger.redis.scripts import PREFIX, Script, load_scripts

if TYPE_CHECKING:
    from redis.asyncio import Redis

# A step over so many lanes keeps the server for a millisecond or two; between two steps it serves others.
LANES_AT_ONCE: Final = 250
_STATES: Final = (State.QUEUED, State.SENDING, State.IN_DOUBT, State.PAID, State.FAILED, State.CANCELLED)
_OPEN: Final = _STATES[:3]
_COUNTS: Final = slice(1, 1 + len(_STATES))


@dataclass(frozen=True, slots=True)
class LaneOverview:
    """One lane at a glance, or several as one."""

    portal: str
    counts: Mapping[State, int] = field(default_factory=lambda: dict.fromkeys(State, 0))
    waiting_s: float = 0.0  # age of the oldest queued payment, 0 without one
    in_doubt_s: float = 0.0  # since when the oldest doubt was sent, 0 without one


@dataclass(frozen=True, slots=True, kw_only=True)
class LanesOverview:
    """All lanes: those with the most open payments first, one by one, and the others together."""

    lanes: int
    first: Sequence[LaneOverview]
    rest: LaneOverview
    held: Mapping[str, int]  # lanes, by the code that they are held for


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """What others have not been told yet: results for the result backend, callbacks for their receivers."""

    results: int
    oldest_s: float  # 0 without one
    callbacks: int = 0  # ends that somebody is to be told of, and was not yet
    callbacks_oldest_s: float = 0.0
    callbacks_failed: int = 0  # given up, and remembered for a person


class Overview:
    """Looks at everything; `client` may decode responses or not. `rest` is the name of the others together."""

    def __init__(
        self, client: "Redis", *, most: int, rest: str = "other", scripts: Mapping[str, Script] | None = None
    ) -> None:
        self._client = client
        self._most = most
        self._rest = rest
        self._scripts = scripts or load_scripts()

    async def lanes(self) -> LanesOverview:
        """Every lane; one that came or went meanwhile may be missing. A portal named like the rest is part of it."""
        portals = [records.text(each) for each in await self._run("lane_names")]
        first: list[LaneOverview] = []
        rest: list[LaneOverview] = []
        held: Counter[str] = Counter()
        for at in range(0, len(portals), LANES_AT_ONCE):
            told = await self._some(portals[at : at + LANES_AT_ONCE])
            first += told.first
            rest.append(told.rest)
            held.update(told.held)
        named = heapq.nsmallest(self._most, first, key=_rank)
        kept = {lane.portal for lane in named}
        rest += [lane for lane in first if lane.portal not in kept]
        return LanesOverview(lanes=len(portals), first=named, rest=_together(self._rest, rest), held=held)

    async def held(self, most: int) -> list[str]:
        """The portals of the first held lanes, in order."""
        portals = sorted(records.text(each) for each in await self._run("lane_names"))
        held: list[str] = []
        for at in range(0, len(portals), LANES_AT_ONCE):
            held += [records.text(each) for each in await self._run("held_lanes", *portals[at : at + LANES_AT_ONCE])]
            if len(held) >= most:
                break
        return held[:most]

    async def owed(self) -> Owed:
        """How much waits for its delivery, and for how long."""
        async with self._client.pipeline(transaction=False) as pipe:
            pipe.time()
            for key in ("out", "cb-pending"):
                pipe.zcard(PREFIX + key)
                pipe.zrange(PREFIX + key, 0, 0, withscores=True)
            pipe.zcard(PREFIX + "cb-failed")
            (seconds, _), results, oldest, callbacks, oldest_callback, failed = await pipe.execute()
        return Owed(
            results=int(results),
            oldest_s=_age_s(oldest, float(seconds)),
            callbacks=int(callbacks),
            callbacks_oldest_s=_age_s(oldest_callback, float(seconds)),
            callbacks_failed=int(failed),
        )

    async def _run(self, name: str, *arguments: records.Argument) -> list[records.Reply]:
        from redis.exceptions import NoScriptError

        script = self._scripts[name]
        try:
            raw = await cast("Awaitable[object]", self._client.evalsha(script.sha, 1, PREFIX, *arguments))
        except NoScriptError:
            raw = await cast("Awaitable[object]", self._client.eval(script.text, 1, PREFIX, *arguments))
        return records.items(as_reply(raw))

    async def _some(self, portals: Sequence[str]) -> LanesOverview:
        now, lanes, held, rest, *first = await self._run("overview", self._most, self._rest, *portals)
        now_ms, flat = records.number(now), records.items(held)
        return LanesOverview(
            lanes=records.number(lanes),
            first=[_lane(records.items(row), now_ms) for row in first],
            rest=_lane(records.items(rest), now_ms),
            held=dict(zip(map(records.text, flat[::2]), map(records.number, flat[1::2]), strict=True)),
        )


def _lane(row: list[records.Reply], now_ms: int) -> LaneOverview:
    waiting, sent = map(records.number, row[_COUNTS.stop :])
    return LaneOverview(
        records.text(row[0]),
        dict(zip(_STATES, map(records.number, row[_COUNTS]), strict=True)),
        _since_s(waiting, now_ms),
        _since_s(sent, now_ms),
    )


def _since_s(at_ms: int, now_ms: int) -> float:
    return max(0.0, (now_ms - at_ms) / 1000) if at_ms else 0.0


def _age_s(oldest: Sequence[tuple[object, float]], now_s: float) -> float:
    """The age of a sorted set's first member, whose score is when it came (ms)."""
    return max(0.0, now_s - oldest[0][1] / 1000) if oldest else 0.0


def _rank(lane: LaneOverview) -> tuple[int, str]:
    return -sum(lane.counts[state] for state in _OPEN), lane.portal


def _together(name: str, lanes: Sequence[LaneOverview]) -> LaneOverview:
    """Of several lanes the sum is told, and of their ages the greatest: an alarm about any of them sees it."""
    return LaneOverview(
        name,
        {state: sum(lane.counts[state] for lane in lanes) for state in _STATES},
        max((lane.waiting_s for lane in lanes), default=0.0),
        max((lane.in_doubt_s for lane in lanes), default=0.0),
    )
