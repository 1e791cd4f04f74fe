"""`b24pay portal`: which accounts are paid, with which credential, and whether their lanes may go on."""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.console import Group
from rich.text import Text

from cli.exits import CommandError, Exit
from cli.output import Output, cell, facts, speaks, table
from cli.session import Session, lane_of, open_session, run

if TYPE_CHECKING:
    from bitrix24.checkup import Checkup
    from bitrix24.portal import Portal
    from bitrix24.registry import StoredPortal
    from ledger.ledger import LaneView

# A description is a few hundred bytes; more is a wrong file.
_LARGEST_DESCRIPTION: Final = 65_536
_LEVEL_STYLES: Final[Mapping[str, str]] = {"ok": "green", "warning": "yellow", "error": "red"}


@click.group()
def portal() -> None:
    """Add, list, check, hold, resume and remove portals."""


@portal.command()
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

    Optional: "plan": "enterprise", "limits": {"requests_per_second": 2, "burst": 50}.
    """
    description = _read_description(source, output)

    async def work() -> int:
        async with open_session() as session:
            checkup = await enrol(session, key, description, check=check, moved=moved, dry_run=dry_run)
            lane = await lane_of(session, key)
        done = "would be stored" if dry_run else "stored"
        document = {"key": key, "stored": not dry_run, "checked": checkup is not None, **_findings(checkup)}
        output.data(document, lambda: Group(f"Portal {key}: {done}.", *_shown_findings(checkup)))
        if lane and lane.held:
            output.note(f"The lane is held ({lane.held.code}): resume it with `b24pay portal resume {key}`.")
        return Exit.DONE

    return run(work())


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
    from bitrix24.portal import parse_portal

    described = parse_portal(key, description, allow_insecure=session.settings.allow_insecure_portals)
    checkup = await _live_check(session, described) if check else None
    if not dry_run:
        await session.registry.put(described, moved=moved)
        # Only now: a lane without a credential could only fail its payments.
        await session.ledger.add_lane(key)
    return checkup


async def _live_check(session: Session, described: "Portal") -> "Checkup":
    from bitrix24.checkup import Level, check_portal

    async with session.portal_client() as client:
        checkup = await check_portal(client, described)
    if not checkup.usable:
        wrong = [finding for finding in checkup.findings if finding.level is Level.ERROR]
        causes = "; ".join(finding.text for finding in wrong)
        steps = " ".join(dict.fromkeys(finding.remedy for finding in wrong if finding.remedy))
        raise CommandError(
            f"The portal cannot be paid with this credential, nothing was stored: {causes}.",
            steps or "Check the webhook and its rights; --no-check stores it as it is.",
        )
    return checkup


@portal.command("list")
@speaks
def list_portals(output: Output) -> int:
    """List the portals and how their lanes stand."""

    async def work() -> int:
        async with open_session() as session:
            portals = await session.registry.list()
            lanes = {lane.portal: lane for lane in await session.ledger.lanes([each.key for each in portals])}
        documents = [_document(each, lanes.get(each.key)) for each in portals]  # type: ignore[call-overload]  # a PortalKey is a str
        if output.json:
            for document in documents:
                output.data(document, "")
            return Exit.DONE
        shown = table("portal", "address", "plan", "burst", "per s", "open", "lane", numbers=("burst", "per s", "open"))
        for each in portals:
            lane, limits = lanes.get(each.key), each.limits  # type: ignore[call-overload]  # as above
            row = (each.key, each.endpoint, each.plan, limits.burst, f"{limits.requests_per_second:g}", _open(lane))
            shown.add_row(*map(cell, row), _lane_state(lane))
        output.data({}, shown if portals else "No portals yet. Add one with `b24pay portal add KEY`.")
        return Exit.DONE

    return run(work())


@portal.command()
@click.argument("key")
@speaks
def show(output: Output, key: str) -> int:
    """Show one portal; never its secret."""

    async def work() -> int:
        async with open_session() as session:
            stored = await session.registry.show(key)
            lane = await lane_of(session, key)
        document = _document(stored, lane)
        output.data(document, lambda: facts(_flat(document)))
        return Exit.DONE

    return run(work())


@portal.command()
@click.argument("keys", nargs=-1, metavar="[KEY]...")
@speaks
def check(output: Output, keys: tuple[str, ...]) -> int:
    """Look at portals live (all of them without KEY): credential, rights, pay systems that really pay."""

    async def work() -> int:
        async with open_session() as session:
            wanted = keys or tuple(each.key for each in await session.registry.list())
            ended = [await _check_stored(session, output, key) for key in wanted]
        return max(ended, default=Exit.DONE)

    return run(work())


async def _check_stored(session: Session, output: Output, key: str) -> Exit:
    from bitrix24.checkup import check_portal
    from bitrix24.errors import PortalError

    stored = await session.registry.get(key)
    try:
        async with session.portal_client() as client:
            checkup = await check_portal(client, stored)
    except PortalError as error:
        output.data(
            {"key": key, "usable": False, "reached": False, "error": str(error)}, f"Portal {key}: no answer ({error})"
        )
        return Exit.UNREACHABLE
    document = {"key": key, "usable": checkup.usable, "reached": True, **_findings(checkup)}
    verdict = "usable" if checkup.usable else "NOT usable"
    output.data(document, lambda: Group(f"Portal {key}: {verdict}", *_shown_findings(checkup)))
    return Exit.DONE if checkup.usable else Exit.REFUSED


@portal.command()
@click.argument("key")
@click.option("--because", "reason", default="held by an operator", show_default=True, help="Shown to everybody.")
@click.option("--dry-run", is_flag=True, help="Say what would happen and change nothing.")
@speaks
def hold(output: Output, key: str, reason: str, *, dry_run: bool) -> int:
    """Stop a portal's lane: its payments stay queued until it is resumed."""

    async def work() -> int:
        async with open_session() as session:
            lane = await lane_of(session, key)
            if lane is None:
                raise CommandError(f"There is no portal {key!r}.", "See `b24pay portal list`.")
            if not dry_run:
                await session.ledger.hold(key, "OPERATOR", reason)
        text = f"Portal {key}: was held already" if lane.held else f"Portal {key}: {_done('held', dry_run=dry_run)}"
        output.data({"key": key, "held": not dry_run or lane.held is not None, "was_held": lane.held is not None}, text)
        return Exit.DONE

    return run(work())


@portal.command()
@click.argument("key")
@click.option("--dry-run", is_flag=True, help="Say what would happen and change nothing.")
@speaks
def resume(output: Output, key: str, *, dry_run: bool) -> int:
    """Let a held lane go on."""

    async def work() -> int:
        async with open_session() as session:
            lane = await lane_of(session, key)
            if lane is None:
                raise CommandError(f"There is no portal {key!r}.", "See `b24pay portal list`.")
            if not dry_run:
                await session.ledger.resume(key)
        text = f"Portal {key}: {_done('resumed', dry_run=dry_run)}" if lane.held else f"Portal {key}: was not held"
        output.data({"key": key, "held": dry_run and lane.held is not None, "was_held": lane.held is not None}, text)
        return Exit.DONE

    return run(work())


@portal.command()
@click.argument("key")
@click.option("--dry-run", is_flag=True, help="Say what would happen and change nothing.")
@speaks
def remove(output: Output, key: str, *, dry_run: bool) -> int:
    """Forget a portal and its credential; its finished payments stay readable. Refused while payments are open."""

    async def work() -> int:
        async with open_session() as session:
            await session.registry.show(key)
            still_open = _open(await lane_of(session, key))
            if dry_run and still_open:
                raise CommandError(f"The lane {key} has {still_open} open payments.", "Let them end or cancel them.")
            if not dry_run:
                # The lane first: it refuses while payments are open, and then the credential is still needed.
                await session.ledger.remove_lane(key)
                await session.registry.remove(key)
        output.data({"key": key, "removed": not dry_run}, f"Portal {key}: {_done('removed', dry_run=dry_run)}")
        return Exit.DONE

    return run(work())


def _read_description(source: str | None, output: Output) -> Mapping[str, object]:
    """The JSON object; errors say where it is broken and never repeat a part of it."""
    if source is None and sys.stdin.isatty():
        output.note("Paste the portal's JSON object, then press Ctrl-D.")
    try:
        raw = sys.stdin.buffer.read(_LARGEST_DESCRIPTION) if source is None else Path(source).read_bytes()
        described = json.loads(raw)
    except OSError as error:
        raise CommandError(f"{source} cannot be read: {error.strerror}", "Check the path.", Exit.USAGE) from None
    except json.JSONDecodeError as error:
        cause = f"The description is not JSON (line {error.lineno}, column {error.colno})."
    except (UnicodeDecodeError, RecursionError):
        cause = "The description is not JSON."
    else:
        if isinstance(described, dict):
            return described
        cause = "The description is JSON but not an object."
    raise CommandError(cause, 'Example: {"webhook": "https://acme.bitrix24.com/rest/1/CODE/"}', Exit.USAGE)


def _document(stored: "StoredPortal", lane: "LaneView | None") -> dict[str, object]:
    return {
        "key": stored.key,
        "endpoint": stored.endpoint,
        "user_id": stored.user_id,
        "member_id": stored.member_id,
        "plan": stored.plan,
        "limits": asdict(stored.limits),
        "version": stored.version,
        "held": {"code": lane.held.code, "text": lane.held.text, "since": lane.held.since.isoformat()}
        if lane and lane.held
        else None,
        "payments": {state.value: count for state, count in lane.counts.items()} if lane else None,
    }


def _flat(document: Mapping[str, object]) -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in document.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}.{inner}": each for inner, each in value.items()}
        else:
            flat[name] = value
    return flat


def _findings(checkup: "Checkup | None") -> dict[str, object]:
    if checkup is None:
        return {"findings": [], "pay_systems": []}
    return {
        "findings": [asdict(finding) for finding in checkup.findings],
        "pay_systems": [asdict(system) for system in checkup.pay_systems],
    }


def _shown_findings(checkup: "Checkup | None") -> list[Text]:
    lines = []
    for finding in checkup.findings if checkup else ():
        remedy = f"  -> {finding.remedy}" if finding.remedy else ""
        lines.append(cell(f"  {finding.level:7} {finding.text}{remedy}", _LEVEL_STYLES[finding.level]))
    return lines


def _open(lane: "LaneView | None") -> int | None:
    from ledger.payment import OPEN

    return sum(lane.counts[state] for state in OPEN) if lane else None


def _lane_state(lane: "LaneView | None") -> Text:
    if lane is None:
        return cell("no lane: add the portal again", "red")
    return cell(f"held: {lane.held.code}", "yellow") if lane.held else cell("open", "green")


def _done(what: str, *, dry_run: bool) -> str:
    return f"would be {what}" if dry_run else what
