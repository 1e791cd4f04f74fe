"""What a portal's calls are authorised with: an inbound webhook, or an application's tokens (`protocol.md` §6)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bitrix24.classification import Credential as Kind
from bitrix24.secret import Secret

# A token is renewed this long before it runs out, so that no call leaves with one that runs out on the way; one that
# lives shortly after three quarters of its life, and one that lives for seconds only when it is refused.
RENEW_BEFORE_S: Final = 60.0
_SHORTEST_LIFE_S: Final = 4.0


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
    """An application's credential. Instants are in epoch seconds, None where nobody has told.

    The refresh token works once: whoever renews must store the new pair before anything else.
    """

    client_id: str
    client_secret: Secret
    access_token: Secret
    refresh_token: Secret
    oauth_url: str
    expires_at: float | None = None
    renew_at: float | None = None

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
        """Whether a call that starts now might begin at the portal when the token has run out."""
        return self.renew_at is not None and now >= self.renew_at


def renewal_due(expires_at: float | None, lives_s: float | None = None) -> float | None:
    """When a token should be renewed; `lives_s` is how long it lives in all, where that is known."""
    if expires_at is None or (lives_s is not None and lives_s < _SHORTEST_LIFE_S):
        return None
    return expires_at - min(RENEW_BEFORE_S, (lives_s or RENEW_BEFORE_S * 4) / 4)


Credential = Webhook | OAuth
