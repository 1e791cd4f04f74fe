"""`/`: is money moving, what is stuck and why, and what is safe to do."""

from datetime import timedelta
from typing import Any, Final

from aiohttp import web

from ledger.ledger import LaneView
from ledger.payment import OPEN, State
from ledger.redis.overview import LaneOverview
from web.access import PRINCIPAL
from web.api.door import ledger_of
from web.pages.condition import Figures, facts, of_all, of_some, safe_steps, verdict
from web.pages.rendering import render
from web.pages.throughput import MINUTES, throughput
from web.pages.wording import now, short, state_word
from web.parts import PARTS

# More do not help anybody at a glance; the page of portals has them all.
_MOST_HELD: Final = 12
_MOST_BUSY: Final = 8
# A token is for a few portals; one for more is shown the first of them.
_MOST_OWN: Final = 200


async def show_overview(request: web.Request) -> web.Response:
    """How everything stands, or how the portals of a token do."""
    parts, me = request.app[PARTS], request[PRINCIPAL]
    ledger = await ledger_of(request)
    glance = await parts.glances.look()
    busy: list[LaneOverview] = []
    if me.portals is None:
        held = await ledger.lanes(await parts.glances.held(_MOST_HELD)) if glance.lanes.held else []
        figures, standing = of_all(glance), await parts.looks.look()
        hour = throughput(await ledger.figures.minutes(now() - timedelta(minutes=MINUTES)), now())
        busy = [lane for lane in glance.lanes.first if sum(lane.counts[state] for state in OPEN)][:_MOST_BUSY]
    else:
        held = await ledger.lanes(sorted(me.portals)[:_MOST_OWN])
        figures, standing, hour = of_some(held, glance), None, None
    return render(
        request,
        "overview.html",
        title="Overview",
        here="/",
        State=State,
        figures=figures,
        verdict=verdict(figures),
        held=[lane for lane in held if lane.held][:_MOST_HELD],
        waiting=_waiting,
        busy=busy,
        paces=standing.paces if standing else {},
        steps=safe_steps(figures),
        health=facts(glance, standing),
        throughput=hour,
        **_shares(figures),
    )


def _waiting(lane: LaneView) -> int:
    return sum(lane.counts[state] for state in OPEN)


def _shares(figures: Figures) -> dict[str, Any]:  # names of a template
    counts = {state.value: count for state, count in figures.counts.items()}
    return {
        "ended": sum(counts.values()) > 0,
        "shares": counts,
        "told_shares": ", ".join(f"{count:,} {state_word(state)}" for state, count in counts.items()),
        "legend_items": [(state, state_word(state), short(count)) for state, count in counts.items() if count],
    }
