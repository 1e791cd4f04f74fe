"""Installing the OAuth application: credentials for tests, and the events a portal sends about it."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

import aiohttp

from emulator.farm import Farm
from emulator.oauth import Pair
from emulator.portal import Portal
from emulator.reading import SettingsError

# How long the receiver of an event may take.
EVENT_S = 30.0


@dataclass(frozen=True, slots=True)
class Addresses:
    """How a portal and its token server are named in replies, events and credentials."""

    server: str
    server_endpoint: str
    token_url: str
    client_endpoint: str
    member_id: str


def addresses(portal: Portal) -> Addresses:
    """The addresses as they are now; a renamed portal has a new one and keeps its member id."""
    application = portal.settings.oauth
    scheme = "https" if application.secure else "http"
    server = application.server or portal.name
    return Addresses(
        server=server,
        server_endpoint=f"{scheme}://{server}/rest/",
        token_url=f"{scheme}://{server}/oauth/token/",
        client_endpoint=f"{scheme}://{portal.name}/rest/",
        member_id=application.member_id or portal.member_id,
    )


def install(farm: Farm, name: str, changes: Mapping[str, object] | None = None) -> dict[str, str]:
    """Begin a chain of tokens on a portal, after changes of its `oauth` settings; returns the credential."""
    if changes:
        farm.patch_oauth(name, dict(changes))
    return credential(_grant(farm, farm.portal(name)))


def _grant(farm: Farm, portal: Portal) -> Pair:
    pair = farm.oauth.grant(portal)
    farm.journal.change(farm.clock.now(), portal.name, "token.granted", record=pair.number, user=pair.application.user)
    return pair


def credential(pair: Pair) -> dict[str, str]:
    """What an administrator would copy into `portal add`."""
    named = addresses(pair.portal)
    return {
        "client_id": pair.application.client_id,
        "client_secret": pair.application.client_secret,
        "access_token": pair.access,
        "refresh_token": pair.refresh,
        "endpoint": named.client_endpoint,
        "oauth_url": named.token_url,
    }


@dataclass(frozen=True, slots=True)
class Sent:
    """What the receiver of an event answered, and the credential the event told of (None: it told of none)."""

    status: int
    body: str
    credential: dict[str, str] | None


async def send_event(
    farm: Farm, name: str, to: str, *, event: str = "ONAPPINSTALL", fields: Mapping[str, object] | None = None
) -> Sent:
    """Post an event of the application to a loopback address, form-encoded as portals do.

    ONAPPINSTALL and ONAPPUPDATE begin a chain and tell its tokens, ONAPPUNINSTALL tells none. `fields` replaces form
    fields by their names, such as `auth[application_token]`; null leaves one out.
    """
    _check_loopback(to)
    portal = farm.portal(name)
    pair = None if event == "ONAPPUNINSTALL" else _grant(farm, portal)
    form = _form(farm, portal, event, pair)
    for field, value in (fields or {}).items():
        form.pop(field, None)
        if value is not None:
            form[field] = str(value)
    timeout = aiohttp.ClientTimeout(total=EVENT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, headers={"User-Agent": "Bitrix24 Webhook Engine"}) as session,
            session.post(to, data=form, allow_redirects=False) as answered,
        ):
            body = await answered.text(errors="replace")
    except (aiohttp.ClientError, TimeoutError) as error:
        raise SettingsError(f"to: nobody answered: {type(error).__name__}") from error
    farm.journal.change(farm.clock.now(), portal.name, "event.sent", detail=f"{event} {answered.status}")
    return Sent(answered.status, body, credential(pair) if pair else None)


def _check_loopback(to: str) -> None:
    parts = urlsplit(to)
    host = "127.0.0.1" if parts.hostname == "localhost" else parts.hostname or ""
    try:
        fits = parts.scheme == "http" and ip_address(host).is_loopback
    except ValueError:
        fits = False
    if not fits:
        raise SettingsError(f"to: expected an http:// address on loopback, got {to!r}")


def _form(farm: Farm, portal: Portal, event: str, pair: Pair | None) -> dict[str, str]:
    named, application = addresses(portal), portal.settings.oauth
    form = {"event": event, "data[LANGUAGE_ID]": portal.settings.language, "data[VERSION]": "1"}
    if pair is None:
        form["data[CLEAN]"] = "1"
    else:
        form |= {"data[ACTIVE]": "Y", "data[INSTALLED]": "Y"}
    form["ts"] = str(int(farm.clock.now()))
    if pair is not None:
        form |= {
            "auth[access_token]": pair.access,
            "auth[expires]": str(int(pair.access_until)),
            "auth[expires_in]": str(farm.oauth.left_s(pair)),
            "auth[scope]": ",".join(application.scopes),
            "auth[user_id]": str(application.user),
            "auth[refresh_token]": pair.refresh,
        }
    return form | {
        "auth[domain]": portal.name,
        "auth[server_endpoint]": named.server_endpoint,
        "auth[status]": "L",
        "auth[client_endpoint]": named.client_endpoint,
        "auth[member_id]": named.member_id,
        "auth[application_token]": application.application_token,
    }
