"""The pages of payments: found by whatever one has of them, and one with its way, its error and what may be done."""

from typing import Final
from urllib.parse import quote

from aiohttp import web

from ledger.payment import Payment, State
from ledger.transitions import transitions_of
from web import actions
from web.api.bodies import required
from web.api.door import ledger_of, payment_of
from web.api.doubts import decide, is_open_question, read_back
from web.api.listing import lanes_of
from web.api.models import ChangeRequest, ResolveRequest
from web.api.payments import ALLOWED, change
from web.pages.entering import form_of
from web.pages.meanings import meaning_of, meaning_of_hold, meaning_of_reading
from web.pages.questions import doubt_of, next_of
from web.pages.rendering import render
from web.pages.sifting import filters_of, find
from web.pages.turning import back_to, told_on
from web.pages.wording import now
from web.parts import PARTS
from web.problems import Problem

HERE: Final = "/payments"


async def show_payments(request: web.Request) -> web.StreamResponse:
    """Search and list; a text that names one payment leads straight to it."""
    filters = filters_of(request)
    found = await find(request, await ledger_of(request), filters)
    if filters.text and found.only is not None:
        return web.Response(status=303, headers={"Location": path_of(found.only)})
    return render(
        request,
        "payments.html",
        status=422 if filters.wrongs else 200,
        title="Payments",
        here=HERE,
        filters=filters,
        found=found,
        states=list(State),
        retention_days=request.app[PARTS].settings.retention_days,
    )


async def show_payment(request: web.Request) -> web.Response:
    """Show one payment."""
    return await _page(request, await payment_of(request, await ledger_of(request)))


async def retry_payment(request: web.Request) -> web.StreamResponse:
    """As `POST /v1/payments/{id}/retry` does."""
    return await _changed(request, actions.RETRY, "retried")


async def cancel_payment(request: web.Request) -> web.StreamResponse:
    """As `POST /v1/payments/{id}/cancel` does."""
    return await _changed(request, actions.CANCEL, "cancelled")


async def verify_doubt(request: web.Request) -> web.StreamResponse:
    """As `POST /v1/doubts/{id}/verify` does."""
    ledger = await ledger_of(request)
    before = await payment_of(request, ledger)
    try:
        await read_back(request, ledger, before, _why(request))
    except Problem as problem:
        return await _page(request, before, problem)
    return back_to(path_of(before), "verifying")


async def resolve_doubt(request: web.Request) -> web.StreamResponse:
    """As `POST /v1/doubts/{id}/resolve` does."""
    ledger = await ledger_of(request)
    before = await payment_of(request, ledger)
    form = form_of(request)
    try:
        said = required(ResolveRequest, {"as": form.one("as"), "because": form.one("because")})
        await decide(request, ledger, before, said)
    except Problem as problem:
        return await _page(request, before, problem)
    return back_to(path_of(before), said.seen.value)


def path_of(payment: Payment) -> str:
    """Where a payment's page is."""
    return f"{HERE}/{quote(payment.id, safe='')}"


async def _changed(request: web.Request, action: str, done: str) -> web.StreamResponse:
    ledger = await ledger_of(request)
    before = await payment_of(request, ledger)
    try:
        await change(request, ledger, action, before, _why(request))
    except Problem as problem:
        [current] = await ledger.find([before.id])
        return await _page(request, current or before, problem)
    return back_to(path_of(before), done)


def _why(request: web.Request) -> str | None:
    why = form_of(request).one("because")
    return required(ChangeRequest, {"because": why} if why else {}).because


async def _page(request: web.Request, payment: Payment, problem: Problem | None = None) -> web.Response:
    parts = request.app[PARTS]
    lane = (await lanes_of(parts.ledger, [payment])).get(payment.portal)
    held = lane.held if lane else None
    return render(
        request,
        "payment.html",
        status=problem.status if problem else 200,
        title=f"Invoice {payment.invoice_id} of {payment.portal}",
        here=HERE,
        payment=payment,
        path=path_of(payment),
        next=next_of(payment, lane),
        lane=lane,
        hold=meaning_of_hold(held.code, held.remedy) if held else None,
        meaning=meaning_of(payment.error) if payment.error else None,
        reading=meaning_of_reading(payment.last_read_error) if payment.last_read_error else None,
        doubt=doubt_of(payment, lane, now()) if is_open_question(payment) else None,
        beside=await parts.lookups.beside(payment.id),
        steps=transitions_of(payment),
        may_retry=payment.state is ALLOWED[actions.RETRY],
        may_cancel=payment.state is ALLOWED[actions.CANCEL],
        problem=problem,
        done=told_on(request),
    )
