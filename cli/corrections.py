"""`b24pay retry` and `cancel`: what an operator may change about payments; the ledger decides whether it may be."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from cli.exits import worst
from cli.lookups import pages
from cli.output import Output, cell, speaks, state, table
from cli.session import Session, open_session, require_portal, run
from config.redaction import redact

if TYPE_CHECKING:
    from ledger.payment import Payment, State


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one payment: from which state it is allowed, and where it leads."""

    allowed: "State"
    leads_to: "State"
    make: Callable[[str], Awaitable["Payment | None"]]


@click.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--state", "which", type=click.Choice(["failed"]), help="With --portal: all failed payments.")
@click.option("--portal", metavar="KEY")
@click.option("--dry-run", is_flag=True, help="Say what would happen and change nothing.")
@speaks
def retry(output: Output, ids: tuple[str, ...], which: str | None, portal: str | None, *, dry_run: bool) -> int:
    """Queue failed payments again, by ID or all of a portal."""
    from ledger.payment import State

    everything = which is not None and portal is not None
    if bool(ids) == everything or (which is None) != (portal is None):
        raise click.UsageError("give payment IDs, or --state failed with --portal")

    async def work() -> int:
        async with open_session() as session:
            wanted = list(ids)
            if portal is not None:
                await require_portal(session, portal)
                # All ids first: a retried payment leaves the list that is being read.
                wanted = [each.id async for page in pages(session, [portal], ["failed"]) for each in page]
            change = Change(State.FAILED, State.QUEUED, session.ledger.retry)
            return await _change(session, output, wanted, change, dry_run=dry_run)

    return run(work())


@click.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.option("--dry-run", is_flag=True, help="Say what would happen and change nothing.")
@speaks
def cancel(output: Output, ids: tuple[str, ...], *, dry_run: bool) -> int:
    """Withdraw payments of which nothing was sent yet."""
    from ledger.payment import State

    async def work() -> int:
        async with open_session() as session:
            change = Change(State.QUEUED, State.CANCELLED, session.ledger.cancel)
            return await _change(session, output, ids, change, dry_run=dry_run)

    return run(work())


async def _change(session: Session, output: Output, ids: Sequence[str], change: Change, *, dry_run: bool) -> int:
    shown = table("id", "status", "what happened")
    done = refused = 0
    for payment_id in dict.fromkeys(ids):
        [before] = await session.ledger.find([payment_id])
        after = before if dry_run or before is None else await change.make(before.id)
        changed, text = _outcome(before, after, change, dry_run=dry_run)
        done, refused = done + changed, refused + (not changed)
        status = after.state if after else None
        if output.json:
            output.data({"id": payment_id, "changed": changed and not dry_run, "status": status, "text": text}, "")
        shown.add_row(cell(redact(payment_id)), state(status) if status else cell(None), cell(text))
    if not output.json:
        output.data({}, shown if ids else "Nothing to do.")
    return worst(done=done, refused=refused)


def _outcome(before: "Payment | None", after: "Payment | None", change: Change, *, dry_run: bool) -> tuple[bool, str]:
    if before is None or after is None:
        return False, "not known"
    if dry_run:
        allowed = before.state is change.allowed
        return allowed, f"would be {change.leads_to}" if allowed else f"stays {before.state}"
    if before.state is change.allowed and after.state is not change.allowed:
        # What was ever sent may have been paid: the ledger has it read first.
        read_first = ", read back before it is sent" if change.leads_to == "queued" and before.sent_at else ""
        return True, f"{before.state} -> {after.state}{read_first}"
    if before.state is change.allowed:
        return False, f"stays {after.state}: another payment of the invoice is open or paid"
    return False, f"stays {after.state}: only {change.allowed} payments can become {change.leads_to}"
