"""What every handler of the API begins with: a ledger of our version, and only what the one who asks may touch."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from ledger.ledger import LaneView, Opened
from ledger.payment import NewPayment, Payment
from ledger.redis import RedisLedger, UnknownSchema
from tasks.payment import PORTAL, is_handle
from web.access import PRINCIPAL
from web.parts import PARTS
from web.problems import Problem

# What waits while a step is under way goes into the next one together: a step costs more than a payment in it.
_TOGETHER: Final = 200
_AT_ONCE: Final = 2
# The second only where it is worth it.
_WORTH_A_STEP: Final = 8


@dataclass(slots=True)
class Gathering:
    """Single requests of one process, written down together; at any moment at most two steps are under way.

    One would leave the process idle while the server writes, a step for each would cost several times as much.
    """

    waiting: list[tuple[NewPayment, asyncio.Future[Opened]]] = field(default_factory=list)
    writing: "set[asyncio.Task[None] | None]" = field(default_factory=set)

    async def open(self, ledger: RedisLedger, ask: NewPayment) -> Opened:
        """Write one request down; raises what the step raises."""
        answer: asyncio.Future[Opened] = asyncio.get_running_loop().create_future()
        self.waiting.append((ask, answer))
        if not self.writing or (len(self.writing) < _AT_ONCE and len(self.waiting) >= _WORTH_A_STEP):
            self.writing.add(asyncio.create_task(self._write(ledger)))
        return await answer

    async def _write(self, ledger: RedisLedger) -> None:
        try:
            while self.waiting:
                together, self.waiting = self.waiting[:_TOGETHER], self.waiting[_TOGETHER:]
                await _open_all(ledger, together)
        finally:  # at once: whoever comes next must see that nobody writes
            self.writing.discard(asyncio.current_task())


async def _open_all(ledger: RedisLedger, together: Sequence[tuple[NewPayment, asyncio.Future[Opened]]]) -> None:
    try:
        answers = await ledger.open([ask for ask, _ in together])
    except Exception as error:  # noqa: BLE001 - each of them raises it where it waits
        for _, future in together:
            if not future.done():
                future.set_exception(error)
        return
    for (_, future), answer in zip(together, answers, strict=True):
        if not future.done():  # its caller may have gone; the payment is written all the same
            future.set_result(answer)


@dataclass(slots=True)
class ApiState:
    """What the handlers of one process share."""

    gathering: Gathering = field(default_factory=Gathering)
    schema_is_ours: bool = False
    streams: int = 0  # bulk requests that are being read


API: Final = web.AppKey("api", ApiState)


async def ledger_of(request: web.Request) -> RedisLedger:
    """The ledger, once it is known to be one that this version understands; raises Problem."""
    ledger, state = request.app[PARTS].ledger, request.app[API]
    if not state.schema_is_ours:
        try:
            await ledger.check_schema()
        except UnknownSchema as error:
            raise Problem(503, "unknown-ledger", str(error), "Use the matching version of b24pay.") from error
        state.schema_is_ours = True
    return ledger


def may_touch(request: web.Request, portal: str) -> bool:
    """Whether a portal is any business of the one who asks."""
    return request[PRINCIPAL].may_touch(portal)


def no_portal() -> Problem:
    """Unknown, or not theirs: the same answer."""
    cause = "There is no such portal, or this token is not for it."
    return Problem(404, "no-portal", cause, "See GET /v1/portals for those there are.")


def no_payment() -> Problem:
    """Unknown, forgotten, or of a portal that is not theirs: the same answer."""
    cause = "There is no such payment, or this token is not for its portal."
    step = "See GET /v1/payments; finished payments are remembered for B24PAY_RETENTION_DAYS."
    return Problem(404, "no-payment", cause, step)


async def payment_of(request: web.Request, ledger: RedisLedger) -> Payment:
    """The payment that the path names; raises Problem."""
    handle = request.match_info["id"]
    found = await ledger.find([handle]) if is_handle(handle) else [None]
    if found[0] is None or not may_touch(request, found[0].portal):
        raise no_payment()
    return found[0]


async def lane_of(request: web.Request, ledger: RedisLedger) -> LaneView:
    """The lane that the path names; raises Problem."""
    key = request.match_info["key"]
    lanes = await ledger.lanes([key]) if PORTAL.fullmatch(key) and may_touch(request, key) else []
    if not lanes:
        raise no_portal()
    return lanes[0]
