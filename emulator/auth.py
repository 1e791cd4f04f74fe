"""Who calls, and whether the portal lets them: the chain of checks before a method's body."""

from dataclasses import dataclass

from emulator.call import Call
from emulator.errors import RestError, StatusProfile, disputed
from emulator.portal import Portal
from emulator.settings import Rights

_TOKEN_FAILURES = {
    "invalid_token": "Unable to get application by token",
    "ERROR_OAUTH": "Application not installed",
    "NOT_INSTALLED": "Application not installed",
    "PAYMENT_REQUIRED": "Subscription has been ended",
    "APPLICATION_NOT_FOUND": "Application not found",
    "METHOD_CONFIRM_WAITING": "Waiting for confirmation",
    "METHOD_CONFIRM_DENIED": "Method call denied",
}


@dataclass(frozen=True, slots=True)
class Credential:
    """A caller that has passed the door."""

    user: int
    rights: Rights
    kind: str  # "apauth" for webhooks, "oauth" for access tokens
    id: str  # webhook "USER/CODE" or the application's client_id
    pair: int | None = None  # number of the issue of an access token that the authorization server gave


def authorize(portal: Portal, call: Call, *, secure: bool) -> Credential:
    """Check the caller in the portal's order, up to but without the scope."""
    if call.webhook is None:
        return _by_token(portal, call.token)
    profile = portal.settings.status_profile
    if portal.settings.https_required and not secure:
        raise disputed("INVALID_REQUEST", "Https required.", profile)
    user, code = call.webhook
    rights = portal.settings.webhooks.get(f"{user}/{code}")
    if rights is None or rights.expired:
        raise disputed("INVALID_CREDENTIALS", "Invalid request credentials", profile)
    _check_portal(portal, profile)
    return Credential(int(user), rights, "apauth", f"{user}/{code}")


def _by_token(portal: Portal, name: str | None) -> Credential:
    profile = portal.settings.status_profile
    if not name:
        raise disputed("NO_AUTH_FOUND", "Wrong authorization data", profile)
    token = find_token(portal, name)
    failure = "invalid_token" if token is None else token.failure
    if failure not in (None, "APPLICATION_NOT_FOUND") or token is None:
        raise _token_failure(failure or "invalid_token", profile)
    _check_portal(portal, profile)
    if token.failure is not None:
        raise _token_failure(token.failure, profile)
    if token.over:
        raise disputed("expired_token", "The access token provided has expired", profile)
    return Credential(token.user, token.rights, "oauth", token.client_id, token.number)


@dataclass(frozen=True, slots=True)
class _Known:
    """An access token as the portal sees it at this moment."""

    user: int
    client_id: str
    rights: Rights
    failure: str | None
    over: bool
    number: int | None = None


def find_token(portal: Portal, name: str) -> _Known | None:
    """The token as this portal knows it: from its settings, its memory, or the authorization server."""
    given = portal.settings.tokens.get(name)
    if given is None:
        return _issued(portal, name)
    _reach_server(portal)
    over = given.expires_at is not None and portal.clock.now() >= given.expires_at
    return _Known(given.user, given.client_id, given.rights, given.failure, over)


def _issued(portal: Portal, name: str) -> _Known | None:
    failure, pair = _asked(portal, name), portal.server.by_access(name)
    if pair is None:
        return None
    application = pair.application
    if failure is None and not application.installed:
        failure = "APPLICATION_NOT_FOUND"
    rights = Rights(
        scopes=application.scopes,
        can_pay=application.can_pay,
        can_read=application.can_read,
        can_configure=application.can_configure,
        app_access=application.app_access,
        dismissed=application.dismissed,
    )
    over = portal.server.clock.now() >= pair.access_until
    return _Known(application.user, application.client_id, rights, failure, over, pair.number)


def _asked(portal: Portal, name: str) -> str | None:
    """What the authorization server says of a token, or said not long ago: a portal remembers it for an hour."""
    now = portal.server.clock.now()
    until, failure = portal.token_cache.get(name, (0.0, None))
    if now < until:
        return failure
    _reach_server(portal)
    failure = portal.server.check(portal, name)
    if portal.server.by_access(name) is not None:
        portal.token_cache[name] = now + portal.settings.oauth.token_cache_s, failure
    return failure


def _reach_server(portal: Portal) -> None:
    if portal.settings.oauth_unreachable:
        text = "Error connecting to authorization server"
        raise disputed("CONNECTION_ERROR", text, portal.settings.status_profile)


def _token_failure(code: str, profile: StatusProfile) -> RestError:
    status_403 = code == "METHOD_CONFIRM_DENIED"
    refusal = disputed(code, _TOKEN_FAILURES.get(code, code), profile)
    refusal.status = 403 if status_403 else refusal.status
    return refusal


def _check_portal(portal: Portal, profile: StatusProfile) -> None:
    if portal.settings.overload_hold:
        raise disputed("OVERLOAD_LIMIT", "REST API is blocked due to overload.", profile)
    if portal.settings.plan_blocked:
        raise disputed("ACCESS_DENIED", "REST is available only on commercial plans.", profile)


def admit(portal: Portal, who: Credential, scope: str) -> None:
    """The rest of the chain: scope, then the user."""
    profile = portal.settings.status_profile
    if not has_scope(who, scope):
        carrier = "webhook" if who.kind == "apauth" else "access"
        text = f"The request requires higher privileges than provided by the {carrier} token"
        raise disputed("insufficient_scope", text, profile)
    if who.rights.dismissed:
        raise disputed("authorization_error", "Unable to authorize user", profile)
    if not who.rights.app_access:
        raise disputed("user_access_error", "The user does not have access to the application.", profile)


def has_scope(who: Credential, scope: str) -> bool:
    """Whether a credential covers a method; the empty scope covers everyone."""
    return not scope or scope in who.rights.scopes
