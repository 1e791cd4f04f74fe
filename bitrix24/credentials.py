"""What a portal's calls are authorised with: an inbound webhook, or an application's tokens (`protocol.md` §6)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bitrix24.classification import Credential as Kind
from bitrix24.secret import Secret

# A token is renewed this long before it runs out, so that no call leaves with one that runs out on the way.
RENEW_BEFORE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Webhook:
    """An inbound webhook's credential: the user it acts as, and the secret code in its path."""

    user_id: int
    code: Secret

    @property
    def kind(self) -> Kind:
        """What the classification calls it."""
        return Kind.WEBHOOK

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """What a reply must not repeat to anybody."""
        return (self.code,)

    def address(self, endpoint: str, method: str) -> str:
        """Where a method is called: the code is part of the path, the portal knows no other way."""
        return f"{endpoint}{self.user_id}/{self.code.reveal()}/{method}"

    def headers(self) -> Mapping[str, str]:
        """What goes along with a call."""
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuth:
    """An application's credential. `expires_at` is in epoch seconds, None where nobody has told.

    The refresh token works once: whoever renews must store the new pair before anything else.
    """

    client_id: str
    client_secret: Secret
    access_token: Secret
    refresh_token: Secret
    oauth_url: str
    expires_at: float | None = None

    @property
    def kind(self) -> Kind:
        """What the classification calls it."""
        return Kind.OAUTH

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """What a reply must not repeat to anybody."""
        return (self.access_token, self.refresh_token, self.client_secret)

    def address(self, endpoint: str, method: str) -> str:
        """Where a method is called; no secret in it."""
        return f"{endpoint}{method}"

    def headers(self) -> Mapping[str, str]:
        """What goes along with a call: the token, which no URL ever carries."""
        return {"Authorization": f"Bearer {self.access_token.reveal()}"}

    def runs_out(self, now: float) -> bool:
        """Whether the token runs out before a call that starts now is sure to have begun at the portal."""
        return self.expires_at is not None and now >= self.expires_at - RENEW_BEFORE_S


Credential = Webhook | OAuth
