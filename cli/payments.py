"""`b24pay pay`: one invoice, and on request the wait for its end."""

import time
from typing import TYPE_CHECKING, Final, assert_never

import click

from cli.exits import CommandError, Exit
from cli.holds import told_held
from cli.numbers import Seconds
from cli.output import Output, speaks
from cli.session import Session, lane_of, open_session, require_portal, run
from cli.showing import show, what_next

if TYPE_CHECKING:
    from ledger.ledger import Opened
    from ledger.payment import NewPayment, Payment

_FIRST_LOOK_S: Final = 0.05
_LONGEST_LOOK_S: Final = 1.0


@click.command()
@click.argument("invoice")
@click.option("--portal", required=True, metavar="KEY", help="The configured portal.")
@click.option("--pay-system", metavar="N", help="Number of the pay system that pays.")
@click.option("--handler", metavar="CODE", help="Code of the REST handler, where no --pay-system is given.")
@click.option("--key", metavar="KEY", help="Idempotency key: the same key is the same payment.")
@click.option("--callback", metavar="URL", help="Address that is told of the end (docs/callbacks.md).")
@click.option("--wait", is_flag=True, help="Wait for the end; the exit code then tells it.")
@click.option("--timeout", "timeout_s", type=Seconds(min=0), metavar="S", help="With --wait: at most so long.")
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
    callback: str | None,
    timeout_s: float | None,
    wait: bool,
    dry_run: bool,
) -> int:
    """Pay one invoice.

    Accepted means durable: the payment will end as paid, failed with a reason, or in doubt.

    \b
    Examples:
      b24pay pay 17 --portal acme --pay-system 31 --wait --timeout 60
      b24pay pay 17 --portal acme --handler my_handler --key order-17 --json
      b24pay pay 17 --portal acme --pay-system 31 --dry-run
    """
    from tasks.errors import InvalidPayment
    from tasks.payment import new_ids, parse_payment

    if timeout_s is not None and not wait:
        raise click.UsageError("--timeout needs --wait")
    fields = {
        "portal": portal,
        "invoice_id": invoice,
        "pay_system_id": pay_system,
        "bx_rest_handler": handler,
        "idempotency_key": key,
        "callback": callback,
    }
    try:
        request = parse_payment(new_ids(1)[0], fields)
    except InvalidPayment as error:
        raise CommandError(str(error), "Nothing was accepted; correct the request.", Exit.USAGE) from None

    async def work() -> int:
        async with open_session() as session:
            if dry_run:
                text = await _foretold(session, request)
                asked = {name: getattr(request, name) for name in fields} | {"callback": callback}
                output.data({**asked, "accepted": False, "text": text}, text)
                return Exit.DONE
            [opened] = await session.ledger.open([request])
            payment = _accepted(opened, output)
            # Under the handle of a request that came after the payment the row says `duplicate`.
            handle = request.id if payment.duplicate else payment.id
            if wait:
                payment = await _wait_for(session, handle, payment, timeout_s)
                await _tell_what_next(session, output, payment)
        show(output, [payment])
        return ended(payment) if wait else Exit.DONE

    return run(work())


async def _foretold(session: Session, request: "NewPayment") -> str:
    """What would become of a request now; raises what it would be refused with."""
    from ledger.ledger import Conflict
    from ledger.payment import OPEN, State
    from tasks.result import refusal_of

    await require_portal(session, request.portal)
    known = await session.ledger.find_invoice(request.portal, request.invoice_id)
    if known is not None and known.state in OPEN:
        if (known.pay_system_id, known.bx_rest_handler) != (request.pay_system_id, request.bx_rest_handler):
            raise refusal_of(Conflict(known.id, "invoice"))
        return f"Invoice {request.invoice_id} would join the open payment {known.id}."
    if known is not None and known.state is State.PAID and request.idempotency_key is None:
        return f"Invoice {request.invoice_id} is known as paid by payment {known.id}; nothing would be sent."
    return f"Invoice {request.invoice_id} would be queued."


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


async def _wait_for(session: Session, handle: str, payment: "Payment", timeout_s: float | None) -> "Payment":
    """The payment when it ended, when time is up, or when its lane is held and waiting is in vain."""
    from asyncio import sleep

    from ledger.payment import OPEN

    end = None if timeout_s is None else time.monotonic() + timeout_s
    look_s = _FIRST_LOOK_S
    while payment.state in OPEN and (end is None or time.monotonic() < end):
        await sleep(look_s if end is None else max(0.0, min(look_s, end - time.monotonic())))
        look_s = min(look_s * 1.5, _LONGEST_LOOK_S)
        payment = (await session.ledger.find([handle]))[0] or payment
        lane = await lane_of(session, payment.portal)
        if lane is not None and lane.held is not None:
            break
    return payment


async def _tell_what_next(session: Session, output: Output, payment: "Payment") -> None:
    """Tell whoever waited why it was in vain and what happens now; nothing where the invoice is paid."""
    from ledger.payment import OPEN, State

    if payment.state is State.PAID:
        return
    lane = await lane_of(session, payment.portal)
    held = lane.held if lane and payment.state in OPEN else None
    if held is not None:
        output.note(f"The lane is held ({told_held(held)}). {held.remedy}".rstrip())
    output.note(f"The payment is {payment.state}. What happens next: {what_next(payment, held)}.")
    if payment.state in OPEN:
        output.note(f"Follow it with `b24pay status {payment.id}`.")


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
