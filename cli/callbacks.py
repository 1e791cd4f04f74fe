"""`b24pay callback`: who is told of payments' ends, with which signature, and what could not be told."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import click

from cli.acting import acting
from cli.exits import CommandError, Exit, worst
from cli.numbers import WholeNumber
from cli.output import Output, cell, facts, speaks, table
from cli.session import Session, open_session, run

if TYPE_CHECKING:
    from ledger.callbacks import Callback, CallbackState

_STATES: Final = ("pending", "failed", "delivered")
_PAGE: Final = 200
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}


class Since(click.ParamType[datetime, Any]):
    """A moment, or how long ago it was."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """An aware instant; raises BadParameter where it is none."""
        if isinstance(value, datetime):
            return value
        text = str(value)
        try:
            if text[:-1].isascii() and text[:-1].isdigit() and text[-1:] in _UNITS:
                return datetime.now(UTC) - timedelta(**{_UNITS[text[-1]]: int(text[:-1])})
            moment = datetime.fromisoformat(text)
        except (ValueError, OverflowError):
            self.fail(f"{text!r} is neither a moment (2026-11-24T10:00Z) nor a time span (30m, 12h, 3d).", param, ctx)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@click.group()
def callback() -> None:
    """Tell others of payments' ends: signing secrets, what is pending or failed, sending again.

    \b
    Examples:
      b24pay callback hosts
      b24pay callback list --state failed
    """


@callback.command()
@click.argument("host")
@click.option("--rotate", is_flag=True, help="Make a new one; for a day the one before signs as well.")
@click.option("--dry-run", is_flag=True, help="Say what would happen and change nothing.")
@speaks
def secret(output: Output, host: str, *, rotate: bool, dry_run: bool) -> int:
    """Make the secret that callbacks to HOST are signed with. It is shown once, and stored encrypted.

    Give it to the receiver's people: their library for Standard Webhooks (standardwebhooks.com) takes it as it is.

    \b
    Examples:
      b24pay callback secret shop.example.com    (then name it in B24PAY_CALLBACK_HOSTS)
      b24pay callback secret shop.example.com --rotate --dry-run
    """
    from callbacks.signing import OVERLAP_S, NoSigningSecret, SecretExists
    from config.callbacks import read_hosts

    try:
        [name] = read_hosts(host)
    except ValueError:
        raise click.UsageError(f"{host!r} is not a host; give it without scheme, port and path") from None
    if name.startswith("*."):
        raise click.UsageError("every host has a secret of its own; give one host")

    async def work() -> int:
        async with open_session() as session:
            if dry_run:
                known = {each.host for each in await session.signing_secrets.hosts()}
                text = _foretold(name, known=name in known, rotate=rotate)
                output.data({"host": name, "secret": None, "text": text}, text)
                return Exit.DONE
            try:
                async with acting(session, "callback.secret", name) as act:
                    made = await session.signing_secrets.make(name, rotate=rotate)
                    act.after = {"rotated": rotate}
            except SecretExists as error:
                step = f"Change it with `b24pay callback secret {name} --rotate`."
                raise CommandError(f"{error}; it is shown once only.", step) from None
            except NoSigningSecret as error:
                raise CommandError(f"{error}.", f"Make one with `b24pay callback secret {name}`.") from None
            allowed = session.settings.callback_rules.allow(name)
        former_until = datetime.now(UTC) + timedelta(seconds=OVERLAP_S) if rotate else None
        document = {"host": name, "secret": made.reveal(), "former_signs_until": former_until}
        output.data(document, made.reveal())
        output.note("It is not shown again. The receiver's library for Standard Webhooks takes it as it is.")
        if former_until is not None:
            output.note(f"The one before signs as well until {former_until:%Y-%m-%d %H:%M} UTC.")
        if not allowed:
            output.note("The host is not allowed yet: name it in B24PAY_CALLBACK_HOSTS of every process.")
        return Exit.DONE

    return run(work())


def _foretold(host: str, *, known: bool, rotate: bool) -> str:
    if known != rotate:
        return f"{host} has a signing secret: only --rotate makes a new one" if known else f"{host} has none to rotate"
    return "a new secret would be made" + (", and the one before would sign as well for a day" if rotate else "")


@callback.command("list")
@click.option("--state", "which", type=click.Choice(_STATES), help="Only those; pending and failed ones otherwise.")
@click.option("--host", default="", metavar="HOST", help="Only those to a host.")
@click.option("--since", type=Since(), metavar="T", help="In that state since: a moment, or 30m, 12h, 3d.")
@click.option("--limit", type=WholeNumber(min=1), default=100, show_default=True, metavar="N", help="At most so many.")
@speaks
def list_callbacks(output: Output, which: str | None, host: str, since: datetime | None, limit: int) -> int:
    """List callbacks, newest first.

    \b
    Examples:
      b24pay callback list --state failed --since 3d
      b24pay callback list --host shop.example.com --json
    """
    from callbacks.document import document_of
    from ledger.callbacks import CallbackState

    async def work() -> int:
        found: list[Callback] = []
        async with open_session() as session:
            for state in [which] if which else _STATES[:2]:
                async for each in _all(session, CallbackState(state), host.lower(), since):
                    if len(found) == limit:
                        break
                    found.append(each)
            counts = await session.ledger.callbacks.counts()
        if output.json:
            for each in found:
                output.data(document_of(each), "")
            return Exit.DONE
        columns = ("id", "state", "type", "payment", "host", "tries", "due_at", "remark")
        shown = table(*columns, numbers=("tries",), words=("remark",))
        for each in found:
            document = document_of(each)
            shown.add_row(*(cell(document[name]) for name in columns))
        output.data({}, shown if found else "No callbacks.")
        output.note(f"{counts.pending} pending, {counts.failed} failed, {counts.delivered} delivered in all.")
        return Exit.DONE

    return run(work())


@callback.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--host", metavar="HOST", help="With --since: all to that host, delivered ones too.")
@click.option("--since", type=Since(), metavar="T", help="A moment (2026-11-24T10:00Z), or 30m, 12h, 3d ago.")
@click.option("--state", "which", type=click.Choice(_STATES), help="With --host: only those in this state.")
@click.option("--dry-run", is_flag=True, help="Say what would happen and change nothing.")
@speaks
def resend(
    output: Output, ids: tuple[str, ...], host: str | None, since: datetime | None, which: str | None, *, dry_run: bool
) -> int:
    """Send callbacks again, by ID or all of a host, under their ids; a receiver that knows an id has it already.

    \b
    Examples:
      b24pay callback resend --host shop.example.com --since 12h --dry-run
      b24pay callback resend evt_0b2f6a1e
    """
    from ledger.callbacks import CallbackState

    if bool(ids) == (host is not None and since is not None) or (host is None) != (since is None):
        raise click.UsageError("give callback IDs, or --host with --since")

    async def work() -> int:
        async with open_session() as session:
            wanted = list(dict.fromkeys(ids))
            for state in [which] if which else _STATES if host is not None else ():
                found = _all(session, CallbackState(state), (host or "").lower(), since)
                wanted += [each.id async for each in found]
            outcomes: dict[str, bool] = {}
            for first in range(0, len(wanted), _PAGE):
                part = wanted[first : first + _PAGE]
                outbox = session.ledger.callbacks
                if dry_run:
                    there = [each is not None for each in await outbox.find(part)]
                else:
                    async with acting(session, "callback.resend", *part) as act:
                        there = await outbox.resend(part)
                        act.refused, act.partly = not any(there), not all(there)
                        act.after = {"due": sum(there)}
                outcomes |= dict(zip(part, there, strict=True))
        _tell(output, outcomes, dry_run=dry_run)
        done = sum(outcomes.values())
        return worst(done=done, refused=len(outcomes) - done)

    return run(work())


async def _all(
    session: Session, state: "CallbackState", host: str, since: datetime | None
) -> "AsyncIterator[Callback]":
    at: int | None = 0
    while at is not None:
        page = await session.ledger.callbacks.page(state, host=host, since=since, offset=at, limit=_PAGE)
        for each in page.callbacks:
            yield each
        at = page.next


def _tell(output: Output, outcomes: Mapping[str, bool], *, dry_run: bool) -> None:
    done = "would be sent again" if dry_run else "is due now"
    texts = {event: done if there else "unknown" for event, there in outcomes.items()}
    if output.json:
        for event, text in texts.items():
            output.data({"id": event, "resent": outcomes[event] and not dry_run, "text": text}, "")
        return
    rows: Sequence[tuple[str, str]] = list(texts.items())
    shown = table("callback", "what happened")
    for row in rows:
        shown.add_row(*map(cell, row))
    output.data({}, shown if rows else "Nothing to do.")


@callback.command()
@speaks
def hosts(output: Output) -> int:
    """List the hosts that have a signing secret, and those that are allowed.

    \b
    Examples:
      b24pay callback hosts
      b24pay callback hosts --json
    """

    async def work() -> int:
        async with open_session() as session:
            known = await session.signing_secrets.hosts()
            rules = session.settings.callback_rules
        for each in known:
            document = {
                "host": each.host,
                "allowed": rules.allow(each.host),
                "made_at": each.made_at,
                "former_signs_until": each.former_until,
            }
            output.data(document, lambda shown=document: facts(shown))  # type: ignore[misc]  # bound now
        if not known and not output.json:
            output.note("No host has a signing secret; see `b24pay callback secret --help`.")
        output.note(f"Allowed: {', '.join(rules.hosts) or 'none (B24PAY_CALLBACK_HOSTS)'}.")
        return Exit.DONE

    return run(work())
