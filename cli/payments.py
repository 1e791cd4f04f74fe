"""`b24pay pay`, `status`, `list` and `inspect`: one payment at a time, and what the ledger knows about it."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, assert_never

import click

from cli.exits import CommandError, Exit
from cli.output import Output, cell, facts, speaks, state, table
from cli.session import Session, lane_of, open_session, require_portal, run

if TYPE_CHECKING:
    from ledger.ledger import Opened
    from ledger.payment import Payment

_FIRST_LOOK_S: Final = 0.05
_LONGEST_LOOK_S: Final = 1.0
_PAGE: Final = 500
_STATES: Final = ("queued", "sending", "in_doubt", "paid", "failed", "cancelled")


@click.command()
@click.argument("invoice")
@click.option("--portal", required=True, metavar="KEY", help="The configured portal.")
@click.option("--pay-system", metavar="N", help="Number of the pay system that pays.")
@click.option("--handler", metavar="CODE", help="Code of the REST handler, where no --pay-system is given.")
@click.option("--key", metavar="KEY", help="Idempotency key: the same key is the same payment.")
@click.option("--wait", is_flag=True, help="Wait for the end; the exit code then tells it.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(min=0), metavar="S", help="With --wait: at most so long.")
@click.option("--dry-run", is_flag=True, help="Check the request and send nothing.")
@speaks
def pay(
    output: Output,
    *,
    invoice: str,
    portal: str,
    pay_system: str | None,
    handler: str | None,
    key: str | None,
    timeout_s: float | None,
    wait: bool,
    dry_run: bool,
) -> int:
    """Pay one invoice.

    Accepted means durable: the payment will end as paid, failed with a reason, or in doubt.
    """
    from tasks.errors import InvalidPayment
    from tasks.payment import parse_payment

    if timeout_s is not None and not wait:
        raise click.UsageError("--timeout needs --wait")
    fields = {
        "portal": portal,
        "invoice_id": invoice,
        "pay_system_id": pay_system,
        "bx_rest_handler": handler,
        "idempotency_key": key,
    }
    try:
        request = parse_payment(str(uuid.uuid4()), fields)
    except InvalidPayment as error:
        raise CommandError(str(error), "Nothing was accepted; correct the request.", Exit.USAGE) from None

    async def work() -> int:
        async with open_session() as session:
            if dry_run:
                await require_portal(session, portal)
                output.data({**fields, "accepted": False}, f"Invoice {request.invoice_id} would be queued.")
                return Exit.DONE
            [opened] = await session.ledger.open([request])
            payment = _accepted(opened, output)
            # Under the handle of a request that came after the payment the row says `duplicate`.
            handle = request.id if payment.duplicate else payment.id
            if wait:
                payment = await _wait_for(session, output, handle, payment, timeout_s)
        _show(output, payment)
        return ended(payment) if wait else Exit.DONE

    return run(work())


def _accepted(opened: "Opened", output: Output) -> "Payment":
    """The payment behind an answer; raises InvalidPayment where nothing was accepted."""
    from ledger.ledger import Accepted, AlreadyPaid, Conflict, Joined, UnknownPortal
    from tasks.result import refusal_of

    match opened:
        case Accepted(payment):
            return payment
        case Joined(payment):
            output.note(f"Joined payment {payment.id}: the same request is known.")
            return payment
        case AlreadyPaid(payment):
            output.note("The invoice is known as paid; nothing is sent.")
            return payment
        case Conflict() | UnknownPortal():
            raise refusal_of(opened)
    assert_never(opened)


async def _wait_for(
    session: Session, output: Output, handle: str, payment: "Payment", timeout_s: float | None
) -> "Payment":
    """The payment when it ended, when time is up, or when its lane is held and waiting is in vain."""
    from ledger.payment import OPEN

    end = None if timeout_s is None else time.monotonic() + timeout_s
    look_s = _FIRST_LOOK_S
    while payment.state in OPEN and (end is None or time.monotonic() < end):
        await asyncio.sleep(look_s if end is None else max(0.0, min(look_s, end - time.monotonic())))
        look_s = min(look_s * 1.5, _LONGEST_LOOK_S)
        payment = (await session.ledger.find([handle]))[0] or payment
        lane = await lane_of(session, payment.portal)
        if payment.state in OPEN and lane is not None and lane.held is not None:
            output.note(f"The lane is held ({lane.held.code}): {lane.held.text}")
            output.note(f"The payment stays {payment.state}. Next step: `b24pay portal resume {payment.portal}`.")
            break
    return payment


def ended(payment: "Payment") -> Exit:
    """The exit code that a payment's state means to whoever waited for it."""
    from ledger.payment import State

    match payment.state:
        case State.PAID:
            return Exit.DONE
        case State.FAILED | State.CANCELLED:
            return Exit.REFUSED
        case State.IN_DOUBT:
            return Exit.IN_DOUBT
        case State.QUEUED | State.SENDING:
            return Exit.TEMPORARY
    assert_never(payment.state)


@click.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--portal", metavar="KEY", help="With --invoice: the latest payment of an invoice.")
@click.option("--invoice", type=click.IntRange(min=1), metavar="N")
@speaks
def status(output: Output, ids: tuple[str, ...], portal: str | None, invoice: int | None) -> int:
    """Show what became of payments, by ID or by invoice."""
    by_invoice = portal is not None and invoice is not None
    if bool(ids) == by_invoice or (portal is None) != (invoice is None):
        raise click.UsageError("give payment IDs, or --portal with --invoice")

    async def work() -> int:
        async with open_session() as session:
            names = ids or (f"invoice {invoice} of {portal}",)
            found = (
                await session.ledger.find(ids)
                if portal is None or invoice is None
                else [await session.ledger.find_invoice(portal, invoice)]
            )
        _show(output, *[payment for payment in found if payment is not None])
        unknown = [name for name, payment in zip(names, found, strict=True) if payment is None]
        for name in unknown:
            output.note(f"Not known: {name}. Finished payments are remembered for B24PAY_RETENTION_DAYS.")
        return Exit.DONE if not unknown else Exit.PARTLY if len(unknown) < len(found) else Exit.REFUSED

    return run(work())


@click.command("list")
@click.option("--state", "states", multiple=True, type=click.Choice(_STATES), help="Repeatable; all states without.")
@click.option("--portal", metavar="KEY", help="Only this portal.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(min=0), help="0 lists everything.")
@speaks
def list_payments(output: Output, states: tuple[str, ...], portal: str | None, limit: int) -> int:
    """List payments by portal and state; open ones oldest first, finished ones newest first."""

    async def work() -> int:
        async with open_session() as session:
            if portal is not None:
                await require_portal(session, portal)
            portals = [portal] if portal else [lane.portal for lane in await session.ledger.lanes()]
            left = limit or None
            shown = 0
            async for page in pages(session, portals, states or _STATES):
                part = page if left is None else page[: left - shown]
                if part:
                    _show(output, *part)
                shown += len(part)
                if output.closed or (left is not None and shown >= left):
                    break
        if not shown:
            output.note("No payments.")
        elif shown == left:
            output.note(f"The first {shown}; --limit 0 lists everything.")
        return Exit.DONE

    return run(work())


async def pages(session: Session, portals: Sequence[str], states: Sequence[str]) -> AsyncIterator[list["Payment"]]:
    """Payments page by page, portal by portal, state by state."""
    from ledger.payment import State

    for portal in portals:
        for name in states:
            offset = 0
            while page := await session.ledger.payments(portal, State(name), offset, _PAGE):
                yield page
                offset += len(page)
                if len(page) < _PAGE:
                    break


@click.command()
@click.argument("payment_id", metavar="ID")
@speaks
def inspect(output: Output, payment_id: str) -> int:
    """Show all that the ledger knows about one payment."""

    async def work() -> int:
        async with open_session() as session:
            [payment] = await session.ledger.find([payment_id])
            if payment is None:
                cause = f"There is no payment {payment_id}."
                raise CommandError(cause, "See `b24pay list`; finished ones are remembered B24PAY_RETENTION_DAYS.")
            lane = await lane_of(session, payment.portal)
        document = {
            **inspected(payment),
            "lane_held": f"{lane.held.code}: {lane.held.text}" if lane and lane.held else None,
            "next": what_next(payment, held=bool(lane and lane.held)),
        }
        output.data(document, lambda: facts({**document, "status": state(payment.state)}))
        return Exit.DONE

    return run(work())


def document_of(payment: "Payment") -> dict[str, object]:
    """A payment for scripts: the contract's result, and the error where there is one."""
    from tasks.result import result_of

    error = payment.error
    return {**result_of(payment), "error": {"code": error.code, "text": error.text} if error else None}


def inspected(payment: "Payment") -> dict[str, object]:
    """Every field of a payment's row."""
    from tasks.result import instant

    error, read_error = payment.error, payment.last_read_error
    return {
        **document_of(payment),
        "error": f"{error.code}: {error.text}" if error else None,
        "idempotency_key": payment.idempotency_key,
        "sent_at": instant(payment.sent_at),
        "claim": payment.claim or None,
        "driver_deaths": payment.deaths,
        "quiet_until": instant(payment.quiet_until),
        "last_read_error": f"{read_error.code}: {read_error.text}" if read_error else None,
    }


def what_next(payment: "Payment", *, held: bool) -> str:
    """What happens to a payment from here on, and who makes it happen."""
    from ledger.payment import State

    if held and payment.state in (State.QUEUED, State.IN_DOUBT):
        return f"waits until a person resumes the lane: b24pay portal resume {payment.portal}"
    texts = {
        State.QUEUED: "is sent as soon as the portal admits a request",
        State.SENDING: "its answer is awaited; a lost one is read back at the portal",
        State.IN_DOUBT: "the invoice is read back at the portal; nothing is sent before that",
        State.PAID: "nothing: it is paid",
        State.FAILED: f"nothing; after mending the cause: b24pay retry {payment.id}",
        State.CANCELLED: "nothing: it was withdrawn",
    }
    return texts[payment.state]


def _show(output: Output, *payments: "Payment") -> None:
    if output.json:
        for payment in payments:
            output.data(document_of(payment), "")
        return
    if len(payments) == 1:
        [payment] = payments
        output.data({}, facts({**_without_empty(inspected(payment)), "status": state(payment.state)}))
    elif payments:
        shown = table("id", "portal", "invoice", "status", "attempts", "why", numbers=("invoice", "attempts"))
        for each in payments:
            why = f"{each.error.code}: {each.error.text}" if each.error else each.evidence
            shown.add_row(
                cell(each.id),
                cell(each.portal),
                cell(each.invoice_id),
                state(each.state),
                cell(each.attempts),
                cell(why),
            )
        output.data({}, shown)


def _without_empty(document: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in document.items() if value not in (None, "", 0, False)}
