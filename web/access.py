"""Let in who may: the principal of every request, by its bearer token and the route's roles."""

import ipaddress
from typing import TYPE_CHECKING, Final

import structlog
from aiohttp import web

from access.gate import NotAdmitted, Reason
from access.roles import Principal, Role
from access.tokens import Token
from config.errors import ConfigurationError
from config.errors import Problem as Fault
from web.guards import WHO, Handler
from web.parts import PARTS, Parts
from web.problems import Problem
from web.throttle import Throttle, refuse_if_it_must_wait

if TYPE_CHECKING:
    from web.routes import Route

log = structlog.get_logger(__name__)

PRINCIPAL: Final = web.RequestKey("principal", Principal)
TABLE: Final[web.AppKey["dict[web.AbstractRoute, Route]"]] = web.AppKey("table")
# How a request betrays that it does not come from this machine alone: a proxy has passed it on.
_PASSED_ON: Final = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP")
_CREATE: Final = "Make one: b24pay token create NAME --role {role}"
DEVELOPMENT: Final = Principal("development", Role.OPERATOR)
# Requests per second and at once, of one token in one process. A producer's single payments come in a stream (and in
# bulk where there are many); people and their scripts look and change a few things.
_PACES: Final = {Role.PRODUCER: (3_000.0, 6_000), Role.VIEWER: (50.0, 200), Role.OPERATOR: (50.0, 200)}
_TOLD: Final = {
    Reason.UNKNOWN: ("This token is not known.", "Check that it was copied whole; `b24pay token list` names all."),
    Reason.EXPIRED: ("This token has expired.", "Ask an operator for a new one (`b24pay token create`)."),
    Reason.REVOKED: ("This token was revoked.", "Ask an operator for a new one (`b24pay token create`)."),
    Reason.UNREADABLE: ("This token is of a newer version of b24pay.", "Update this web process."),
}


class Desk:
    """What the process counts: failed tries of addresses, and the pace of tokens."""

    def __init__(self, parts: Parts) -> None:
        self.failed = Throttle(parts.settings.web_proxies)
        self.paces = {role: Throttle(burst=burst, per_s=per_s) for role, (per_s, burst) in _PACES.items()}
        self.may_be_open = is_private(parts)
        self.warned = False


DESK: Final = web.AppKey("desk", Desk)


@web.middleware
async def admitted(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Name the one who asks; raises Problem where they may not."""
    route = route_of(request)
    if route is not None and route.roles and not route.page:  # pages have sessions: web/pages/entering.py
        request[PRINCIPAL] = principal = await _principal(request)
        request[WHO] = principal.name
        require_role(route, principal)
        require_portal(request, principal)
    return await handler(request)


def route_of(request: web.Request) -> "Route | None":
    """The row of the table; None where nothing is (the handler answers 404 or 405)."""
    if request.match_info.http_exception is not None:
        return None
    # A route that is not in the table is a fault of ours, and nobody may use it.
    return request.app[TABLE][request.match_info.route]


def is_private(parts: Parts) -> bool:
    """Whether only this machine reaches the process, as far as its settings tell."""
    settings = parts.settings
    public = settings.web_url is not None and not _is_loopback(_host_of(settings.web_url.partition("://")[2]))
    return _is_loopback(settings.web_listen[0]) and not public


async def require_protection(parts: Parts) -> None:
    """Raise ConfigurationError where other machines reach the process and no token would let anybody in."""
    host, port = parts.settings.web_listen
    if _is_loopback(host) or await parts.tokens.any_usable():
        return
    text = f"lets other machines reach the process ({host}:{port}), and there is no usable token"
    hint = f"{_CREATE.format(role='operator')} - or listen on 127.0.0.1"
    raise ConfigurationError([Fault("B24PAY_WEB_LISTEN", text, hint)])


async def warn_if_open(app: web.Application) -> bool:
    """Whether everybody on this machine may do everything; said once."""
    desk = app[DESK]
    if not desk.may_be_open or not await app[PARTS].gate.is_open():
        return False
    if not desk.warned:
        desk.warned = True
        log.warning("web.unprotected", remedy=_CREATE.format(role="operator"))
    return True


async def _principal(request: web.Request) -> Principal:
    given = request.headers.getall("Authorization", [])
    if not given:
        if await is_open_to(request):
            return DEVELOPMENT
        raise _unauthorized("no-token", "This needs a bearer token.", _CREATE.format(role="viewer"))
    scheme, _, text = given[0].partition(" ")
    if len(given) > 1 or scheme.lower() != "bearer":
        raise _unauthorized("no-token", "This needs one bearer token.", "Send it as `Authorization: Bearer TOKEN`.")
    text = text.strip()
    principal = request.app[PARTS].gate.at_once(text) or (await token_of(request, text)).principal
    keep_pace(request, principal)
    return principal


async def is_open_to(request: web.Request) -> bool:
    """Whether the one who asks needs no token: none was ever made, and it is a program on this machine."""
    return _is_from_here(request) and await warn_if_open(request.app)


def keep_pace(request: web.Request, principal: Principal) -> None:
    """Count a request of a token; raises Problem where it asks too often."""
    refuse_if_it_must_wait(request.app[DESK].paces[principal.role].count(principal.token_id or ""), "with this token")


async def token_of(request: web.Request, text: str) -> Token:
    """The usable token. An address with too many failed tries is heard with tokens only that were right before."""
    gate, failed = request.app[PARTS].gate, request.app[DESK].failed
    sender = failed.sender_of(request)
    if not gate.remembers(text):
        refuse_if_it_must_wait(failed.wait_s(sender), "with bad tokens from this address")
    try:
        return await gate.admit(text)
    except NotAdmitted as error:
        reason = error.reason
    failed.count(sender)
    raise _unauthorized("bad-token", *_TOLD[reason], error="invalid_token")


def require_role(route: "Route", principal: Principal) -> None:
    """Raise Problem where the route is not for this role."""
    if principal is DEVELOPMENT or principal.role in route.roles:
        return
    roles = " or ".join(sorted(route.roles))
    cause = f"A {principal.role}'s token may not do this; it takes the role {roles}."
    challenge = {"WWW-Authenticate": 'Bearer realm="b24pay", error="insufficient_scope"'}
    raise Problem(403, "wrong-role", cause, "Use a token of that role.", headers=challenge)


def require_portal(request: web.Request, principal: Principal) -> None:
    """A portal in the path that is not theirs looks like one that is not there."""
    key = request.match_info.get("key")
    if key is None or principal.may_touch(key):
        return
    cause = "There is no such portal, or this token is not for it."
    raise Problem(404, "no-portal", cause, "See GET /v1/portals for those there are.")


def _unauthorized(name: str, cause: str, next_step: str, *, error: str | None = None) -> Problem:
    challenge = 'Bearer realm="b24pay"' + (f', error="{error}"' if error else "")
    return Problem(401, name, cause, next_step, headers={"WWW-Authenticate": challenge})


def _is_from_here(request: web.Request) -> bool:
    """Whether a program on this machine asks for itself: no proxy passed it on, and no browser page of elsewhere."""
    if any(name in request.headers for name in _PASSED_ON) or not _is_loopback(request.remote or ""):
        return False
    hosts = [_host_of(request.host)]  # a page elsewhere may have its name point here
    origin = request.headers.get("Origin")
    if origin is not None:
        hosts.append(_host_of(origin.partition("://")[2]))
    return all(map(_is_loopback, hosts))


def _host_of(authority: str) -> str:
    if authority.startswith("["):
        return authority[1:].partition("]")[0]
    return authority.partition("/")[0].partition(":")[0]


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False
