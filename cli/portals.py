"""`b24pay portal`: which accounts are paid, how their lanes stand, and whether they may go on."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import click

from cli.acting import acting
from cli.enrolment import add
from cli.exits import CommandError, Exit
from cli.failures import answer_of, explained
from cli.findings import document_of_findings, shown_findings
from cli.holds import document_of_hold, next_look, waiting
from cli.invitations import invite
from cli.output import Output, cell, facts, group, speaks, table
from cli.session import Session, lane_of, open_session, require_portal, run
from config.redaction import redact

if TYPE_CHECKING:
    from rich.console import Group
    from rich.text import Text

    from bitrix24.registry import StoredPortal
    from ledger.ledger import LaneView

_NONE_YET: Final = "No portals yet. Add one with `b24pay portal add KEY`."

_DAY_S: Final = 86_400.0


@click.group()
def portal() -> None:
    """Add, invite, list, check, hold, resume and remove portals.

    \b
    Examples:
      b24pay portal list
      b24pay portal show acme --json
    """


portal.add_command(add)
portal.add_command(invite)


@portal.command("list")
@speaks
def list_portals(output: Output) -> int:
    """List the portals and how their lanes stand.

    \b
    Examples:
      b24pay portal list
      b24pay portal list --json | jq -r .key
    """

    async def work() -> int:
        async with open_session() as session:
            portals = await session.registry.list()
            lanes = {lane.portal: lane for lane in await session.ledger.lanes([each.key for each in portals])}
        documents = [_document(each, lanes.get(each.key)) for each in portals]  # type: ignore[call-overload]  # a PortalKey is a str
        if output.json:
            for document in documents:
                output.data(document, "")
            return Exit.DONE
        shown = table(
            *("portal", "address", "plan", "burst", "per s", "open", "lane"),
            numbers=("burst", "per s", "open"),
            words=("address", "lane"),
        )
        for each in portals:
            lane, limits = lanes.get(each.key), each.limits  # type: ignore[call-overload]  # as above
            row = (each.key, each.endpoint, each.plan, limits.burst, f"{limits.requests_per_second:g}", _open(lane))
            shown.add_row(*map(cell, row), _lane_state(lane))
        output.data({}, shown if portals else _NONE_YET)
        return Exit.DONE

    return run(work())


@portal.command()
@click.argument("key")
@speaks
def show(output: Output, key: str) -> int:
    """Show one portal; never its secret.

    \b
    Examples:
      b24pay portal show acme
      b24pay portal show acme --json | jq .held
    """

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
    """Look at portals live (all of them without KEY): credential, rights, pay systems that really pay.

    \b
    Examples:
      b24pay portal check acme
      b24pay portal check --json
    """

    async def work() -> int:
        async with open_session() as session:
            wanted = keys or tuple(each.key for each in await session.registry.list())
            if not wanted:
                output.note(_NONE_YET)
            ended = [await _check_stored(session, output, key) for key in wanted]
        return max(ended, default=Exit.DONE)

    return run(work())


async def _check_stored(session: Session, output: Output, key: str) -> Exit:
    """Look at one portal; what keeps it from being looked at is told, and the others go on."""
    from bitrix24.checkup import check_portal, needs_renewal
    from bitrix24.errors import PortalError
    from bitrix24.registry import RegistryError

    try:
        stored = await session.registry.get(key)
        async with session.portal_client() as client:
            if await needs_renewal(client, stored):
                stored = await session.renewal(client).renew(stored)
            checkup = await check_portal(client, stored)
    except RegistryError as error:
        failure = explained(error)
        document = {"key": key, "usable": False, "reached": False, "error": failure.cause}
        output.data(document, lambda: _unusable(key, failure.cause, failure.next_step))
        return failure.code
    except PortalError as error:
        told = answer_of(error)
        document = {"key": key, "usable": False, "reached": False, "error": told}
        output.data(document, lambda: _unusable(key, f"no answer: {told}", "Check its address and try again."))
        return Exit.UNREACHABLE
    document = {"key": key, "usable": checkup.usable, "reached": True, **document_of_findings(checkup)}
    verdict = "usable" if checkup.usable else "NOT usable"
    output.data(document, lambda: group(f"Portal {key}: {verdict}", *shown_findings(checkup)))
    return Exit.DONE if checkup.usable else Exit.REFUSED


@portal.command()
@click.argument("key")
@click.option("--because", "reason", default="held by an operator", show_default=True, help="Shown to everybody.")
@click.option("--dry-run", is_flag=True, help="Say what would happen and change nothing.")
@speaks
def hold(output: Output, key: str, reason: str, *, dry_run: bool) -> int:
    """Stop a portal's lane: its payments stay queued until it is resumed.

    \b
    Examples:
      b24pay portal hold acme --because 'prices are being corrected'
      b24pay portal hold acme --dry-run
    """
    from ledger.holds import OPERATOR

    async def work() -> int:
        async with open_session() as session:
            lane = await require_portal(session, key)
            if not dry_run:
                async with acting(session, "portal.hold", key, why=reason, before=document_of_hold(lane)) as act:
                    await session.ledger.hold(key, OPERATOR, reason)
                    act.after = {"code": OPERATOR}
        text = f"Portal {key}: was held already" if lane.held else f"Portal {key}: {_done('held', dry_run=dry_run)}"
        if lane.held and lane.held.probe_at is not None:
            text += f"; only a person {'would resume' if dry_run else 'resumes'} it from now on"
        output.data({"key": key, "held": not dry_run or lane.held is not None, "was_held": lane.held is not None}, text)
        return Exit.DONE

    return run(work())


@portal.command()
@click.argument("key")
@click.option("--dry-run", is_flag=True, help="Say what would happen and change nothing.")
@speaks
def resume(output: Output, key: str, *, dry_run: bool) -> int:
    """Let a held lane go on.

    \b
    Examples:
      b24pay portal resume acme
      b24pay portal resume acme --dry-run
    """

    async def work() -> int:
        async with open_session() as session:
            lane = await require_portal(session, key)
            if not dry_run:
                async with acting(session, "portal.resume", key, before=document_of_hold(lane)):
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
    """Forget a portal and its credential; its finished payments stay readable. Refused while payments are open.

    \b
    Examples:
      b24pay portal remove acme --dry-run
      b24pay portal remove acme
    """

    async def work() -> int:
        async with open_session() as session:
            stored = await session.registry.show(key)
            lane = await lane_of(session, key)
            still_open = _open(lane)
            if dry_run and still_open:
                cause = f"The lane {key} has {still_open} open payments."
                raise CommandError(cause, f"See them with `b24pay list --portal {key}`; let them end, or cancel them.")
            if not dry_run:
                async with acting(session, "portal.remove", key, before=_document(stored, lane)):
                    # The lane first: it refuses while payments are open, and then the credential is still needed.
                    await session.ledger.remove_lane(key)
                    await session.registry.remove(key, remembered_s=_remembered_s(session, lane))
                    await session.doors.close(key)
        output.data({"key": key, "removed": not dry_run}, f"Portal {key}: {_done('removed', dry_run=dry_run)}")
        return Exit.DONE

    return run(work())


def _unusable(key: str, cause: str, remedy: str) -> "Group":
    return group(f"Portal {redact(key)}: NOT usable", cell(f"  error   {cause}  -> {remedy}", "red"))


def _document(stored: "StoredPortal", lane: "LaneView | None") -> dict[str, object]:
    return {
        "key": stored.key,
        "endpoint": stored.endpoint,
        "credential": "webhook" if stored.user_id is not None else "application",
        "user_id": stored.user_id,
        "member_id": stored.member_id,
        "plan": stored.plan,
        "limits": asdict(stored.limits),
        "version": stored.version,
        "held": document_of_hold(lane),
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


def _open(lane: "LaneView | None") -> int | None:
    return waiting(lane) if lane else None


def _remembered_s(session: Session, lane: "LaneView | None") -> float:
    """How long the lane's finished payments are known; a key that never paid anything is free at once."""
    return session.settings.retention_days * _DAY_S if lane and any(lane.counts.values()) else 0.0


def _lane_state(lane: "LaneView | None") -> "Text":
    if lane is None:
        return cell("no lane: add the portal again", "red")
    return cell(f"held: {lane.held.code} ({next_look(lane.held)})", "yellow") if lane.held else cell("open", "green")


def _done(what: str, *, dry_run: bool) -> str:
    return f"would be {what}" if dry_run else what
