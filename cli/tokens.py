"""`b24pay token`: who may use the HTTP doors, and for what."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click

from cli.acting import acting
from cli.exits import Exit
from cli.numbers import Span
from cli.output import Output, cell, speaks, table
from cli.session import Session, open_session, require_portal, run

if TYPE_CHECKING:
    from rich.text import Text

    from access.tokens import Token

_ROLES: Final = ("producer", "viewer", "operator")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,62}")
_ID: Final = re.compile(r"[0-9a-f]{12}")
_NONE_YET: Final = "No tokens yet. Make one with `b24pay token create NAME --role viewer`."
_KEEP: Final = (
    "This is the only time it is shown: keep it where your program reads its secrets. "
    "Send it as `Authorization: Bearer TOKEN`."
)
_STYLES: Final[Mapping[str, str]] = {"usable": "green", "expired": "yellow", "revoked": "dim", "unreadable": "red"}


@click.group()
def token() -> None:
    """Make, list and revoke tokens for the HTTP doors.

    A token has a name, a role and, if you like, portals it is limited to and an end:

    \b
    producer   hands payments in and reads what became of them
    viewer     reads everything and changes nothing
    operator   reads and changes everything

    \b
    Examples:
      b24pay token create shop --role producer --portal acme --expires 90d
      b24pay token create shop --role producer --callback https://shop.example.com/told
      b24pay token list
    """


@token.command()
@click.argument("name")
@click.option("--role", type=click.Choice(_ROLES), required=True, help="What it is for.")
@click.option("--portal", "portals", multiple=True, metavar="KEY", help="Only this portal; may be repeated.")
@click.option("--expires", "lives_s", type=Span(), metavar="SPAN", help="90d, 12h, 30m; without it: until revoked.")
@click.option("--callback", metavar="URL", help="Told of the end of payments that name nobody; on an allowed host.")
@click.option("--dry-run", is_flag=True, help="Check everything and make no token.")
@speaks
def create(  # noqa: PLR0917 - an option each
    output: Output,
    name: str,
    role: str,
    portals: tuple[str, ...],
    lives_s: float | None,
    callback: str | None,
    *,
    dry_run: bool,
) -> int:
    """Make a token and show it, once, on stdout; what is stored is a hash of it.

    From the first token on, every HTTP route but health asks for one; no process needs a restart.

    \b
    Examples:
      b24pay token create ops --role operator --expires 90d
      TOKEN=$(b24pay token create shop --role producer --portal acme)
    """
    _require_name(name)
    if callback and role == "viewer":
        raise click.UsageError("a viewer hands no payments in, so there is nothing to tell")

    async def work() -> int:
        from access.roles import Role

        async with open_session() as session:
            for key in portals:
                await require_portal(session, key)
            limited = tuple(sorted(set(portals))) or None
            told = _allowed(session, callback) if callback else None
            shown = _without_query(told)
            if dry_run:
                await session.tokens.require_free(name)
                document = {"name": name, "role": role, "portals": limited, "callback": shown, "created": False}
                output.data(document, f"Token {name}: would be made")
                return Exit.DONE
            plan = {"role": role, "portals": limited, "lives_s": lives_s, "callback": shown}
            async with acting(session, "token.create", name) as act:
                issued = await session.tokens.create(name, Role(role), portals=limited, lives_s=lives_s, callback=told)
                act.after = {"id": issued.token.id, **plan}
        made = issued.token
        output.data({**_document(made, made.created_at), "created": True, "token": issued.text}, issued.text)
        until = f"until {instant(made.expires_at)}" if made.expires_at is not None else "until it is revoked"
        output.note(f"Token {name} ({made.id}), {role} of {_portals(made)}, is good {until}.")
        output.note(_KEEP)
        return Exit.DONE

    return run(work())


@token.command("list")
@speaks
def list_tokens(output: Output) -> int:
    """List the tokens: never their secrets, which nobody has.

    \b
    Examples:
      b24pay token list
      b24pay token list --json
    """

    async def work() -> int:
        async with open_session() as session:
            tokens, now = await session.tokens.list(), await session.tokens.now()
        if output.json:
            for each in tokens:
                output.data(_document(each, now), "")
            return Exit.DONE
        shown = table(
            *("id", "name", "role", "portals", "callback", "created", "expires", "last used", "state"),
            words=("name", "portals", "callback"),
        )
        for each in tokens:
            times = (each.created_at, each.expires_at, each.used_at)
            row = (each.id, each.name, each.role, _portals(each), _without_query(each.callback), *map(instant, times))
            shown.add_row(*map(cell, row), _state(each, now))
        output.data({}, shown if tokens else _NONE_YET)
        return Exit.DONE

    return run(work())


@token.command()
@click.argument("name_or_id", metavar="NAME|ID")
@click.option("--dry-run", is_flag=True, help="Say what would happen and change nothing.")
@speaks
def revoke(output: Output, name_or_id: str, *, dry_run: bool) -> int:
    """End a token: every process refuses it within two seconds.

    \b
    Examples:
      b24pay token revoke shop
      b24pay token revoke 3f9a1c07d2e4 --dry-run
    """
    _refuse_secret(name_or_id)

    async def work() -> int:
        async with open_session() as session:
            found = await session.tokens.find(name_or_id)
            was_revoked = found.revoked_at is not None
            if not dry_run and not was_revoked:
                before = {"name": found.name, "role": found.role, "portals": found.portals}
                async with acting(session, "token.revoke", found.name, found.id, before=before) as act:
                    found = await session.tokens.revoke(found.id)
                    act.after = {"revoked_at": instant(found.revoked_at)}
            now = await session.tokens.now()
        done = "was revoked already" if was_revoked else "would be revoked" if dry_run else "revoked"
        output.data({**_document(found, now), "was_revoked": was_revoked}, f"Token {found.name} ({found.id}): {done}")
        return Exit.DONE

    return run(work())


def instant(at: float | None) -> str | None:
    """Epoch seconds as the contract writes times."""
    return None if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _require_name(name: str) -> None:
    _refuse_secret(name)
    if not _NAME.fullmatch(name) or _ID.fullmatch(name):
        raise click.UsageError(
            "a token's name is 1-63 letters, digits, '.', '_', '@' or '-', begins with a letter or digit, and does not "
            "look like an id (12 hexadecimal digits)"
        )


def _allowed(session: "Session", callback: str) -> str:
    """The address, if its host is one that may be told."""
    from config.callbacks import BadCallback, read_callback

    try:
        return read_callback(callback, session.settings.callback_rules)[1]
    except BadCallback as error:
        raise click.UsageError(f"the callback {error}") from None


def _without_query(address: str | None) -> str | None:
    """An address as it may be shown: its query may be a secret of the receiver's."""
    if address is None:
        return None
    place, asked, _ = address.partition("?")
    return f"{place}?***" if asked else place


def _refuse_secret(given: str) -> None:
    """A token that was pasted is in the shell's history by now."""
    from config.redaction import redact

    if redact(given) != given:
        raise click.UsageError(f"{given} is a token, not its name: revoke it, for it was seen (`b24pay token list`)")


def _document(each: "Token", now: float) -> dict[str, Any]:
    return {
        "id": each.id,
        "name": each.name,
        "role": each.role,
        "portals": each.portals,
        "callback": _without_query(each.callback),
        "state": each.standing(now).value,
        "created_at": instant(each.created_at),
        "expires_at": instant(each.expires_at),
        "revoked_at": instant(each.revoked_at),
        "last_used_at": instant(each.used_at),
    }


def _portals(each: "Token") -> str:
    return "all portals" if each.portals is None else ", ".join(each.portals)


def _state(each: "Token", now: float) -> "Text":
    standing = each.standing(now).value
    return cell(standing, _STYLES[standing])
