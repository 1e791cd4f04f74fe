"""`/v1/payments`: find payments, retry and cancel them."""

from typing import Final

from aiohttp import web

from ledger.payment import Payment, State
from ledger.redis import RedisLedger
from ledger.walks import Sought
from web import actions
from web.api import answers
from web.api.bodies import read_query, read_why
from web.api.door import ledger_of, no_payment, payment_of
from web.api.listing import Listing, Search
from web.api.models import ChangeRequest, PaymentsQuery
from web.api.operations import Operation, described
from web.problems import Problem

SMALL: Final = 8192  # bytes of a body with a reason in it
# Only these ever have an error, so a code is looked for nowhere else.
WITH_CODES: Final = (State.QUEUED, State.IN_DOUBT, State.FAILED)
# From which state a payment may be changed.
ALLOWED: Final = {actions.RETRY: State.FAILED, actions.CANCEL: State.QUEUED}


@described(
    Operation(
        name="listPayments",
        tag="payments",
        query=PaymentsQuery,
        answers={200: ("A page of payments.", answers.PaymentPage)},
        refusals=frozenset({422}),
    )
)
async def list_payments(request: web.Request) -> web.Response:
    """List payments by state, portal, invoice, error code and time.

    Portals come in the order of their keys; within one the states one after the other, open payments oldest first,
    finished ones newest first. A payment that stays in its state is listed once, whatever moves beside it. A page may
    be short, or even empty, and still have a cursor: the work of a page is bounded.
    """
    query = read_query(request, PaymentsQuery)
    sought = Sought(code=query.code, since=query.since, until=query.until)
    states = [state for state in State if state in query.state] or list(State)
    searches = [Search(state, sought) for state in states if not query.code or state in WITH_CODES]
    ledger = await ledger_of(request)
    listing = Listing(request, ledger, searches, query.limit, query.portal, query.invoice)
    rows, goes_on = await listing.page(query.cursor)
    return web.json_response({"payments": [answers.payment_document(row) for row in rows], "next_cursor": goes_on})


@described(
    Operation(
        name="getPayment",
        tag="payments",
        answers={200: ("The payment.", answers.PaymentDetails)},
        refusals=frozenset({404}),
    )
)
async def show_payment(request: web.Request) -> web.Response:
    """Show one payment by its id, or by any other that has joined it, with each step of its way."""
    return web.json_response(answers.payment_details(await payment_of(request, await ledger_of(request))))


@described(
    Operation(
        name="retryPayment",
        tag="payments",
        body=ChangeRequest,
        body_required=False,
        answers={200: ("It is queued again.", answers.PaymentDocument)},
        refusals=frozenset({400, 404, 408, 409, 413, 415, 422}),
    )
)
async def retry(request: web.Request) -> web.Response:
    """Queue a failed payment again. What was ever sent is read back at the portal before it is sent again."""
    return await _answered(request, actions.RETRY)


@described(
    Operation(
        name="cancelPayment",
        tag="payments",
        body=ChangeRequest,
        body_required=False,
        answers={200: ("It is withdrawn.", answers.PaymentDocument)},
        refusals=frozenset({400, 404, 408, 409, 413, 415, 422}),
    )
)
async def cancel(request: web.Request) -> web.Response:
    """Withdraw a payment of which nothing was sent yet. One that is cancelled already stays so."""
    return await _answered(request, actions.CANCEL)


async def _answered(request: web.Request, action: str) -> web.Response:
    ledger = await ledger_of(request)
    before = await payment_of(request, ledger)
    after = await change(request, ledger, action, before, await read_why(request, SMALL))
    return web.json_response(answers.payment_document(after))


async def change(request: web.Request, ledger: RedisLedger, action: str, before: Payment, why: str | None) -> Payment:
    """Retry or cancel one payment and write it down; raises Problem where the ledger does not allow it."""
    after = await make(ledger, action, before)
    if after is None:
        raise no_payment()
    allowed = ALLOWED[action]
    if before.state is allowed and after.state is not allowed:
        await actions.record(request, action, after.id, before.state, after.state, why)
    if not was_made(action, before, after):
        raise not_now(action, after, before)
    return after


async def make(ledger: RedisLedger, action: str, payment: Payment) -> Payment | None:
    """Ask the ledger for a retry or a cancellation; the row afterwards, None when unknown."""
    return await (ledger.retry if action == actions.RETRY else ledger.cancel)(payment.id)


def was_made(action: str, before: Payment, after: Payment) -> bool:
    """Whether the change is made. One that is cancelled already stays so; a retried one may even have ended by now."""
    if action == actions.CANCEL:
        return after.state is State.CANCELLED
    return before.state is ALLOWED[action] and after.state is not ALLOWED[action]


def not_now(action: str, after: Payment, before: Payment) -> Problem:
    """Why the ledger has left a payment as it is."""
    verb = "retried" if action == actions.RETRY else "cancelled"
    if action == actions.RETRY and before.state is State.FAILED:
        cause = "Another payment of this invoice is open or paid, or its portal was removed."
        step = f"See GET /v1/payments?portal={after.portal}&invoice={after.invoice_id}."
    elif action == actions.RETRY:
        cause, step = f"The payment is {after.state}; only a failed one can be {verb}.", "Let it go on by itself."
    else:
        cause = f"The payment is {after.state}; only a queued one can be {verb}."
        step = "Let it end. What was sent cannot be called back."
    return Problem(409, "wrong-state", cause, step, members={"payment": answers.payment_document(after)})
