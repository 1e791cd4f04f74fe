"""`b24pay portal add`: a portal is looked at, and only one that can be paid is stored."""

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from cli.acting import acting
from cli.exits import CommandError, Exit
from cli.findings import document_of_findings, shown_findings
from cli.output import Output, group, speaks
from cli.session import Session, lane_of, open_session, run

if TYPE_CHECKING:
    from bitrix24.checkup import Checkup
    from bitrix24.client import Client
    from bitrix24.portal import Portal

# A description is a few hundred bytes; more is a wrong file.
_LARGEST_DESCRIPTION: Final = 65_536
_EXAMPLE: Final = 'Example: {"webhook": "https://acme.bitrix24.com/rest/1/CODE/"}'


@click.command()
@click.argument("key")
@click.option("--file", "source", type=click.Path(dir_okay=False), help="Read the description here, not from stdin.")
@click.option("--check/--no-check", default=True, show_default=True, help="Look at the portal before it is stored.")
@click.option("--moved", is_flag=True, help="The portal was renamed: the key may get another address.")
@click.option("--dry-run", is_flag=True, help="Check everything and store nothing.")
@speaks
def add(output: Output, key: str, source: str | None, *, check: bool, moved: bool, dry_run: bool) -> int:
    """Store a portal under KEY, or give it a new credential.

    The description is a JSON object on stdin, so that no secret stands in the list of processes:

    {"webhook": "https://acme.bitrix24.com/rest/1/CODE/"}

    or the tokens of an application, which are renewed by themselves from then on:

    {"client_id": …, "client_secret": …, "access_token": …, "refresh_token": …,
    "endpoint": "https://acme.bitrix24.com/rest/", "oauth_url": "https://oauth.bitrix.info/oauth/token/"}

    Optional: "plan": "enterprise", "limits": {"requests_per_second": 2, "burst": 50}.

    \b
    Examples:
      b24pay portal add acme < acme.json
      b24pay portal add acme --file acme.json --dry-run
    """
    from ledger.holds import resume_for_credential

    description = read_description(source, output, _EXAMPLE)

    async def work() -> int:
        async with open_session() as session:
            if dry_run:
                checkup, ended = await enrol(session, key, description, check=check, moved=moved, dry_run=True), None
            else:
                async with acting(session, "portal.add", key, before=await _shown(session, key)) as act:
                    checkup = await enrol(session, key, description, check=check, moved=moved)
                    ended = await resume_for_credential(session.ledger, key)
                    act.after = await _shown(session, key)
            lane = await lane_of(session, key)
        done = "would be stored" if dry_run else "stored"
        document = {
            "key": key,
            "stored": not dry_run,
            "checked": checkup is not None,
            "resumed": ended is not None,
            **document_of_findings(checkup),
        }
        output.data(document, lambda: group(f"Portal {key}: {done}.", *shown_findings(checkup)))
        if ended is not None:
            output.note(f"The lane was held ({ended.code}) and goes on with the new credential.")
        elif lane and lane.held:
            output.note(f"The lane is held ({lane.held.code}): resume it with `b24pay portal resume {key}`.")
        return Exit.DONE

    return run(work())


async def _shown(session: Session, key: str) -> Mapping[str, object] | None:
    """What may be shown of the portal as it is stored; None where there is none, or a name that cannot be a key."""
    from bitrix24.registry import RegistryError

    try:
        stored = await session.registry.show(key)
    except RegistryError:
        return None
    return {"endpoint": stored.endpoint, "member_id": stored.member_id, "plan": stored.plan, "version": stored.version}


async def enrol(
    session: Session,
    key: str,
    description: Mapping[str, object],
    *,
    check: bool = True,
    moved: bool = False,
    dry_run: bool = False,
) -> "Checkup | None":
    """Check a portal's description and, live, the portal itself; store it and make its lane known.

    Raises InvalidPortal, RegistryError, PortalError or CommandError; then nothing was stored.
    """
    from bitrix24.checkup import check_portal, needs_renewal
    from bitrix24.portal import parse_portal

    described = parse_portal(key, description, allow_insecure=session.settings.allow_insecure_portals)
    checkup = None
    if check:
        async with session.portal_client() as client:
            stored = False
            if not dry_run and await needs_renewal(client, described):
                described, stored = await _renewed(session, client, described, moved=moved), True
            checkup = await check_portal(client, described)
        if not checkup.usable:
            raise _refusal(checkup, stored=stored)
    if not dry_run:
        await session.registry.put(described, moved=moved)
        # Only now: a lane without a credential could only fail its payments.
        await session.ledger.add_lane(key)
    return checkup


async def _renewed(session: Session, client: "Client", described: "Portal", *, moved: bool) -> "Portal":
    """The portal with new tokens, stored at once: from here on the ones that were given are worth nothing."""
    renewed = await client.renew(described)
    member_id = described.member_id or renewed.member_id
    portal = replace(described, credential=renewed.credential, member_id=member_id)
    await session.registry.put(portal, moved=moved)
    return portal


def _refusal(checkup: "Checkup", *, stored: bool) -> CommandError:
    from bitrix24.checkup import Level

    wrong = [finding for finding in checkup.findings if finding.level is Level.ERROR]
    causes = "; ".join(finding.text for finding in wrong)
    steps = " ".join(dict.fromkeys(finding.remedy for finding in wrong if finding.remedy))
    what = "its renewed tokens were stored, and nothing is paid yet" if stored else "nothing was stored"
    return CommandError(
        f"The portal cannot be paid with this credential, {what}: {causes}.",
        steps or "Check the webhook and its rights; --no-check stores it as it is.",
    )


def read_description(source: str | None, output: Output, example: str) -> Mapping[str, object]:
    """The JSON object in a file or on stdin; errors say where it is broken and never repeat a part of it."""
    raw = _raw_description(source, output)
    if not raw.strip():
        nothing = f"{source} is empty" if source else "nothing came on stdin"
        raise CommandError(f"There is no description: {nothing}.", example, Exit.USAGE)
    try:
        described = json.loads(raw)
    except json.JSONDecodeError as error:
        cause = f"The description is not JSON (line {error.lineno}, column {error.colno})."
    except (UnicodeDecodeError, RecursionError):
        cause = "The description is not JSON."
    else:
        if isinstance(described, dict):
            return described
        cause = "The description is JSON but not an object."
    raise CommandError(cause, example, Exit.USAGE)


def _raw_description(source: str | None, output: Output) -> bytes:
    if source is not None:
        try:
            with Path(source).open("rb") as file:
                return file.read(_LARGEST_DESCRIPTION)
        except OSError as error:
            raise CommandError(f"{source} cannot be read: {error.strerror}.", "Check the path.", Exit.USAGE) from None
    if sys.stdin is None:  # the process was started with stdin closed
        return b""
    if sys.stdin.isatty():
        output.note("Paste the portal's JSON object, then press Ctrl-D.")
    return sys.stdin.buffer.read(_LARGEST_DESCRIPTION)
