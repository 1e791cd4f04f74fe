"""Many payments in one request: an array at once, or NDJSON written down and answered while it comes.

Nothing here grows with the request but the answers that its sender has not read yet, and those are bounded.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, assert_never

import structlog
from aiohttp import web

from config.outages import is_outage
from config.tracing import carried
from ledger.ledger import Accepted, AlreadyPaid, Conflict, Joined, Opened, UnknownPortal
from ledger.payment import NewPayment
from ledger.redis import RedisLedger
from tasks.payment import new_ids
from web.api.bodies import parse, validated
from web.api.conflicts import conflict
from web.api.door import API, may_touch, no_portal
from web.api.lines import Line, Lines
from web.api.models import PaymentRequest
from web.api.names import named_by_key, named_by_place
from web.api.operations import NDJSON
from web.api.wrongs import Wrong, refusal
from web.guards import TOLD
from web.problems import Problem, unavailable

log = structlog.get_logger(__name__)

LARGEST_ARRAY: Final = 1000
MOST_LINES: Final = 100_000
# Bulk requests that one process reads at a time; each may hold so many bytes of answers that nobody has read.
MOST_STREAMS: Final = 6
UNREAD_BYTES: Final = 12_000_000
# A sender that neither sends nor reads keeps a place that others wait for.
STALLED_S: Final = 60.0
_OUTCOMES: Final = ("accepted", "joined", "already_paid", "refused")
Result = dict[str, object]
Asked = Sequence[tuple[int, NewPayment | Problem]]
_NAMES_AT_ONCE: Final = 100
# Steps of the ledger whose answers are not told yet.
_UNTOLD: Final = 2
_ENCODE: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(slots=True)
class Bulk:
    """The payments of one request: how they are named, and what became of them."""

    request: web.Request
    ledger: RedisLedger
    key: str | None
    counts: Counter[str] = field(default_factory=Counter)
    _names: list[str] = field(default_factory=list)  # made in advance: many at once cost little more than one

    @property
    def document(self) -> Result:
        """How many met which outcome."""
        return {outcome: self.counts[outcome] for outcome in _OUTCOMES}

    def asked(self, index: int, wanted: PaymentRequest) -> NewPayment | Problem:
        """The request for the ledger, or why there is none."""
        if not may_touch(self.request, wanted.portal):
            return no_portal()
        own, context = wanted.idempotency_key, carried(self.request.headers)
        if self.key:
            return wanted.named(named_by_place(self.key, index), own, context)
        return wanted.named(named_by_key(own) if own else self._name(), own, context)

    def _name(self) -> str:
        if not self._names:
            self._names = new_ids(_NAMES_AT_ONCE)
        return self._names.pop()

    async def open(self, asked: Asked) -> list[Opened]:
        """Write them down in order; one answer of the ledger for each that is no refusal."""
        return await self.ledger.open([ask for _, ask in asked if isinstance(ask, NewPayment)])

    async def results(self, asked: Asked, opened: Sequence[Opened]) -> list[Result]:
        """What became of them, one result each."""
        answers = iter(opened)
        return [
            self._refused(index, ask) if isinstance(ask, Problem) else await self._result(index, ask, next(answers))
            for index, ask in asked
        ]

    async def _result(self, index: int, ask: NewPayment, opened: Opened) -> Result:
        match opened:
            case Accepted(row):
                return self._done(index, row.id, "accepted")
            case Joined(row):
                return self._done(index, row.id, "joined")
            case AlreadyPaid():
                return self._done(index, ask.id, "already_paid")
            case Conflict():
                return self._refused(index, await conflict(self.request, self.ledger, opened))
            case UnknownPortal():
                return self._refused(index, no_portal())
        assert_never(opened)

    def _done(self, index: int, payment_id: str, outcome: str) -> Result:
        self.counts[outcome] += 1
        return {"index": index, "id": payment_id, "outcome": outcome}

    def _refused(self, index: int, problem: Problem) -> Result:
        self.counts["refused"] += 1
        return {"index": index, "error": problem.document()}

    def note(self) -> None:
        """Have the request's line tell what was done."""
        self.request[TOLD] = self.document


async def take_array(bulk: Bulk, data: Sequence[object]) -> web.Response:
    """All payments of an array in one answer; if one cannot be read, none is accepted."""
    if not 1 <= len(data) <= LARGEST_ARRAY:
        text = f"must have 1 to {LARGEST_ARRAY} payments"
        raise refusal([Wrong("", "length", text, "Send more as NDJSON (application/x-ndjson), a line each.")])
    read = [validated(PaymentRequest, each, (index,)) for index, each in enumerate(data)]
    if wrongs := [wrong for each in read if isinstance(each, list) for wrong in each]:
        raise refusal(wrongs)
    wanted = [each for each in read if isinstance(each, PaymentRequest)]
    asked = [(index, bulk.asked(index, each)) for index, each in enumerate(wanted)]
    results = await bulk.results(asked, await bulk.open(asked))
    bulk.note()
    document = {**bulk.document, "results": results}
    if bulk.counts["refused"] == len(results):
        step = "Read the error of each of `results`."
        raise Problem(409, "nothing-accepted", "Every payment was refused.", step, members=document)
    return web.json_response(document, status=202)


async def take_lines(request: web.Request, bulk: Bulk) -> web.StreamResponse:
    """One payment a line, answered line by line; the last line says how it ended."""
    state = request.app[API]
    if state.streams >= MOST_STREAMS:
        raise unavailable("This process is reading as many bulk requests as it may.")
    state.streams += 1
    try:
        return await _Stream(request, bulk).run()
    finally:
        state.streams -= 1


@dataclass(frozen=True, slots=True)
class _Step:
    """Some lines, what they ask for, and what the ledger answered."""

    chunk: Sequence[Line]
    asked: Asked
    opened: Sequence[Opened]


class _Stream:
    """One NDJSON request and its answer.

    Lines are read, written down and answered by a task each, so that the next are read and the last are told while the
    server writes. Steps of the ledger come one after another, in the order of the lines.
    """

    def __init__(self, request: web.Request, bulk: Bulk) -> None:
        self._request = request
        self._bulk = bulk
        self._answer: web.StreamResponse | None = None
        self._next = 0  # the first line without an answer
        # None at the end, an error where the ledger had none to give.
        self._done: asyncio.Queue[_Step | Exception | None] = asyncio.Queue(_UNTOLD)

    async def run(self) -> web.StreamResponse:
        """Read, write down and answer until the body ends; raises Problem as long as nothing was answered."""
        lines = Lines(self._request, most=MOST_LINES, idle_s=STALLED_S)
        tasks = [asyncio.create_task(lines.read()), asyncio.create_task(self._write_down(lines))]
        problem = None
        try:
            while step := await self._done.get():
                await self._write(await self._told(step))
            problem = lines.problem
        except (ConnectionError, TimeoutError):  # of the sender: what it was not told, it sends again
            self._give_up()
        except Exception as error:
            if not is_outage(error):
                raise
            log.warning("web.ledger_away", error=type(error).__name__)
            problem = unavailable("Redis did not answer.")
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._bulk.note()
        return await self._end(problem)

    async def _write_down(self, lines: Lines) -> None:
        """Read what the lines say while the ones before are written down."""
        writing: asyncio.Task[None] | None = None
        try:
            while chunk := await lines.next():
                asked = [(line.index, self._asked(line)) for line in chunk]
                if writing is not None:
                    await writing
                writing = asyncio.create_task(self._open(chunk, asked))
            if writing is not None:
                await writing
            await self._done.put(None)
        except Exception as error:  # noqa: BLE001 - whoever answers raises it
            await self._done.put(error)
        finally:
            if writing is not None:
                writing.cancel()
                await asyncio.gather(writing, return_exceptions=True)

    async def _open(self, chunk: Sequence[Line], asked: Asked) -> None:
        await self._done.put(_Step(chunk, asked, await self._bulk.open(asked)))

    async def _told(self, step: _Step | Exception) -> bytes:
        if isinstance(step, Exception):
            raise step
        results = await self._bulk.results(step.asked, step.opened)
        self._next = step.chunk[-1].index + 1
        for line, each in zip(step.chunk, results, strict=True):
            if "error" in each:
                each["line"] = line.number
        return b"".join(map(_line, results))

    def _asked(self, line: Line) -> NewPayment | Problem:
        if line.text is None:
            return line.too_long()
        try:
            wanted = validated(PaymentRequest, parse(line.text))
        except Problem as problem:
            return problem
        return refusal(wanted) if isinstance(wanted, list) else self._bulk.asked(line.index, wanted)

    async def _write(self, text: bytes) -> None:
        answer = self._answer or await self._begin()
        async with asyncio.timeout(STALLED_S):
            await answer.write(text)

    async def _begin(self) -> web.StreamResponse:
        self._answer = answer = web.StreamResponse(status=202, headers={"Content-Type": NDJSON})
        # Many clients read nothing before they have sent everything: so much of the answer waits for them.
        if self._request.transport is not None:
            self._request.transport.set_write_buffer_limits(high=UNREAD_BYTES)
        answer.force_close()
        await answer.prepare(self._request)
        return answer

    def _give_up(self) -> None:
        if self._request.transport is not None:
            self._request.transport.abort()

    async def _end(self, problem: Problem | None) -> web.StreamResponse:
        if self._answer is None:
            raise problem or Problem(422, "empty", "The body has no line.", "Send a payment a line.")
        with suppress(ConnectionError, TimeoutError):
            await self._write(_line({"end": problem is None, **self._bulk.document, **self._why(problem)}))
            await self._answer.write_eof()
        return self._answer

    def _why(self, problem: Problem | None) -> Result:
        """Where it broke off: lines from there on have no answer, whether or not they were written down."""
        return {} if problem is None else {"unanswered_from": self._next, "error": problem.document()}


def _line(document: Result) -> bytes:
    return _ENCODE(document).encode() + b"\n"
