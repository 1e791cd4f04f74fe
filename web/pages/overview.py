"""`/`: is money moving, what is stuck and why, and what is safe to do."""

from dataclasses import dataclass
from typing import Final

from aiohttp import web

from access.roles import Principal
from ledger.ledger import LaneView
from ledger.payment import OPEN, State
from metrics.glances import Glance
from metrics.life import Condition
from metrics.standing import Standing
from web.access import PRINCIPAL
from web.api.door import ledger_of
from web.pages.rendering import render
from web.pages.wording import counted, duration, number
from web.parts import PARTS

# More do not help anybody at a glance; the page of portals has them all.
_MOST_HELD: Final = 12
_MOST_BUSY: Final = 8
_MOST_OWN: Final = 200
_LONG_WAIT_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """The whole in one sentence, and what to do about it."""

    kind: str  # ok, warn, bad, idle
    text: str
    more: str


@dataclass(frozen=True, slots=True)
class Figures:
    """What the verdict is made of, for everything or for the portals of a token."""

    counts: dict[State, int]
    lanes: int
    held: int
    waiting_s: float | None
    in_doubt_s: float | None
    paid_per_s: float | None
    consuming: int
    workers: int

    @property
    def open(self) -> int:
        """Payments that have not ended."""
        return sum(self.counts[state] for state in OPEN)


async def show_overview(request: web.Request) -> web.Response:
    """How everything stands."""
    parts, me = request.app[PARTS], request[PRINCIPAL]
    ledger = await ledger_of(request)
    glance = await parts.glances.look()
    if me.portals is None:
        held = await ledger.lanes(await parts.glances.held(_MOST_HELD)) if glance.lanes.held else []
        figures = _of_all(glance)
        busy = [lane for lane in glance.lanes.first if sum(lane.counts[state] for state in OPEN)][:_MOST_BUSY]
    else:
        own = await ledger.lanes(sorted(me.portals)[:_MOST_OWN])
        held = [lane for lane in own if lane.held]
        figures, busy = _of_some(own, glance), []
    return render(
        request,
        "overview.html",
        title="Overview",
        here="/",
        figures=figures,
        verdict=verdict(figures),
        held=[lane for lane in held if lane.held][:_MOST_HELD],
        busy=busy,
        glance=glance,
        standing=await _standing(request, me),
        State=State,
    )


async def _standing(request: web.Request, me: Principal) -> Standing | None:
    """Of the servers, for those who may see everything."""
    return await request.app[PARTS].looks.look() if me.portals is None else None


def _of_all(glance: Glance) -> Figures:
    return Figures(
        counts=glance.counts,
        lanes=glance.lanes.lanes,
        held=sum(glance.lanes.held.values()),
        waiting_s=glance.waiting_s or None,
        in_doubt_s=glance.in_doubt_s or None,
        paid_per_s=glance.paid_per_s,
        consuming=_consuming(glance),
        workers=len(glance.signs),
    )


def _of_some(lanes: list[LaneView], glance: Glance) -> Figures:
    return Figures(
        counts={state: sum(lane.counts[state] for lane in lanes) for state in State},
        lanes=len(lanes),
        held=sum(lane.held is not None for lane in lanes),
        waiting_s=None,
        in_doubt_s=None,
        paid_per_s=None,
        consuming=_consuming(glance),
        workers=len(glance.signs),
    )


def _consuming(glance: Glance) -> int:
    return sum(sign.condition is Condition.CONSUMING for sign in glance.signs)


def verdict(figures: Figures) -> Verdict:
    """Is money moving? The gravest answer comes first."""
    waiting = figures.open
    if figures.lanes == 0:
        return Verdict("idle", "No portal yet", "Add the first one: b24pay portal add KEY.")
    if not figures.consuming:
        told = "No worker has given a sign of life" if not figures.workers else "No worker consumes"
        more = "Start one (the Procfile's worker), or see the page of workers. What is accepted waits safely."
        return Verdict("bad" if waiting else "warn", f"{told}; {counted(waiting, 'payment')} wait", more)
    if figures.held and figures.held == figures.lanes and waiting:
        more = "Their reasons and remedies are below. Payments stay queued; nothing fails by waiting."
        return Verdict("bad", f"Every lane is held; {counted(waiting, 'payment')} wait", more)
    troubles = _troubles(figures)
    if not waiting:
        return Verdict("warn" if troubles else "idle", "Nothing waits: all payments have ended", troubles)
    rate = figures.paid_per_s
    moving = "Money is moving" if rate is None or rate > 0 else "Payments wait, none was paid in the last ten seconds"
    shown = f": {number(float(rate))} payments a second" if rate else ""
    kind = "warn" if troubles or rate == 0 else "ok"
    return Verdict(kind, moving + shown, troubles or f"{counted(waiting, 'payment')} open, nothing is stuck.")


def _troubles(figures: Figures) -> str:
    told = []
    if figures.held:
        told.append(f"{counted(figures.held, 'lane')} held")
    if figures.counts[State.IN_DOUBT]:
        told.append(f"{counted(figures.counts[State.IN_DOUBT], 'payment')} in doubt")
    if figures.waiting_s and figures.waiting_s > _LONG_WAIT_S:
        told.append(f"the oldest waits {duration(figures.waiting_s)}")
    return ", ".join(told) + ": see below." if told else ""
