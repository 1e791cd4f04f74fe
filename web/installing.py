"""What follows from an event: a portal is connected by its application, or its lane waits because that was removed."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Final

import structlog

from bitrix24.doors import Door, Standing
from bitrix24.errors import NoAnswer, NotSent, PortalError
from bitrix24.install_event import SCOPES, AppEvent, Grant, address_refusal
from bitrix24.portal import InvalidPortal, Portal, parse_portal
from bitrix24.registry import Outdated, PortalExists, StoredPortal, UnknownPortal
from bitrix24.shapes import as_map
from ledger.holds import resume_for_credential
from web.parts import Parts
from web.problems import Problem, unavailable

log = structlog.get_logger(__name__)

UNINSTALLED_CODE: Final = "APP_UNINSTALLED"
_LOOK_AGAIN_S: Final = 0.2
_MOST_TRIES: Final = 5  # at storing, while others store the same portal
_REMOVAL: Final = "OnAppUninstall"
_LOCAL: Final = "local."  # how the names of local applications begin


async def connect(
    parts: Parts, door: Door, event: AppEvent, grant: Grant, look: Callable[[], Awaitable[Door]]
) -> Portal | None:
    """Store the event's credential unless it is known or old; raises Problem. `look` reads the door again."""
    while (standing := door.standing(grant)) is Standing.CLAIMED:
        await asyncio.sleep(_LOOK_AGAIN_S)
        door = await look()
    match standing:
        case Standing.KNOWN:
            return None
        case Standing.EXPIRED:
            step = "Ask the operator for a new address: `b24pay portal invite KEY`."
            raise Problem(410, "expired", "The invitation has expired.", step)
        case Standing.ABANDONED if door.installed and await _version(parts, door.key) != door.installed.over:
            await _finish(parts, door)
            return None
    stored = await _stored(parts, door.key)
    portal = _described(parts, door, event, grant, stored)
    await _prove(parts, door, portal)
    claimed = await parts.doors.claim(door, event, grant, stored.version if stored else None)
    if claimed is None:  # somebody else was quicker; see what they do
        return await connect(parts, await look(), event, grant, look)
    try:
        if not await _store(parts, claimed, portal):
            return None
    except PortalExists as error:
        await parts.doors.give_back(claimed, door)
        step = "Use the key that has this portal, or remove that first: `b24pay portal list`."
        raise Problem(409, "other-key", f"{error}.", step) from None
    await _finish(parts, claimed)
    missing = sorted(SCOPES - grant.scopes)
    log.info("portal.connected", portal=door.key, again=standing is not Standing.FIRST, missing_scopes=missing)
    return portal


async def ask_to_be_told(parts: Parts, portal: Portal, here: str) -> None:
    """Have the portal tell this address when the application is removed; where it will not, refused calls tell."""
    try:
        await parts.client.call(portal, "event.bind", {"event": _REMOVAL, "handler": here})
    except PortalError as error:
        log.warning("portal.unbound", portal=portal.key, code=error.code, error=error.text)


async def disconnect(parts: Parts, door: Door, event: AppEvent) -> None:
    """Hold the lane of a portal whose application was removed; a late or repeated event changes nothing."""
    before_it = door.installed is not None and event.sent_at < door.installed.sent_at
    if before_it or (door.uninstalled_at is not None and event.sent_at <= door.uninstalled_at):
        return
    text = "the application was removed from the portal"
    remedy = (
        f"Install it again in Bitrix24, if need be after `b24pay portal invite {door.key}`, or give another credential "
        f"with `b24pay portal add {door.key}`."
    )
    if await parts.ledger.hold(door.key, UNINSTALLED_CODE, text, remedy=remedy):
        log.error("portal.disconnected", portal=door.key)
    await parts.doors.note_removal(door, event)


def _described(parts: Parts, door: Door, event: AppEvent, grant: Grant, stored: StoredPortal | None) -> Portal:
    """The portal that the event describes; raises Problem where its addresses are not to be trusted."""
    insecure = parts.settings.allow_insecure_portals
    refusal = address_refusal(grant, door.invitation.host, allow_insecure=insecure)
    if refusal is not None:
        step = 'Invite it with its address: {"address": "…"}, and look at who sent this.'
        raise Problem(422, "wrong-address", f"{refusal[0].upper()}{refusal[1:]}.", step)
    if stored is not None and stored.member_id and stored.member_id.lower() != event.member_id.lower():
        step = "Invite it under a key of its own."
        raise Problem(409, "other-portal", f"The key {door.key} belongs to another portal.", step)
    described: dict[str, object] = {
        "client_id": door.invitation.client_id,
        "client_secret": door.invitation.client_secret.reveal(),
        "access_token": grant.access.reveal(),
        "refresh_token": grant.refresh.reveal(),
        "endpoint": grant.endpoint,
        "oauth_url": grant.oauth_url,
        "expires": grant.expires_at,
        "member_id": event.member_id,
        **_limits(door, stored),
    }
    try:
        return parse_portal(door.key, described, allow_insecure=insecure)
    except InvalidPortal as error:
        cause = "; ".join(f"{each.field} {each.text}" for each in error.problems)
        raise Problem(422, "bad-event", f"{cause}.", f"{error.problems[0].hint}.") from None


def _limits(door: Door, stored: StoredPortal | None) -> dict[str, object]:
    """What the operator said of the portal: in the invitation, else what is stored."""
    if door.invitation.described or stored is None:
        return dict(door.invitation.described)
    limits = {name: value for name, value in asdict(stored.limits).items() if name != "execution_window_s"}
    return {"limits": limits, **({"plan": stored.plan} if stored.plan else {})}


async def _prove(parts: Parts, door: Door, portal: Portal) -> None:
    """One call with the access token: the portal knows it, and it is of the application that was invited."""
    try:
        about = as_map(await parts.client.call(portal, "app.info"))
    except (NotSent, NoAnswer) as error:
        log.warning("portal.unproven", portal=door.key, code=error.code, error=error.text)
        raise unavailable("The portal could not be asked whether it knows the tokens.") from None
    except PortalError as error:
        log.warning("portal.unproven", portal=door.key, code=error.code, error=error.text)
        cause = f"The portal does not accept the access token: {error.code or error.text}."
        raise Problem(422, "not-alive", cause, error.meaning.remedy or "Install the application again.") from None
    code, wanted = str(about.get("CODE") or ""), door.invitation.client_id
    if code != wanted and _LOCAL in (code[: len(_LOCAL)], wanted[: len(_LOCAL)]):
        cause = "The tokens belong to another application than the one that was invited."
        raise Problem(403, "wrong-application", cause, "Compare client_id with the application's page in Bitrix24.")


async def _store(parts: Parts, claimed: Door, portal: Portal) -> bool:
    """Store the credential; False where a newer event took the claim over meanwhile."""
    for _ in range(_MOST_TRIES):
        stored = await _stored(parts, portal.key)
        if not await parts.doors.stands(claimed):
            return False
        renamed = stored is not None and stored.member_id is not None and stored.member_id == portal.member_id
        try:
            await parts.registry.put(portal, moved=renamed, over=stored.version if stored else None)
        except Outdated:  # a worker has renewed the tokens of the former installation
            continue
        return True
    raise unavailable("The portal's record is changed all the time.")


async def _finish(parts: Parts, claimed: Door) -> None:
    """The credential is stored: the lane may work."""
    await parts.ledger.add_lane(claimed.key)
    await resume_for_credential(parts.ledger, claimed.key)
    await parts.doors.done(claimed)


async def _stored(parts: Parts, key: str) -> StoredPortal | None:
    try:
        return await parts.registry.show(key)
    except UnknownPortal:
        return None


async def _version(parts: Parts, key: str) -> int | None:
    stored = await _stored(parts, key)
    return stored.version if stored else None
