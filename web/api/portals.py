"""`/v1/portals`: lanes as an operator sees them, hold and resume."""

from collections.abc import Sequence

from aiohttp import web

from bitrix24.registry import BrokenRecord, StoredPortal, UnknownPortal
from config.redaction import redact
from ledger.holds import OPERATOR
from ledger.ledger import LaneView
from ledger.redis import RedisLedger
from web import actions
from web.access import PRINCIPAL
from web.api import answers, cursors
from web.api.bodies import read_body, read_query, read_why
from web.api.cursors import Cursor
from web.api.door import lane_of, ledger_of, no_portal
from web.api.models import ChangeRequest, HoldRequest, PageQuery
from web.api.operations import Operation, described
from web.api.payments import SMALL
from web.parts import PARTS

_LIST = "portals"


@described(
    Operation(
        name="listPortals",
        tag="portals",
        query=PageQuery,
        answers={200: ("A page of portals.", answers.PortalPage)},
        refusals=frozenset({422}),
    )
)
async def list_portals(request: web.Request) -> web.Response:
    """List portals in the order of their keys: how many payments are in which state, and what holds a lane."""
    query = read_query(request, PageQuery)
    ledger = await ledger_of(request)
    after = cursors.read(query.cursor, _LIST).portal if query.cursor else ""
    lanes, behind = await lanes_behind(request, ledger, after, query.limit)
    goes_on = cursors.written(Cursor(behind), _LIST) if behind else None
    return web.json_response({"portals": [answers.portal_document(lane) for lane in lanes], "next_cursor": goes_on})


async def lanes_behind(
    request: web.Request, ledger: RedisLedger, after: str, limit: int
) -> tuple[Sequence[LaneView], str | None]:
    """The next lanes behind a key that the one who asks may see, and the key to go on behind."""
    allowed = request[PRINCIPAL].portals
    if allowed is not None:
        names = sorted(name for name in allowed if name > after)
        return await ledger.lanes(names[:limit]), names[limit - 1] if len(names) > limit else None
    found, goes_on = await ledger.portals(after, limit)
    return await ledger.lanes(found), goes_on


@described(
    Operation(
        name="getPortal",
        tag="portals",
        answers={200: ("The portal.", answers.PortalDetails)},
        refusals=frozenset({404}),
    )
)
async def show_portal(request: web.Request) -> web.Response:
    """Show one portal: its lane, and what is stored of it, without its credential."""
    return await _shown(request, await lane_of(request, await ledger_of(request)))


@described(
    Operation(
        name="holdPortal",
        tag="portals",
        body=HoldRequest,
        answers={200: ("It is held.", answers.PortalDetails)},
        refusals=frozenset({400, 404, 408, 413, 415, 422}),
    )
)
async def hold(request: web.Request) -> web.Response:
    """Let a portal's payments wait until somebody resumes it. What is in flight lands; the first reason is kept."""
    ledger = await ledger_of(request)
    before = await lane_of(request, ledger)
    said = await read_body(request, HoldRequest, SMALL)
    return await _shown(request, await stop(request, ledger, before, said))


@described(
    Operation(
        name="resumePortal",
        tag="portals",
        body=ChangeRequest,
        body_required=False,
        answers={200: ("It goes on.", answers.PortalDetails)},
        refusals=frozenset({400, 404, 408, 413, 415, 422}),
    )
)
async def resume(request: web.Request) -> web.Response:
    """Let a held portal go on, on trial: with one payment alone. One that is not held stays as it is."""
    ledger = await ledger_of(request)
    before = await lane_of(request, ledger)
    return await _shown(request, await go_on(request, ledger, before, await read_why(request, SMALL)))


async def stop(request: web.Request, ledger: RedisLedger, before: LaneView, said: HoldRequest) -> LaneView:
    """Hold a lane and write it down; the lane afterwards. Raises Problem where it has gone."""
    reason = redact(said.reason)
    if not await ledger.hold(before.portal, OPERATOR, reason):
        raise no_portal()
    after = await lane_of(request, ledger)
    await actions.record(request, actions.HOLD, before.portal, _standing(before), _standing(after), reason)
    return after


async def go_on(request: web.Request, ledger: RedisLedger, before: LaneView, why: str | None) -> LaneView:
    """Resume a lane and write it down; the lane afterwards."""
    resumed = await ledger.resume(before.portal)
    after = await lane_of(request, ledger)
    if resumed:
        await actions.record(request, actions.RESUME, before.portal, _standing(before), _standing(after), why)
    return after


async def _shown(request: web.Request, lane: LaneView) -> web.Response:
    return web.json_response(answers.portal_details(lane, await stored_of(request, lane.portal)))


async def stored_of(request: web.Request, key: str) -> StoredPortal | None:
    """What may be shown of a portal; None where nothing is stored, or nothing that can be read."""
    try:
        return await request.app[PARTS].registry.show(key)
    except (UnknownPortal, BrokenRecord):
        return None


def _standing(lane: LaneView) -> str:
    return f"held: {lane.held.code}" if lane.held else "open"
