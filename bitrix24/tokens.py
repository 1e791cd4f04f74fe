"""A token server's answers: the new pair, or what its refusal means (`protocol.md` §6)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from bitrix24.classification import Body, Credential, Ending, Where, classify
from bitrix24.credentials import OAuth, renewal_due
from bitrix24.errors import NoAnswer, NotSent, PortalError, Refused
from bitrix24.secret import Secret
from bitrix24.shapes import NOT_JSON, as_seconds, error_of, parse, redact, redact_code
from bitrix24.transport import HttpReply, Lost

TOKEN_METHOD: Final = "oauth.token"  # how errors name the call  # noqa: S105 - a name, not a token


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewed:
    """A new credential, and what else the token server knows of the portal; None where it did not say."""

    credential: OAuth
    client_endpoint: str | None
    member_id: str | None


def renewal_form(credential: OAuth) -> Mapping[str, str]:
    """What is posted to the token server, in the body: the documented GET would put the secrets into a URL."""
    return {
        "grant_type": "refresh_token",
        "client_id": credential.client_id,
        "client_secret": credential.client_secret.reveal(),
        "refresh_token": credential.refresh_token.reveal(),
    }


def read_renewal(credential: OAuth, came: HttpReply | Lost, now: float) -> Renewed:
    """The new pair; raises PortalError for everything else. `now` is in epoch seconds, when the request left."""
    if isinstance(came, Lost):
        where = "nothing was sent" if not came.left else "no answer came"
        raise _error(credential, NoAnswer if came.left else NotSent, f"the token server: {where}: {came.reason}")
    value = parse(came.text)
    error = error_of(value)
    if error is not None:  # `wrong_client` comes with HTTP 200
        raise _error(credential, Refused, error[1] or "the token server refuses", error[0], came.status)
    fields = value if isinstance(value, dict) else {}
    access, refresh = fields.get("access_token"), fields.get("refresh_token")
    if value is NOT_JSON or came.status not in range(200, 300) or not _is_token(access) or not _is_token(refresh):
        raise _error(
            credential, NoAnswer, f"the token server answered HTTP {came.status} without a token", "", came.status
        )
    lives_s = as_seconds(fields.get("expires_in"))
    # Counted by our clock from before the request: never later than the portal's own end.
    expires_at = now + lives_s if lives_s else None
    return Renewed(
        credential=replace(
            credential,
            access_token=Secret(str(access)),
            refresh_token=Secret(str(refresh)),
            expires_at=expires_at,
            renew_at=renewal_due(expires_at, lives_s),
        ),
        client_endpoint=_text(fields.get("client_endpoint")),
        member_id=_text(fields.get("member_id")),
    )


def _error(
    credential: OAuth, kind: type[PortalError], text: str, code: str = "", status: int | None = None
) -> PortalError:
    secrets = [secret.reveal() for secret in credential.secrets]
    shown, told = redact_code(code, *secrets), redact(text, *secrets)
    body = Body.ERROR if kind is Refused else Body.OTHER
    ending = Ending(where=Where.REFRESH, status=status, code=shown, text=told, body=body, credential=Credential.OAUTH)
    return kind(shown, told, meaning=classify(ending), method=TOKEN_METHOD, status=status)


def _is_token(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value.isprintable() and not value.isspace() and bool(value)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
