"""`/v1/doubts`: payments of which nobody knows whether they were paid - see them, have them read again, decide."""

from typing import Final

from aiohttp import web

from config.redaction import redact
from ledger.ledger import StillQuiet
from ledger.payment import Payment, State
from ledger.redis import RedisLedger
from ledger.walks import Sought
from tasks.result import instant
from web import actions
from web.api import answers
from web.api.bodies import read_body, read_query, read_why
from web.api.door import ledger_of, no_payment, payment_of
from web.api.listing import Listing, Search, lanes_of
from web.api.models import ChangeRequest, DoubtsQuery, ResolveRequest, Seen
from web.api.operations import Operation, described
from web.api.payments import SMALL
from web.problems import Problem

# In doubt, and what must be read before it is sent and could not be read so far.
DOUBTS: Final = (Search(State.IN_DOUBT, Sought()), Search(State.QUEUED, Sought(troubled=True)))
_REFUSALS: Final = frozenset({400, 404, 408, 409, 413, 415, 422})


@described(
    Operation(
        name="listDoubts",
        tag="doubts",
        query=DoubtsQuery,
        answers={200: ("A page of doubts.", answers.DoubtPage)},
        refusals=frozenset({422}),
    )
)
async def list_doubts(request: web.Request) -> web.Response:
    """List the payments that only a read-back or a person moves on, with what keeps each and what to do."""
    query = read_query(request, DoubtsQuery)
    ledger = await ledger_of(request)
    listing = Listing(request, ledger, DOUBTS, query.limit, query.portal)
    rows, goes_on = await listing.page(query.cursor)
    lanes = await lanes_of(ledger, rows)
    doubts = [answers.doubt_document(row, lanes.get(row.portal)) for row in rows]
    return web.json_response({"doubts": doubts, "next_cursor": goes_on})


@described(
    Operation(
        name="verifyDoubt",
        tag="doubts",
        body=ChangeRequest,
        body_required=False,
        answers={202: ("A worker reads it now, unless its lane is held.", answers.DoubtDocument)},
        refusals=_REFUSALS,
    )
)
async def verify(request: web.Request) -> web.Response:
    """Have a doubt read back at the portal now instead of later."""
    ledger = await ledger_of(request)
    before = await payment_of(request, ledger)
    after = await read_back(request, ledger, before, await read_why(request, SMALL))
    lanes = await lanes_of(ledger, [after])
    return web.json_response(answers.doubt_document(after, lanes.get(after.portal)), status=202)


@described(
    Operation(
        name="resolveDoubt",
        tag="doubts",
        body=ResolveRequest,
        answers={200: ("It is decided.", answers.PaymentDocument)},
        refusals=_REFUSALS,
    )
)
async def resolve(request: web.Request) -> web.Response:
    """Decide on a payment in doubt after looking at its invoice in the portal.

    `paid` ends it as paid, with you as the evidence. `unpaid` ends it as failed; a retry then reads the invoice and
    sends it again if it is still unpaid. `unpaid` is refused as long as the call may still run at the portal.
    """
    ledger = await ledger_of(request)
    before = await payment_of(request, ledger)
    said = await read_body(request, ResolveRequest, SMALL)
    return web.json_response(answers.payment_document(await decide(request, ledger, before, said)))


async def read_back(request: web.Request, ledger: RedisLedger, before: Payment, why: str | None) -> Payment:
    """Have one doubt read now and write it down; raises Problem where there is none."""
    if not is_open_question(before):
        raise _no_doubt(before)
    [after] = await ledger.read_again([before.id])
    if after is None:
        raise no_payment()
    await actions.record(request, actions.VERIFY, after.id, before.state, after.state, why)
    return after


async def decide(request: web.Request, ledger: RedisLedger, before: Payment, said: ResolveRequest) -> Payment:
    """End one doubt by a person's word and write it down; raises Problem where that is not allowed (yet)."""
    if before.state is not State.IN_DOUBT:
        raise _no_doubt(before)
    because = redact(said.because)
    try:
        after = await ledger.decide(before.id, paid=said.seen is Seen.PAID, because=because)
    except StillQuiet as error:
        cause = "Its call may still be running at the portal; who sent it again could pay twice."
        step = f"Say it again after {instant(error.until)}; paid may be said at once."
        raise Problem(409, "too-early", cause, step, members={"until": instant(error.until)}) from None
    if after is None:
        raise no_payment()
    if after.state is not (State.PAID if said.seen is Seen.PAID else State.FAILED) or after.because is None:
        raise _no_doubt(after)  # somebody, or a read-back, was quicker
    await actions.record(request, actions.RESOLVE, after.id, before.state, after.state, because)
    return after


def is_open_question(payment: Payment) -> bool:
    """Whether only a read-back or a person moves it on: in doubt, or to be read first and not readable so far."""
    unread = payment.state is State.QUEUED and payment.last_read_error is not None
    return unread or payment.state is State.IN_DOUBT


def _no_doubt(payment: Payment) -> Problem:
    steps = {
        State.QUEUED: "It is sent, or read first, by itself.",
        State.SENDING: "Its answer is awaited; look again soon.",
        State.FAILED: f"To send it again: POST {answers.url_of(payment.id)}/retry.",
    }
    cause = f"The payment is {payment.state}, not in doubt: there is nothing to decide."
    step = steps.get(payment.state, f"See GET {answers.url_of(payment.id)}.")
    return Problem(409, "wrong-state", cause, step, members={"payment": answers.payment_document(payment)})
