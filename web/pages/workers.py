"""`/workers`: which workers live, how they are, and which lanes they drive."""

from collections.abc import Mapping, Sequence
from typing import Final

from aiohttp import web

from config.version import version_of_ours
from ledger.ledger import LaneView
from metrics.life import SILENT_S, Condition, Sign
from web.access import PRINCIPAL
from web.api.door import ledger_of
from web.pages.rendering import render
from web.parts import PARTS

MARKS: Final[Mapping[Condition, tuple[str, str]]] = {
    Condition.CONSUMING: ("ok", "consuming"),
    Condition.HINDERED: ("warn", "hindered"),
    Condition.SILENT: ("bad", "silent"),
}
_MOST: Final = 200  # more are counted only


async def show_workers(request: web.Request) -> web.Response:
    """The latest sign of life of each worker."""
    parts, me = request.app[PARTS], request[PRINCIPAL]
    ledger = await ledger_of(request)
    glance = await parts.glances.look()
    busy = [lane.portal for lane in glance.lanes.first if me.may_touch(lane.portal)]
    lanes = await ledger.lanes(busy) if busy else []
    signs = sorted(glance.signs, key=lambda sign: (sign.condition is Condition.CONSUMING, sign.node))
    versions = sorted({sign.version or "an older one" for sign in signs})
    return render(
        request,
        "workers.html",
        title="Workers",
        here="/workers",
        signs=signs[:_MOST],
        left_out=max(0, len(signs) - _MOST),
        consuming=sum(sign.condition is Condition.CONSUMING for sign in signs),
        marks=MARKS,
        driven={sign.node: _driven_by(sign, lanes) for sign in signs[:_MOST]},
        versions=versions,
        ours=version_of_ours(),
        silent_s=SILENT_S,
    )


def _driven_by(sign: Sign, lanes: Sequence[LaneView]) -> list[str]:
    """Of the lanes with the most work, those that a worker drives now."""
    return [lane.portal for lane in lanes if sign.owner is not None and lane.owner == sign.owner]
