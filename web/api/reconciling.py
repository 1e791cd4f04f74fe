"""`/v1/portals/{key}/reconcile`: the ledger against a portal, a page at a time."""

from aiohttp import web

from bitrix24.registry import RegistryError
from reconciling import cursor as cursors
from reconciling.cursor import BadCursor, Cursor
from reconciling.findings import Page, Stop
from reconciling.period import EmptyPeriod
from web.api import answers
from web.api.bodies import read_query
from web.api.door import lane_of, ledger_of
from web.api.models import ReconcileQuery
from web.api.operations import Operation, described
from web.api.wrongs import Wrong, refusal
from web.parts import PARTS


@described(
    Operation(
        name="reconcilePortal",
        tag="portals",
        query=ReconcileQuery,
        answers={200: ("A step of the comparison.", answers.ReconcilePage)},
        refusals=frozenset({404, 422}),
    )
)
async def reconcile(request: web.Request) -> web.Response:
    """Compare the ledger with the portal for payments that ended in a period. Nothing is changed.

    Each step compares up to 50 payments with one or two requests to the portal, and only with requests that payments
    can spare: with `wait_s` there was none, so ask again after so long. Go on with `next_cursor` until it is null.
    """
    query = read_query(request, ReconcileQuery)
    portal = (await lane_of(request, await ledger_of(request))).portal
    cursor, page = await compare(request, portal, query)
    goes_on = cursors.written(page.cursor, portal) if page.cursor else None
    return web.json_response(answers.reconcile_document(portal, cursor.period, page, goes_on))


async def compare(request: web.Request, portal: str, query: ReconcileQuery) -> tuple[Cursor, Page]:
    """One step of a comparison, and where it stood before; raises Problem."""
    reconciler = request.app[PARTS].reconciler
    try:
        cursor = _given(query, portal) or Cursor(await reconciler.period(query.since, query.until))
    except EmptyPeriod as error:
        raise refusal([_wrong("until", "period", f"leaves nothing that can have ended: {error}")]) from None
    try:
        return cursor, await reconciler.page(portal, cursor)
    except RegistryError as error:
        stop = Stop("NOT_USABLE", str(error), f"See what `b24pay portal check {portal}` says.")
        return cursor, Page(cursor=cursor, stop=stop)


def _given(query: ReconcileQuery, portal: str) -> Cursor | None:
    """The cursor that was given; raises Problem."""
    if query.cursor is None:
        return None
    try:
        cursor = cursors.read(query.cursor, portal)
    except BadCursor:
        raise refusal([_wrong("cursor", "cursor", "is not a cursor of this comparison")]) from None
    ours = cursor.period.since, cursor.period.until
    if any(given not in (None, mine) for given, mine in zip((query.since, query.until), ours, strict=True)):
        raise refusal([_wrong("cursor", "cursor", "belongs to another period")])
    return cursor


def _wrong(name: str, rule: str, text: str) -> Wrong:
    step = "Give next_cursor of the page before alone, or a period that begins before it ends and before now."
    return Wrong(name, rule, text, step, within="parameter")
