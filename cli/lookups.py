"""`b24pay status`, `list` and `inspect`: what the ledger knows about payments."""

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Final

import click

from cli.exits import CommandError, Exit
from cli.numbers import WholeNumber
from cli.output import Output, facts, group, speaks, state
from cli.session import Session, lane_of, open_session, require_portal, run
from cli.showing import inspected, show, show_rows, what_next
from cli.transitions import shown_transitions, transitions_of

if TYPE_CHECKING:
    from access.audit import Entry
    from ledger.ledger import LaneView
    from ledger.payment import Payment

_PAGE: Final = 500
_STATES: Final = ("queued", "sending", "in_doubt", "paid", "failed", "cancelled")


@click.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--portal", metavar="KEY", help="With --invoice: the latest payment of an invoice.")
@click.option("--invoice", type=WholeNumber(min=1), metavar="N", help="With --portal: its number.")
@speaks
def status(output: Output, ids: tuple[str, ...], portal: str | None, invoice: int | None) -> int:
    """Show what became of payments, by ID or by invoice.

    \b
    Examples:
      b24pay status 0b2f6a1e
      b24pay status --portal acme --invoice 17 --json
    """
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
        show(output, [payment for payment in found if payment is not None])
        unknown = [name for name, payment in zip(names, found, strict=True) if payment is None]
        for name in unknown:
            from config.redaction import redact

            output.note(f"Not known: {redact(name)}. Finished payments are remembered for B24PAY_RETENTION_DAYS.")
        return Exit.DONE if not unknown else Exit.PARTLY if len(unknown) < len(found) else Exit.REFUSED

    return run(work())


@click.command("list")
@click.option("--state", "states", multiple=True, type=click.Choice(_STATES), help="Repeatable; all states without.")
@click.option("--portal", metavar="KEY", help="Only this portal.")
@click.option("--code", metavar="CODE", help="Only with this error code, such as ERROR_CHECK_FAILURE.")
@click.option("--limit", default=50, show_default=True, type=WholeNumber(min=0), help="0 lists everything.")
@speaks
def list_payments(output: Output, states: tuple[str, ...], portal: str | None, code: str | None, limit: int) -> int:
    """List payments by portal and state; open ones oldest first, finished ones newest first.

    \b
    Examples:
      b24pay list --state failed --portal acme --code ERROR_CHECK_FAILURE
      b24pay list --state queued --state sending --limit 0 --json | wc -l
    """

    async def work() -> int:
        async with open_session() as session:
            lanes = [await require_portal(session, portal)] if portal else await session.ledger.lanes()
            at_once = min(limit + 1, _PAGE) if limit and code is None else _PAGE
            payments = with_code(_listed(session, lanes, states or _STATES, at_once), code)
            more = await (_list_first(output, payments, limit) if limit else _list_all(output, payments))
        if more is None:
            output.note("No payments.")
        elif more:
            output.note(f"The first {limit}; --limit 0 lists everything.")
        return Exit.DONE

    return run(work())


async def _listed(
    session: Session, lanes: "Sequence[LaneView]", states: Sequence[str], at_once: int
) -> AsyncIterator[list["Payment"]]:
    """Pages of all lanes; of many, those are not asked that have nothing in a state."""
    from ledger.payment import State

    for lane in lanes:
        some = [name for name in states if len(lanes) == 1 or lane.counts[State(name)]]
        async for page in pages(session, [lane.portal], some, at_once):
            yield page


async def with_code(payments: "AsyncIterator[list[Payment]]", code: str | None) -> AsyncIterator[list["Payment"]]:
    """Of each page those with this error code, or all where none is named; empty pages are left out."""
    async for page in payments:
        if kept := [each for each in page if code is None or (each.error is not None and each.error.code == code)]:
            yield kept


async def _list_first(output: Output, payments: "AsyncIterator[list[Payment]]", limit: int) -> bool | None:
    """One table of so many payments; whether there are more, None where there is none."""
    first: list[Payment] = []
    async for page in payments:
        first += page
        if len(first) > limit:
            break
    show_rows(output, first[:limit])
    return len(first) > limit if first else None


async def _list_all(output: Output, payments: "AsyncIterator[list[Payment]]") -> bool | None:
    """A table a page, so that memory stays small; False at the end, None where there is none."""
    more = None
    async for page in payments:
        show_rows(output, page)
        more = False
        if output.closed:
            break
    return more


async def pages(
    session: Session, portals: Sequence[str], states: Sequence[str], at_once: int = _PAGE
) -> AsyncIterator[list["Payment"]]:
    """Payments page by page, portal by portal, state by state."""
    from ledger.payment import State

    for portal in portals:
        for name in states:
            offset = 0
            while page := await session.ledger.payments(portal, State(name), offset, at_once):
                yield page
                offset += len(page)
                if len(page) < at_once:
                    break


async def failed_in(session: Session, portal: str, code: str | None) -> AsyncIterator["Payment"]:
    """All failed payments of a portal, or those with a code: the ledger has a list of these."""
    from ledger.payment import State
    from ledger.walks import START, Place, Sought

    place: Place | None = START
    while place is not None:
        step = await session.ledger.walk(portal, State.FAILED, Sought(code=code), place, _PAGE)
        for payment in step.payments:
            yield payment
        place = step.place


@click.command()
@click.argument("payment_id", metavar="ID")
@speaks
def inspect(output: Output, payment_id: str) -> int:
    """Show all that the ledger knows about one payment, and its way: each step with its evidence.

    Who did what to the payment comes from the audit. Of a very long way the middle is left out, and what a worker of an
    older version did is said to be unknown.

    \b
    Examples:
      b24pay inspect 0b2f6a1e
      b24pay inspect 0b2f6a1e --json | jq -r .next
    """

    async def work() -> int:
        async with open_session() as session:
            [payment] = await session.ledger.find([payment_id])
            if payment is None:
                cause = f"There is no payment {payment_id}."
                raise CommandError(cause, "See `b24pay list`; finished ones are remembered B24PAY_RETENTION_DAYS.")
            lane = await lane_of(session, payment.portal)
            steps = transitions_of(payment, await _acts_on(session, payment))
        document: dict[str, object] = {
            **inspected(payment),
            "lane_held": f"{lane.held.code}: {lane.held.text}" if lane and lane.held else None,
            "next": what_next(payment, lane.held if lane else None),
        }
        output.data(
            {**document, "transitions": steps},
            lambda: group(facts({**document, "status": state(payment.state)}), "", shown_transitions(steps)),
        )
        return Exit.DONE

    return run(work())


async def _acts_on(session: Session, payment: "Payment") -> "list[Entry]":
    """What people did to a payment since it was accepted; with a second more, for two clocks are never one."""
    from datetime import UTC, datetime

    since_s = (datetime.now(UTC) - payment.enqueued_at).total_seconds() + 1
    return [entry async for entry in session.audit.entries(since_s) if payment.id in entry.subjects]
