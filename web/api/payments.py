"""`/v1/payments`: find payments, retry and cancel them."""

from collections.abc import Callable, Coroutine
from typing import Final

from aiohttp import web

from ledger.payment import Payment, State
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
_WITH_CODES: Final = (State.QUEUED, State.IN_DOUBT, State.FAILED)


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
    searches = [Search(state, sought) for state in states if not query.code or state in _WITH_CODES]
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
    ledger = await ledger_of(request)
    return await _change(request, actions.RETRY, ledger.retry, (State.FAILED, State.QUEUED))


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
    ledger = await ledger_of(request)
    return await _change(request, actions.CANCEL, ledger.cancel, (State.QUEUED, State.CANCELLED))


async def _change(
    request: web.Request,
    action: str,
    make: Callable[[str], Coroutine[None, None, Payment | None]],
    way: tuple[State, State],
) -> web.Response:
    allowed, wanted = way
    before = await payment_of(request, await ledger_of(request))
    why = await read_why(request, SMALL)
    after = await make(before.id)
    if after is None:
        raise no_payment()
    if before.state is allowed and after.state is not allowed:
        await actions.record(request, action, after.id, before.state, after.state, why)
    # A retried payment may be sent, and even have ended, by now.
    done = (
        after.state is wanted if wanted is State.CANCELLED else before.state is allowed and after.state is not allowed
    )
    if not done:
        raise _not_now(action, after, before)
    return web.json_response(answers.payment_document(after))


def _not_now(action: str, after: Payment, before: Payment) -> Problem:
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
