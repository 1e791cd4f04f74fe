"""What a portal tells about a local application: installed, with tokens; or removed. Nothing of it is believed here.

The form is PHP's: `event`, `ts`, `data[...]`, `auth[...]`. Bitrix24 sends ONAPPINSTALL to the application's
"Initial installation path" and sends it again when it is not sure to have been heard; `ts` says when it was sent, so
only the tokens themselves say which of two events is the newer one.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from yarl import URL

from bitrix24.hosts import host_key, is_cloud_portal, is_oauth_host
from bitrix24.portal import MEMBER_ID, Problem
from bitrix24.secret import Secret
from bitrix24.shapes import as_seconds

INSTALLED: Final = "ONAPPINSTALL"
UNINSTALLED: Final = "ONAPPUNINSTALL"
# An application that pays and proves needs these.
SCOPES: Final = frozenset({"pay_system", "crm"})
_SECRET: Final = re.compile(r"[!-~]{8,2048}")
# What an application with pages of its own gets instead of an event.
_OF_A_PAGE: Final = "AUTH_ID"
_DEFAULT_SERVER: Final = "https://oauth.bitrix.info/rest/"  # events of older portals do not name it


class BadEvent(ValueError):  # noqa: N818 - names what is bad
    """A form that is no event of ours; `problems` has all that is wrong and repeats no value."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What an installation gives: a pair of tokens and where they work. `expires_at` is in epoch seconds."""

    access: Secret
    refresh: Secret
    expires_at: float
    scopes: frozenset[str]
    endpoint: str
    oauth_url: str

    @property
    def digest(self) -> str:
        """What tells this pair from others, and gives nothing away."""
        return hashlib.sha256(f"{self.access.reveal()} {self.refresh.reveal()}".encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class AppEvent:
    """One event; without a grant the application was removed. `sent_at` is in epoch seconds."""

    sent_at: float
    member_id: str
    application_token: Secret
    grant: Grant | None


def read_event(form: Mapping[str, str], now: float) -> AppEvent:
    """The event in a form; raises BadEvent. `now` is in epoch seconds."""
    name = form.get("event", "").upper()
    if name not in (INSTALLED, UNINSTALLED):
        raise BadEvent([_no_event(form)])
    problems: list[Problem] = []
    application_token = _matching(form, "application_token", _SECRET, problems)
    member_id = _matching(form, "member_id", MEMBER_ID, problems)
    sent_at = as_seconds(form.get("ts")) or now
    grant = _grant(form, sent_at, problems) if name == INSTALLED else None
    if problems:
        raise BadEvent(problems)
    return AppEvent(sent_at=sent_at, member_id=member_id, application_token=Secret(application_token), grant=grant)


def address_refusal(grant: Grant, expected_host: str | None, *, allow_insecure: bool) -> str | None:
    """Why the event's addresses are not to be trusted, None where they may be.

    Without an expected host only Bitrix24's own zones are: whoever can post here names the address, and our call to it
    would come from inside our network.
    """
    if expected_host is not None and host_key(grant.endpoint) != expected_host:
        return "the portal's address is not the one of the invitation"
    if expected_host is None and not is_cloud_portal(URL(grant.endpoint), allow_insecure=allow_insecure):
        return "the portal's address is not one of Bitrix24's cloud"
    if not is_oauth_host(URL(grant.oauth_url), allow_insecure=allow_insecure):
        return "the address of the authorization server is not Bitrix24's"
    return None


def _no_event(form: Mapping[str, str]) -> Problem:
    if _OF_A_PAGE in form:
        hint = 'Tick "Script only (no user interface)" in the application\'s settings in Bitrix24 and install it again'
        return Problem("event", "is missing: this is the opening of an application with pages", hint)
    return Problem("event", f"is not {INSTALLED} or {UNINSTALLED}", "Only these two belong here")


def _matching(form: Mapping[str, str], name: str, pattern: re.Pattern[str], problems: list[Problem]) -> str:
    value = form.get(f"auth[{name}]", "")
    if not pattern.fullmatch(value):
        problems.append(Problem(f"auth[{name}]", "is missing or has a form it never has", "Bitrix24 sends it"))
    return value


def _grant(form: Mapping[str, str], sent_at: float, problems: list[Problem]) -> Grant:
    access, refresh = (_matching(form, name, _SECRET, problems) for name in ("access_token", "refresh_token"))
    endpoint, oauth_url = _addresses(form, problems)
    until, lives_s = as_seconds(form.get("auth[expires]")), as_seconds(form.get("auth[expires_in]"))
    if not until and not lives_s:
        problems.append(Problem("auth[expires]", "is missing, and so is auth[expires_in]", "Bitrix24 sends them"))
    scopes = frozenset(scope.strip().lower() for scope in form.get("auth[scope]", "").split(",") if scope.strip())
    return Grant(
        access=Secret(access),
        refresh=Secret(refresh),
        # `expires` first: it stays the same when the event is sent again.
        expires_at=until or sent_at + (lives_s or 0.0),
        scopes=scopes,
        endpoint=endpoint,
        oauth_url=oauth_url,
    )


def _addresses(form: Mapping[str, str], problems: list[Problem]) -> tuple[str, str]:
    """The portal's REST address and its token server's."""
    domain = form.get("auth[domain]", "")
    endpoint = form.get("auth[client_endpoint]") or (f"https://{domain}/rest/" if domain else "")
    server = form.get("auth[server_endpoint]") or _DEFAULT_SERVER
    read = [_origin(endpoint, "auth[client_endpoint]", problems), _origin(server, "auth[server_endpoint]", problems)]
    return f"{read[0]}/rest/", f"{read[1]}/oauth/token/"


def _origin(given: str, name: str, problems: list[Problem]) -> str:
    try:
        url = URL(given)
        if url.scheme in ("http", "https") and url.raw_host and not url.user and not url.password:
            return str(url.origin())
    except ValueError:
        pass
    problems.append(Problem(name, "is not a web address", "Bitrix24 sends it"))
    return ""
