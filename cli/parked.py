"""`b24pay parked`: messages in the queue that nobody could read, kept until an operator has looked at them."""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import click

from cli.acting import acting
from cli.exits import CommandError, Exit, worst
from cli.numbers import WholeNumber
from cli.output import Output, cell, facts, speaks, table
from cli.session import Session, open_session, run
from config.redaction import redact

if TYPE_CHECKING:
    from worker.parked import Parked, ParkedMessages

_NOTHING: Final = "No parked messages."
# A body inside the beginning of an envelope, cut off perhaps; 4 characters of base64 are 3 bytes.
_BODY: Final = re.compile(r'("body"\s*:\s*")([A-Za-z0-9+/]{8,}={0,2})')


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout: one document per line.")
@click.pass_context
def parked(context: click.Context, *, as_json: bool) -> int | None:
    """List messages that nobody could read; `show` and `drop` take their numbers.

    \b
    Examples:
      b24pay parked
      b24pay parked --json
    """
    return _list(Output(json=as_json)) if context.invoked_subcommand is None else None


@parked.command("list")
@speaks
def list_parked(output: Output) -> int:
    """List them, newest first.

    \b
    Examples:
      b24pay parked list
      b24pay parked list --json
    """
    return _list(output)


@parked.command()
@click.argument("number", type=WholeNumber(min=1), metavar="N")
@speaks
def show(output: Output, number: int) -> int:
    """Show the beginning of one message, with secrets as stars.

    \b
    Examples:
      b24pay parked show 3
      b24pay parked show 3 --json
    """

    async def work() -> int:
        async with open_session() as session:
            found = await _messages(session).find(number)
        if found is None:
            raise CommandError(
                f"There is no parked message {number}.", "See `b24pay parked`; the oldest ones give way."
            )
        document = {**_document(found), "beginning": readable(found.misfit.head)}
        output.data(document, lambda: facts(document))
        return Exit.DONE

    return run(work())


@parked.command()
@click.argument("numbers", nargs=-1, type=WholeNumber(min=1), metavar="[N]...")
@click.option("--all", "everything", is_flag=True, help="All that are there now.")
@click.option("--dry-run", is_flag=True, help="Say what would happen and change nothing.")
@speaks
def drop(output: Output, numbers: tuple[int, ...], *, everything: bool, dry_run: bool) -> int:
    """Forget messages, by number or all.

    \b
    Examples:
      b24pay parked drop 3 4
      b24pay parked drop --all --dry-run
    """
    if bool(numbers) == everything:
        raise click.UsageError("give numbers, or --all")

    async def work() -> int:
        async with open_session() as session:
            messages = _messages(session)
            there = [each.number for each in await messages.all()]
            wanted = there if everything else list(dict.fromkeys(numbers))
            known = [number for number in wanted if number in there]
            dropped: Sequence[int] = []
            if known and not dry_run:
                async with acting(session, "parked.drop", *known) as act:
                    dropped = await messages.drop(known)
                    act.after = {"dropped": len(dropped)}
        done = known if dry_run else dropped
        _tell(output, {number: _outcome(number in done, dry_run=dry_run) for number in wanted})
        return worst(done=len(done), refused=len(wanted) - len(done)) if wanted else Exit.DONE

    return run(work())


def readable(head: bytes) -> str:
    """The beginning of a message as text: a base64 body inside is decoded first, so that its secrets are seen."""
    text = head.decode("utf-8", "backslashreplace")
    return redact(_BODY.sub(lambda found: found[1] + _decoded(found[2]), text))


def _decoded(body: str) -> str:
    body = body.rstrip("=")
    try:
        return base64.b64decode(body[: len(body) // 4 * 4]).decode("utf-8", "backslashreplace")
    except (binascii.Error, ValueError):
        return body


def _list(output: Output) -> int:
    async def work() -> int:
        async with open_session() as session:
            found = await _messages(session).all()
        if output.json:
            for each in found:
                output.data(_document(each), "")
            return Exit.DONE
        shown = table("n", "at", "reason", "task", "task id", "bytes", numbers=("n", "bytes"), words=("reason",))
        for each in found:
            document = _document(each)
            shown.add_row(*(cell(document[name]) for name in ("number", "at", "reason", "task", "task_id", "size")))
        output.data({}, shown if found else _NOTHING)
        return Exit.DONE

    return run(work())


def _messages(session: Session) -> "ParkedMessages":
    from worker.parked import ParkedMessages

    return ParkedMessages(session.redis)


def _document(each: "Parked") -> dict[str, object]:
    misfit = each.misfit
    return {
        "number": each.number,
        "at": each.at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "queue": redact(misfit.queue),
        "reason": redact(misfit.reason),
        "task": redact(misfit.task) if misfit.task is not None else None,
        "task_id": redact(misfit.task_id) if misfit.task_id is not None else None,
        "size": misfit.size,
    }


def _outcome(happened: bool, *, dry_run: bool) -> str:  # noqa: FBT001 - one fact, named by the caller's condition
    if not happened:
        return "not there"
    return "would be dropped" if dry_run else "dropped"


def _tell(output: Output, outcomes: Mapping[int, str]) -> None:
    if output.json:
        for number, text in outcomes.items():
            output.data({"number": number, "dropped": text == "dropped", "text": text}, "")
        return
    rows: Sequence[tuple[int, str]] = list(outcomes.items())
    shown = table("n", "what happened", numbers=("n",))
    for row in rows:
        shown.add_row(*map(cell, row))
    output.data({}, shown if rows else "Nothing to do.")
