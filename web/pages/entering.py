"""
Who may see a page: whoever has a session's cookie. A bearer token opens no page, and a cookie opens nothing but pages.

Every form must come from a page of ours: it brings its session's form key along, and the browser says that it was sent
from this very address. Both are asked here, before any handler, so that no page can forget them.
"""

import asyncio
import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, quote, urlsplit

from aiohttp import web

from access.gate import NotAdmitted
from access.roles import Principal
from access.sessions import LASTS_S, Session, form_key
from web.access import DEVELOPMENT, PRINCIPAL, is_open_to, keep_pace, require_portal, require_role, route_of
from web.guards import WHO, Handler
from web.parts import PARTS
from web.problems import Problem

if TYPE_CHECKING:
    from web.routes import Route

SIGN_IN: Final = "/sign-in"
FORM_KEY: Final = "form_key"
# With this header the page's own script asks for what has changed.
PART: Final = "X-B24pay-Part"
_FORM: Final = "application/x-www-form-urlencoded"
_READ_S: Final = 30.0
_MOST_FIELDS: Final = 1_000
# Where no token was ever made there are no sessions: the process' own secret signs the forms.
_OWN_KEY: Final = form_key(secrets.token_hex(32))
_SESSION: Final = web.RequestKey("session", Session)
_FIELDS: Final[web.RequestKey[dict[str, list[str]]]] = web.RequestKey("fields", dict)


@dataclass(frozen=True, slots=True)
class Form:
    """What a form has sent; texts without blanks at their ends."""

    fields: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def one(self, name: str) -> str:
        """The only value of a field, "" where it is missing; raises Problem where there are several."""
        values = self.fields.get(name, ())
        if len(values) > 1:
            raise Problem(422, "bad-form", f"The field {name} came twice.", "Load the page again.")
        return values[0] if values else ""

    def many(self, name: str) -> Sequence[str]:
        """All values of a field."""
        return self.fields.get(name, ())


def form_of(request: web.Request) -> Form:
    """The form that was sent to this page; it has been checked already."""
    fields = request[_FIELDS]
    return Form(fields)


def form_key_of(request: web.Request) -> str:
    """What the forms of this page bring along."""
    if _SESSION in request:
        return request[_SESSION].form_key
    return _OWN_KEY


def is_development(request: web.Request) -> bool:
    """Whether everybody on this machine may do everything."""
    return request.get(PRINCIPAL) is DEVELOPMENT


@web.middleware
async def entered(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let in who has a session, or send them to the door; raises Problem where they may not come in here."""
    route = route_of(request)
    if route is None or not route.page:
        return await handler(request)
    if route.roles:
        principal = await principal_of(request)
        if principal is None:
            return to_the_door(request)
        request[PRINCIPAL] = principal
        request[WHO] = principal.name
        require_role(route, principal)
        require_portal(request, principal)
    if request.method == "POST":
        request[_FIELDS] = await _checked_form(request, route)
    return await handler(request)


async def principal_of(request: web.Request, *, counts: bool = True) -> Principal | None:
    """Who looks at a page; None where nobody is signed in (any more). Raises RedisError, and Problem 429 unless this is
    no request of its own."""
    parts = request.app[PARTS]
    session = await parts.sessions.find(request.cookies.get(cookie_name(request), ""))
    if session is None:
        return DEVELOPMENT if await is_open_to(request) else None
    try:
        token = await parts.gate.admit_session(session.token_id)
    except NotAdmitted:
        return None
    if counts:
        keep_pace(request, token)
    request[_SESSION] = session
    return token.principal


def to_the_door(request: web.Request) -> web.Response:
    """Send a browser to the sign-in page, and back here afterwards."""
    back = f"{SIGN_IN}?next={quote(request.path_qs, safe='')}" if request.method == "GET" else SIGN_IN
    if PART in request.headers or request.headers.get("Accept") == "text/event-stream":  # a script: the page has to go
        return web.Response(status=401)
    if request.method == "GET" and request.headers.get("Sec-Fetch-Site") == "cross-site":
        # A link in a message: the browser keeps a strict cookie back, and sends it when we ask for the page ourselves.
        return web.Response(text="One moment.", headers={"Refresh": f"0; url={request.path_qs}"})
    return web.Response(status=303, headers={"Location": back})


def cookie_name(request: web.Request) -> str:
    """Over https the name itself keeps other hosts, and plain connections, from setting it."""
    return "__Host-b24pay" if _is_secure(request) else "b24pay"


def set_cookie(request: web.Request, response: web.StreamResponse, session_id: str) -> None:
    """Give a browser its session."""
    response.set_cookie(
        cookie_name(request),
        session_id,
        max_age=LASTS_S,
        path="/",
        httponly=True,
        samesite="Strict",
        secure=_is_secure(request),
    )


def clear_cookie(request: web.Request, response: web.StreamResponse) -> None:
    """Take a browser's session away."""
    secure = _is_secure(request)
    response.del_cookie(cookie_name(request), path="/", httponly=True, samesite="Strict", secure=secure)


def session_id_of(request: web.Request) -> str:
    """The id that came with the request, "" without one."""
    return request.cookies.get(cookie_name(request), "")


def _is_secure(request: web.Request) -> bool:
    """Whether the browser's end of the connection is encrypted. Who says so falsely only hides a cookie from itself."""
    url = request.app[PARTS].settings.web_url or ""
    return request.secure or url.startswith("https://") or request.headers.get("X-Forwarded-Proto") == "https"


async def _checked_form(request: web.Request, route: "Route") -> dict[str, list[str]]:
    if not _is_from_our_page(request):
        cause = "The form was not sent from a page of this dashboard."
        raise Problem(403, "foreign-form", cause, "Open the page here, and send it from there.")
    # A page that brings along what it has found so far may send more than others.
    fields = await _read(request.clone(client_max_size=route.largest_body))
    given = fields.pop(FORM_KEY, [""])[0]
    if route.roles and not hmac.compare_digest(given.encode(), form_key_of(request).encode()):
        cause = "The form belongs to another session, or to a page that is too old."
        raise Problem(403, "old-form", cause, "Go back, load the page again, and send it from there.")
    return fields


def _is_from_our_page(request: web.Request) -> bool:
    """What the browser says, and no script of a page can change."""
    said = request.headers.get("Sec-Fetch-Site")
    if said is not None:
        return said == "same-origin"
    origin = urlsplit(request.headers.get("Origin", ""))
    ours = {request.host, urlsplit(request.app[PARTS].settings.web_url or "").netloc}
    return bool(origin.netloc) and origin.netloc in ours


async def _read(request: web.Request) -> dict[str, list[str]]:
    if request.content_type != _FORM:
        raise Problem(415, "not-a-form", "This takes what a form sends.", "Send it from the page.")
    try:
        async with asyncio.timeout(_READ_S):
            text = (await request.read()).decode()
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict")
    except TimeoutError:
        raise Problem(408, "too-slow", "The form did not come in time.", "Send it again.") from None
    except ValueError:
        raise Problem(400, "unreadable-form", "The form cannot be read.", "Load the page again.") from None
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        fields.setdefault(name, []).append(value.strip())
    return fields
