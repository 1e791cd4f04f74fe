"""`b24pay portal invite`: a portal is to connect itself, by the installation of its application."""

from datetime import UTC, datetime
from typing import Final

import click

from cli.acting import acting
from cli.enrolment import read_description
from cli.exits import CommandError, Exit
from cli.output import Output, group, speaks
from cli.session import Session, open_session, run

_EXAMPLE: Final = 'Example: {"client_id": "local.…", "client_secret": "…", "address": "acme.bitrix24.com"}'
_DAYS: Final = 7
_DAY_S: Final = 86_400
_PATH: Final = "/v1/install/"


@click.command()
@click.argument("key")
@click.option("--file", "source", type=click.Path(dir_okay=False), help="Read the description here, not from stdin.")
@click.option(
    "--days", type=click.IntRange(1, 90), default=_DAYS, show_default=True, help="How long the address is good."
)
@click.option("--dry-run", is_flag=True, help="Check everything and make no address.")
@speaks
def invite(output: Output, key: str, source: str | None, days: int, *, dry_run: bool) -> int:
    """Make an address for a local application's installation, which then connects the portal as KEY.

    The application's keys are a JSON object on stdin, so that no secret stands in the list of processes:

    {"client_id": "local.…", "client_secret": "…", "address": "acme.bitrix24.com"}

    Optional: "member_id", "application_token", "plan", "limits". Without an address, any cloud portal may come.
    A new invitation for a key ends the former one. The address is a secret until it has been used.

    \b
    Examples:
      b24pay portal invite acme --days 3 < application.json
      b24pay portal invite acme --file application.json --dry-run
    """
    description = read_description(source, output, _EXAMPLE)

    async def work() -> int:
        from bitrix24.invitation import parse_invitation

        async with open_session() as session:
            settings = session.settings
            invitation = parse_invitation(key, description, allow_insecure=settings.allow_insecure_portals)
            base = _base(session)
            if dry_run:
                output.data({"key": key, "invited": False}, f"Portal {key}: would be invited")
                return Exit.DONE
            async with acting(session, "portal.invite", key) as act:
                name, expires_at = await session.doors.invite(key, invitation, lives_s=days * _DAY_S)
                act.after = {"client_id": invitation.client_id, "address": invitation.host, "days": days}
        until = datetime.fromtimestamp(expires_at, UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z")
        url = f"{base}{_PATH}{key}/{name}"
        output.data(
            {"key": key, "invited": True, "url": url, "expires_at": until},
            lambda: group(f"Portal {key}: invited until {until}.", url),
        )
        output.note("Enter this address in Bitrix24 as the application's initial installation path, then install it.")
        return Exit.DONE

    return run(work())


def _base(session: Session) -> str:
    if session.settings.web_url is None:
        cause = "B24PAY_WEB_URL is not set: it is not known how Bitrix24 reaches the web process."
        raise CommandError(
            cause, "Set it to the public address, for example https://pay.example.com.", Exit.CONFIGURATION
        )
    return session.settings.web_url
