"""`b24pay doubts`: payments of which nobody knows whether they were paid - see them, read them again, decide."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

import click

from cli.acting import acting, in_portions
from cli.exits import CommandError, Exit, worst
from cli.numbers import Seconds
from cli.output import Output, cell, speaks, state, table
from cli.questions import (
    Questions,
    is_open_question,
    lanes_of,
    now_of,
    open_questions,
    show_questions,
    what_to_do,
)
from cli.readings import Outcome, Reading, hindrance, make_due, text_of, wait_for_readings
from cli.session import Session, open_session, run
from cli.showing import document_of, show, told, what_next
from config.redaction import redact

if TYPE_CHECKING:
    from ledger.payment import Payment

_PAGE: Final = 500  # a table of more would be built for nobody
_END: Final[Mapping[str, str]] = {"paid": "paid on your word", "unpaid": "failed with code RESOLVED_UNPAID"}


@click.group(invoke_without_command=True)
@click.option("--portal", metavar="KEY", help="Only this portal.")
@speaks
@click.pass_context
def doubts(context: click.Context, output: Output, portal: str | None) -> int:
    """List the payments in doubt, have them read again, or decide on one.

    In doubt is what was sent without a trustworthy answer. Workers read it back at the portal by themselves; nothing is
    sent again before that.

    \b
    Examples:
      b24pay doubts
      b24pay doubts --portal acme --json
    """
    if context.invoked_subcommand is None:
        return run(_list(output, portal))
    if portal is not None or output.json:
        raise click.UsageError(f"options stand behind the verb: b24pay doubts {context.invoked_subcommand} ...")
    return Exit.DONE


@doubts.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--portal", metavar="KEY", help="All doubts of this portal; without it and without IDs: all there are.")
@click.option(
    "--timeout",
    "timeout_s",
    type=Seconds(min=0),
    default=30,
    show_default=True,
    metavar="S",
    help="Wait for decisions at most so long.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be read and change nothing.")
@speaks
def verify(output: Output, ids: tuple[str, ...], portal: str | None, timeout_s: float, *, dry_run: bool) -> int:
    """Let workers read doubts at the portal now, and wait for what that decides.

    \b
    Examples:
      b24pay doubts verify --portal acme --timeout 60
      b24pay doubts verify 0b2f6a1e --dry-run
    """
    if ids and portal is not None:
        raise click.UsageError("give payment IDs or --portal, not both")

    async def work() -> int:
        async with open_session() as session:
            known, unknown = await _wanted(session, ids, portal)
            asked = [each for each in known if is_open_question(each)]
            readings = [Reading(each, None, Outcome.DECIDED) for each in known if not is_open_question(each)]
            if asked and dry_run:
                readings += [Reading(each, None, Outcome.PENDING) for each in asked]
            elif asked:
                for portion in in_portions([each.id for each in asked]):
                    async with acting(session, "doubt.verify", *portion):
                        await make_due(session, portion)
                with output.busy(f"{len(asked):,} to be read back, {timeout_s:g} s at the most"):
                    readings += await wait_for_readings(session, asked, timeout_s)
        _show_readings(output, readings, dry_run=dry_run)
        for text in dict.fromkeys(filter(None, map(hindrance, readings))):
            output.note(text)
        for name in unknown:
            output.note(f"Not known: {redact(name)}. Finished payments are remembered for B24PAY_RETENTION_DAYS.")
        return _ended([] if dry_run else readings, len(unknown))

    return run(work())


@doubts.command()
@click.argument("payment_id", metavar="ID")
@click.option("--as", "verdict", type=click.Choice(["paid", "unpaid"]), required=True, help="What you have seen.")
@click.option("--because", required=True, metavar="TEXT", help="How you know; it stays on record.")
@click.option("--dry-run", is_flag=True, help="Say what would happen and change nothing.")
@speaks
def resolve(output: Output, payment_id: str, verdict: str, because: str, *, dry_run: bool) -> int:
    """Decide on a payment in doubt after looking at its invoice in the portal.

    paid ends it as paid, with you as the evidence. unpaid ends it as failed; `b24pay retry ID` then reads the invoice
    and sends it again if it is still unpaid. unpaid is refused as long as the call may still run at the portal.

    \b
    Examples:
      b24pay doubts resolve 0b2f6a1e --as paid --because 'bank statement of 24 November'
      b24pay doubts resolve 0b2f6a1e --as unpaid --because 'seen in the portal' --dry-run
    """
    reason = because.strip()
    if not reason:
        raise click.UsageError("--because must say how you know; it stays on record")

    async def work() -> int:
        paid = verdict == "paid"
        async with open_session() as session:
            before = await _in_doubt(session, payment_id, paid=paid)
            if dry_run:
                text = f"Payment {before.id} (invoice {before.invoice_id} of {before.portal}) would be {_END[verdict]}."
                output.data({**document_of(before), "changed": False, "text": text}, text)
                return Exit.DONE
            states = {before.id: before.state}
            async with acting(session, "doubt.resolve", before.id, before.portal, why=reason, before=states) as act:
                after = await _decide(session, before, paid=paid, because=redact(reason))
                act.after = {after.id: after.state}
        show(output, [after])
        output.note(f"What happens next: {what_next(after)}.")
        return Exit.DONE

    return run(work())


async def _list(output: Output, portal: str | None) -> int:
    questions, rows = Questions(), list["Payment"]()
    async with open_session() as session:
        async for page in open_questions(session, portal):
            rows += page
            if len(rows) >= _PAGE:
                await _show_page(session, output, questions, rows)
                rows.clear()
        await _show_page(session, output, questions, rows)
    if questions.remedies and not output.json:
        output.data({}, lambda: what_to_do(questions))
    output.note(questions.total())
    return Exit.DONE


async def _show_page(session: Session, output: Output, questions: Questions, rows: "Sequence[Payment]") -> None:
    """Some payments as one table, however many portals they belong to."""
    lanes = await lanes_of(session, rows)
    questions.add(rows, lanes)
    show_questions(output, rows, lanes, await now_of(session))


async def _wanted(session: Session, ids: Sequence[str], portal: str | None) -> "tuple[list[Payment], list[str]]":
    """The payments that were asked for, and the ids that nobody knows."""
    if not ids:
        return [each async for page in open_questions(session, portal) for each in page], []
    names = list(dict.fromkeys(ids))
    rows = await session.ledger.find(names)
    unknown = [name for name, row in zip(names, rows, strict=True) if row is None]
    return list({row.id: row for row in rows if row is not None}.values()), unknown


def _show_readings(output: Output, readings: Sequence[Reading], *, dry_run: bool) -> None:
    shown = table("id", "portal", "invoice", "status", "what happened", numbers=("invoice",), words=("what happened",))
    for each in readings:
        row = each.payment
        text = "would be read" if dry_run and each.outcome is Outcome.PENDING else text_of(each)
        if output.json:
            told_error = told(row.last_read_error)
            output.data({**document_of(row), "last_read_error": told_error, "outcome": each.outcome, "text": text}, "")
        shown.add_row(cell(row.id), cell(row.portal), cell(row.invoice_id), state(row.state), cell(text))
    if not output.json:
        output.data({}, shown if readings else "No payment is in doubt.")


def _ended(readings: Sequence[Reading], unknown: int) -> Exit:
    outcomes = [each.outcome for each in readings]
    done = outcomes.count(Outcome.DECIDED)
    in_doubt = outcomes.count(Outcome.UNREADABLE) + outcomes.count(Outcome.QUIET)
    return worst(done=done, refused=unknown, in_doubt=in_doubt, unfinished=len(outcomes) - done - in_doubt)


async def _in_doubt(session: Session, payment_id: str, *, paid: bool) -> "Payment":
    """The payment that may be decided on now; raises CommandError for every other."""
    from ledger.payment import State

    [payment] = await session.ledger.find([payment_id])
    if payment is None:
        raise CommandError(f"There is no payment {payment_id}.", "See `b24pay doubts`.")
    if payment.state is not State.IN_DOUBT:
        raise _not_in_doubt(payment)
    now = await now_of(session)
    if not paid and payment.quiet_until is not None and now < payment.quiet_until:
        raise _too_early(payment.quiet_until)
    return payment


async def _decide(session: Session, payment: "Payment", *, paid: bool, because: str) -> "Payment":
    from ledger.ledger import StillQuiet
    from ledger.payment import State

    try:
        after = await session.ledger.decide(payment.id, paid=paid, because=because)
    except StillQuiet as error:
        raise _too_early(error.until) from None
    if after is None or after.state is not (State.PAID if paid else State.FAILED) or after.because is None:
        # Somebody, or a read-back, was quicker.
        raise _not_in_doubt(after or payment)
    return after


def _not_in_doubt(payment: "Payment") -> CommandError:
    from ledger.payment import State

    steps = {
        State.QUEUED: f"It is sent, or read first, by itself; to withdraw it: `b24pay cancel {payment.id}`.",
        State.SENDING: "Its answer is awaited; look again with `b24pay doubts`.",
        State.FAILED: f"To send it again: `b24pay retry {payment.id}`.",
    }
    cause = f"Payment {payment.id} is {payment.state}, not in doubt: there is nothing to decide."
    return CommandError(cause, steps.get(payment.state, f"See `b24pay inspect {payment.id}`."))


def _too_early(until: datetime) -> CommandError:
    cause = (
        f"Until {until:%H:%M:%S} UTC nobody may call the payment unpaid: its call may still be running at the portal, "
        f"and whoever sent it again could pay twice."
    )
    return CommandError(cause, "Give the command again after that; paid may be said at once.", Exit.TEMPORARY)
