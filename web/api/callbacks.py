"""`/v1/callbacks`: who was told of a payment's end, who is yet to be told, and telling once more."""

from datetime import datetime
from typing import Annotated, Final

from aiohttp import web
from pydantic import BaseModel, BeforeValidator, Field, StringConstraints

from access.roles import Principal
from callbacks.document import document_of
from ledger.callbacks import Callback, CallbackState
from web import actions
from web.access import PRINCIPAL
from web.api.bodies import read_query
from web.api.door import ledger_of
from web.api.models import Instant, PageQuery, one_of
from web.api.operations import Operation, described
from web.problems import Problem

_NUMBER: Final = r"^[0-9]{1,9}$"
_State = Annotated[CallbackState, BeforeValidator(lambda value: one_of(CallbackState, value))]


class CallbacksQuery(PageQuery):
    """Which callbacks."""

    cursor: Annotated[str, StringConstraints(pattern=_NUMBER)] | None = Field(
        None, description="`next_cursor` of the page before, with the same filters."
    )
    state: _State = Field(CallbackState.PENDING, description="Only in this state.")
    host: Annotated[str, StringConstraints(min_length=1, max_length=255)] | None = Field(
        None, description="Only those to this host."
    )
    since: Instant | None = Field(None, description="Ended, tried last or accepted at this moment or later.")


class CallbackDocument(BaseModel):
    """One end that somebody is told of; the address is shown without its query."""

    id: str
    state: CallbackState
    type: str
    payment: str
    handle: str
    portal: str
    invoice_id: int
    host: str
    url: str
    created_at: datetime
    tries: int
    tried_at: datetime | None
    due_at: datetime | None
    remark: str | None = Field(description="What came of the latest try.")


class CallbackPage(BaseModel):
    """Some callbacks, newest first; more are behind the cursor, as long as there is one."""

    callbacks: list[CallbackDocument]
    next_cursor: str | None


@described(
    Operation(
        name="listCallbacks",
        tag="callbacks",
        query=CallbacksQuery,
        answers={200: ("A page of callbacks.", CallbackPage)},
        refusals=frozenset({422}),
    )
)
async def list_callbacks(request: web.Request) -> web.Response:
    """List callbacks, newest first, only those of the asker's portals.

    A page may have fewer than `limit` and still a cursor.
    """
    query = read_query(request, CallbacksQuery)
    page = await (await ledger_of(request)).callbacks.page(
        query.state,
        host=(query.host or "").lower(),
        since=query.since,
        offset=int(query.cursor or 0),
        limit=query.limit,
    )
    principal = request[PRINCIPAL]
    shown = [document_of(each) for each in page.callbacks if _is_theirs(principal, each)]
    return web.json_response({"callbacks": shown, "next_cursor": None if page.next is None else str(page.next)})


@described(
    Operation(
        name="resendCallback",
        tag="callbacks",
        answers={202: ("It is due now, under the same id.", CallbackDocument)},
        refusals=frozenset({404}),
    )
)
async def resend_callback(request: web.Request) -> web.Response:
    """Send a callback once more, now, under the same id and with all its attempts."""
    outbox, event = (await ledger_of(request)).callbacks, request.match_info["id"]
    [known] = await outbox.find([event])
    if known is None or not _is_theirs(request[PRINCIPAL], known) or await outbox.resend([event]) != [True]:
        raise Problem(404, "no-callback", "There is no callback of this id (any more).", "See GET /v1/callbacks.")
    [now] = await outbox.find([event])
    after = now or known
    await actions.record(request, actions.RESEND, event, known.state.value, after.state.value)
    return web.json_response(document_of(after), status=202)


def _is_theirs(principal: Principal, callback: Callback) -> bool:
    return principal.may_touch(callback.payment.portal)
