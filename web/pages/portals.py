"""The pages of portals: all of them, and one with what it allows, what waits, and what an operator may do."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from aiohttp import web

from ledger.ledger import LaneView
from ledger.payment import OPEN, State
from ledger.redis import RedisLedger
from tasks.payment import PORTAL
from web.api.bodies import required
from web.api.door import lane_of, ledger_of
from web.api.models import ChangeRequest, HoldRequest
from web.api.portals import go_on, lanes_behind, stop, stored_of
from web.pages.entering import form_of
from web.pages.lanes import PortalCard, by_key, card, limits_of
from web.pages.rates import rates_of
from web.pages.rendering import render
from web.pages.turning import back_to, told_on
from web.parts import PARTS
from web.problems import Problem

HERE: Final = "/portals"
PAGE: Final = 50
_AT_ONCE: Final = 250
_WITHIN_S: Final = 0.06


class Show(StrEnum):
    """Which portals are listed."""

    ALL = ""
    BUSY = "busy"  # with payments that have not ended
    HELD = "held"

    def fits(self, lane: LaneView) -> bool:
        """Whether a lane is one of them."""
        match self:
            case Show.ALL:
                return True
            case Show.BUSY:
                return any(lane.counts[state] for state in OPEN)
            case Show.HELD:
                return lane.held is not None


@dataclass(frozen=True, slots=True)
class _Some:
    lanes: Sequence[LaneView]
    behind: str | None


async def show_portals(request: web.Request) -> web.Response:
    """List portals in the order of their keys; the work of a page is bounded, so that there may be thousands."""
    after, start = request.query.get("after", ""), request.query.get("from", "").strip().lower()
    wanted = request.query.get("show", "")
    show = Show(wanted) if wanted in set(Show) else Show.ALL
    some = await _some(request, await ledger_of(request), after or _before(start), show)
    return render(
        request,
        "portals.html",
        title="Portals",
        here=HERE,
        cards=await cards_of(request, some.lanes),
        behind=some.behind,
        show=show.value,
        start=start,
        paged=bool(after),
    )


async def show_portal(request: web.Request) -> web.Response:
    """Show one portal."""
    return await _page(request, await lane_of(request, await ledger_of(request)))


async def hold_portal(request: web.Request) -> web.StreamResponse:
    """Stop a lane, as `POST /v1/portals/{key}/hold` does."""
    ledger = await ledger_of(request)
    before = await lane_of(request, ledger)
    try:
        said = required(HoldRequest, {"reason": form_of(request).one("because")})
        await stop(request, ledger, before, said)
    except Problem as problem:
        return await _page(request, before, problem)
    return back_to(f"{HERE}/{before.portal}", "held")


async def resume_portal(request: web.Request) -> web.StreamResponse:
    """Let a lane go on, as `POST /v1/portals/{key}/resume` does."""
    ledger = await ledger_of(request)
    before = await lane_of(request, ledger)
    try:
        why = form_of(request).one("because")
        said = required(ChangeRequest, {"because": why} if why else {})
        await go_on(request, ledger, before, said.because)
    except Problem as problem:
        return await _page(request, before, problem)
    return back_to(f"{HERE}/{before.portal}", "resumed")


async def cards_of(request: web.Request, lanes: Sequence[LaneView]) -> list[PortalCard]:
    """What is to be seen of some lanes, in three round trips however many they are."""
    parts = request.app[PARTS]
    keys = [lane.portal for lane in lanes]
    stored = by_key(await parts.registry.some(keys))
    paces = await parts.limiter.paces({key: limits_of(each) for key, each in stored.items()}) if stored else {}
    rates = await rates_of(parts, keys)
    return [card(lane, stored.get(lane.portal), paces.get(lane.portal), rates.get(lane.portal)) for lane in lanes]


async def _page(request: web.Request, lane: LaneView, problem: Problem | None = None) -> web.Response:
    [shown] = await cards_of(request, [lane])
    stored = shown.stored or await stored_of(request, lane.portal)
    return render(
        request,
        "portal.html",
        status=problem.status if problem else 200,
        title=lane.portal,
        here=HERE,
        card=shown,
        stored=stored,
        states=list(State),
        problem=problem,
        done=told_on(request),
    )


async def _some(request: web.Request, ledger: RedisLedger, after: str, show: Show) -> _Some:
    if show is Show.ALL:
        return _Some(*await lanes_behind(request, ledger, after, PAGE))
    ends_at = time.monotonic() + _WITHIN_S
    found: list[LaneView] = []
    behind: str | None = after
    while behind is not None and time.monotonic() < ends_at:
        lanes, behind = await lanes_behind(request, ledger, behind, _AT_ONCE)
        for lane in lanes:
            if show.fits(lane):
                found.append(lane)
                if len(found) == PAGE:
                    return _Some(found, lane.portal)
    return _Some(found, behind)


def _before(start: str) -> str:
    """The place in the order right before a key, so that a list may begin at it."""
    if not PORTAL.fullmatch(start):
        return ""
    last = chr(ord(start[-1]) - 1)
    return f"{start[:-1]}{last}\x7f"
