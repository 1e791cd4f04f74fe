"""Who calls, and whether the portal lets them: the chain of checks before a method's body."""

from dataclasses import dataclass

from emulator.call import Call
from emulator.errors import RestError, StatusProfile, disputed
from emulator.portal import Portal
from emulator.settings import Rights, Token

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
    if portal.settings.oauth_unreachable:
        raise disputed("CONNECTION_ERROR", "Error connecting to authorization server", profile)
    token = find_token(portal, name)
    failure = "invalid_token" if token is None else token.failure
    if failure not in (None, "APPLICATION_NOT_FOUND") or token is None:
        raise _token_failure(failure or "invalid_token", profile)
    _check_portal(portal, profile)
    if token.failure is not None:
        raise _token_failure(token.failure, profile)
    if token.expires_at is not None and portal.clock.now() >= token.expires_at:
        raise disputed("expired_token", "The access token provided has expired", profile)
    return Credential(token.user, token.rights, "oauth", token.client_id)


def find_token(portal: Portal, name: str) -> Token | None:
    """The token as this portal knows it; an OAuth server's tokens would be looked up here too."""
    return portal.settings.tokens.get(name)


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
