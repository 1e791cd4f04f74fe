"""The page of doubts: what only a read-back or a person moves on, longest first within a portal's page."""

from datetime import UTC, datetime
from typing import Final

from aiohttp import web

from ledger.payment import Payment
from web.api.bodies import validated
from web.api.door import ledger_of
from web.api.doubts import DOUBTS
from web.api.listing import Listing, lanes_of
from web.api.models import DoubtsQuery
from web.pages.questions import doubt_of
from web.pages.rendering import render
from web.parts import PARTS, Parts

HERE: Final = "/doubts"
PAGE: Final = 50


async def show_doubts(request: web.Request) -> web.Response:
    """List doubts, each with since when, why, and when it can be decided."""
    portal, cursor = request.query.get("portal", "").strip(), request.query.get("cursor", "")
    query = validated(DoubtsQuery, {"portal": portal or None} if portal else {})
    wrongs = query if isinstance(query, list) else []
    rows: list[Payment] = []
    goes_on = None
    ledger = await ledger_of(request)
    if not wrongs:
        rows, goes_on = await Listing(request, ledger, DOUBTS, PAGE, portal or None).page(cursor or None)
    lanes, at = await lanes_of(ledger, rows), await clock_of(request.app[PARTS])
    doubts = sorted((doubt_of(row, lanes.get(row.portal), at) for row in rows), key=lambda each: each.since)
    return render(
        request,
        "doubts.html",
        status=422 if wrongs else 200,
        title="Doubts",
        here=HERE,
        doubts=doubts,
        goes_on=goes_on,
        portal=portal,
        paged=bool(cursor),
        wrongs=wrongs,
    )


async def clock_of(parts: Parts) -> datetime:
    """The ledger's clock, by which quiet times go."""
    seconds, micros = await parts.redis.time()
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros)
