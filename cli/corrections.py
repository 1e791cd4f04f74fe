"""`b24pay retry` and `cancel`: what an operator may change about payments; the ledger decides whether it may be."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from cli.acting import Act, acting, in_portions
from cli.exits import worst
from cli.lookups import failed_in
from cli.output import Output, cell, speaks, state, table
from cli.session import Session, open_session, require_portal, run
from config.redaction import redact

if TYPE_CHECKING:
    from ledger.payment import Payment, State


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one payment: its name in the audit, from which state it is allowed, and where it leads."""

    name: str
    allowed: "State"
    leads_to: "State"
    make: Callable[[str], Awaitable["Payment | None"]]


@click.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--state", "which", type=click.Choice(["failed"]), help="With --portal: all failed payments.")
@click.option("--portal", metavar="KEY", help="With --state: of this portal.")
@click.option("--code", metavar="CODE", help="With --state: only those that failed with this error code.")
@click.option("--dry-run", is_flag=True, help="Say what would happen and change nothing.")
@speaks
def retry(
    output: Output, ids: tuple[str, ...], which: str | None, portal: str | None, code: str | None, *, dry_run: bool
) -> int:
    """Queue failed payments again, by ID or all of a portal.

    \b
    Examples:
      b24pay retry 0b2f6a1e
      b24pay retry --state failed --portal acme --dry-run
      b24pay retry --state failed --portal acme --code ERROR_CHECK_FAILURE
    """
    from ledger.payment import State

    everything = which is not None and portal is not None
    if bool(ids) == everything or (which is None) != (portal is None) or (code is not None and not everything):
        raise click.UsageError("give payment IDs, or --state failed with --portal (and --code)")

    async def work() -> int:
        async with open_session() as session:
            wanted = list(ids)
            if portal is not None:
                await require_portal(session, portal)
                # All ids first: a retried payment leaves the list that is being read.
                wanted = [each.id async for each in failed_in(session, portal, code)]
            change = Change("payment.retry", State.FAILED, State.QUEUED, session.ledger.retry)
            return await _change(session, output, wanted, change, dry_run=dry_run)

    return run(work())


@click.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.option("--dry-run", is_flag=True, help="Say what would happen and change nothing.")
@speaks
def cancel(output: Output, ids: tuple[str, ...], *, dry_run: bool) -> int:
    """Withdraw payments of which nothing was sent yet.

    \b
    Examples:
      b24pay cancel 0b2f6a1e --dry-run
      b24pay cancel 0b2f6a1e 7c31d9aa
    """
    from ledger.payment import State

    async def work() -> int:
        async with open_session() as session:
            change = Change("payment.cancel", State.QUEUED, State.CANCELLED, session.ledger.cancel)
            return await _change(session, output, ids, change, dry_run=dry_run)

    return run(work())


@dataclass(frozen=True, slots=True)
class Changed:
    """What became of one payment."""

    id: str
    before: "State | None"
    after: "State | None"
    changed: bool
    text: str


async def _change(session: Session, output: Output, ids: Sequence[str], change: Change, *, dry_run: bool) -> int:
    shown = table("id", "status", "what happened")
    made: list[bool] = []

    def tell(each: Changed) -> None:
        made.append(each.changed)
        if output.json:
            changed = each.changed and not dry_run
            output.data({"id": each.id, "changed": changed, "status": each.after, "text": each.text}, "")
        shown.add_row(cell(redact(each.id)), state(each.after) if each.after else cell(None), cell(each.text))

    for portion in in_portions(list(dict.fromkeys(ids))):
        if dry_run:
            for payment_id in portion:
                tell(await _one(session, payment_id, change, dry_run=True))
        else:
            await _change_portion(session, portion, change, tell)
    if not output.json:
        output.data({}, shown if ids else "Nothing to do.")
    return worst(done=sum(made), refused=len(made) - sum(made))


async def _change_portion(
    session: Session, ids: Sequence[str], change: Change, tell: Callable[[Changed], None]
) -> None:
    """Change one payment after the other, between two rows of the audit."""
    made: list[Changed] = []
    async with acting(session, change.name, *ids) as act:
        for payment_id in ids:
            made.append(await _one(session, payment_id, change, dry_run=False))
            _note(act, made)
            tell(made[-1])


async def _one(session: Session, payment_id: str, change: Change, *, dry_run: bool) -> Changed:
    [before] = await session.ledger.find([payment_id])
    after = before if dry_run or before is None else await change.make(before.id)
    changed, text = _outcome(before, after, change, dry_run=dry_run)
    return Changed(payment_id, before.state if before else None, after.state if after else None, changed, text)


def _note(act: Act, made: Sequence[Changed]) -> None:
    act.before = {each.id: each.before for each in made}
    act.after = {each.id: each.after for each in made}
    changed = sum(each.changed for each in made)
    act.refused, act.partly = not changed, changed < len(made)


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
