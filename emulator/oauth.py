"""The authorization server: chains of token pairs, their clock, and what it says when a portal asks.

It is one for the whole farm. A chain belongs to the application of one portal and starts with a grant; each refresh
adds a pair. Nothing here waits, so that of two refreshes with one token exactly one is first.
"""

import secrets
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING

from emulator.application import Application, Rotation
from emulator.clock import Clock
from emulator.errors import RestError, StatusProfile

if TYPE_CHECKING:
    from emulator.portal import Portal


@dataclass(slots=True)
class Pair:
    """One access token and the refresh token it was issued with; instants are of the server's clock."""

    number: int  # of the issue, over the whole farm
    portal: "Portal"
    chain: int
    access: str
    refresh: str
    issued_at: float
    access_until: float
    refresh_until: float
    used_at: float | None = None  # when the refresh token was
    successor: "Pair | None" = None
    dead: bool = False  # the access token was rotated away or revoked
    revoked: bool = False  # the whole chain was

    @property
    def application(self) -> Application:
        """The application as it is set now."""
        return self.portal.settings.oauth


@dataclass(slots=True)
class TokenCounters:
    """Exact numbers of the token server, for one portal or all."""

    requests: int = 0
    granted: int = 0  # chains begun
    refreshed: int = 0  # new pairs: one for each expiry, when a client is single-minded
    replayed: int = 0  # the same pair once more, within the grace
    refused: int = 0
    secrets_in_url: int = 0  # requests that carried a token or secret in their address
    faults: int = 0
    client_gone: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)


TOKEN_MARK = "e0b24a70c4a4a41e"  # noqa: S105 -- not a token, but how each of them begins
# code -> (status live servers were seen to send, status in other sources, text)
_REFUSALS = {
    "wrong_client": (200, 200, ""),
    "invalid_client": (400, 401, "Invalid client"),
    "invalid_grant": (400, 401, "Invalid refresh token"),
    "invalid_request": (400, 400, "Invalid request"),
    "bad_verification_code": (400, 400, "Bad verification code"),
    "invalid_scope": (403, 403, "Invalid scope"),
    "insufficient_scope": (403, 403, "Insufficient scope"),
    "NOT_INSTALLED": (401, 401, "Application not installed"),
    "PAYMENT_REQUIRED": (401, 401, "Payment required"),
    "PORTAL_NOT_FOUND": (404, 404, "Portal not found"),
}


def refusal(code: str, profile: StatusProfile = StatusProfile.SOURCE, text: str = "") -> RestError:
    """A refusal of the token server; codes it does not know come with 400."""
    source, docs, usual = _REFUSALS.get(code, (400, 400, code))
    return RestError(code, text or usual, source if profile is StatusProfile.SOURCE else docs)


class TokenServer:
    """Every chain of the farm and the counters of who asked for what."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock  # its own: moving it expires tokens and nothing else
        self.nobody = TokenCounters()  # requests that belong to no portal's chain
        self._pairs: list[Pair] = []
        self._by_access: dict[str, Pair] = {}
        self._by_refresh: dict[str, Pair] = {}
        self._last_number = 0
        self._last_chain = 0

    def grant(self, portal: "Portal") -> Pair:
        """Begin a chain, as when a person installs the application."""
        self._last_chain += 1
        portal.tokens.granted += 1
        return self._issue(portal, self._last_chain, _token())

    def issued(self, portal: "Portal | None" = None) -> list[Pair]:
        """Every pair in the order of issue."""
        return [pair for pair in self._pairs if portal is None or pair.portal is portal]

    def by_refresh(self, token: str) -> Pair | None:
        """The pair a refresh token belongs to; the newest one of a token that stays."""
        return self._by_refresh.get(token)

    def by_access(self, token: str) -> Pair | None:
        """The pair an access token belongs to."""
        return self._by_access.get(token)

    def left_s(self, pair: Pair) -> int:
        """Whole seconds an access token still lives, a begun one counted."""
        return max(0, ceil(pair.access_until - self.clock.now()))

    def refresh(self, *, client_id: str, client_secret: str, token: str) -> tuple[Pair, bool]:
        """The next pair of a chain and whether it is new; raises the server's refusal."""
        pair = self._by_refresh.get(token)
        profile = pair.portal.settings.status_profile if pair else StatusProfile.SOURCE
        self._check_client(pair, client_id, client_secret, profile)
        if pair is None or pair.application.client_id != client_id:
            raise refusal("invalid_grant", profile)
        application = pair.application
        if application.refresh_failure is not None:
            raise refusal(application.refresh_failure, profile)
        if not application.installed:
            raise refusal("NOT_INSTALLED", profile)
        if pair.revoked or self.clock.now() >= pair.refresh_until:
            raise refusal("invalid_grant", profile)
        if pair.used_at is None or application.rotation is Rotation.FIXED:
            return self._rotate(pair), True
        if application.rotation is Rotation.GRACE and self.clock.now() < pair.used_at + application.grace_s:
            return pair.successor or pair, False
        raise refusal("invalid_grant", profile)

    def _check_client(self, pair: Pair | None, client_id: str, secret: str, profile: StatusProfile) -> None:
        known = {item.portal.settings.oauth.client_secret for item in self._of_client(pair, client_id)}
        if not known:
            raise refusal("wrong_client", profile)
        if secret not in known:
            raise refusal("invalid_client", profile)

    def _of_client(self, pair: Pair | None, client_id: str) -> Iterable[Pair]:
        if pair is not None and pair.application.client_id == client_id:
            return (pair,)
        return (item for item in self._pairs if item.application.client_id == client_id)

    def _rotate(self, old: Pair) -> Pair:
        keep = old.application.rotation is Rotation.FIXED
        pair = self._issue(old.portal, old.chain, old.refresh if keep else _token())
        old.used_at, old.successor, old.dead = self.clock.now(), pair, True
        old.portal.tokens.refreshed += 1
        return pair

    def _issue(self, portal: "Portal", chain: int, refresh: str) -> Pair:
        self._last_number += 1
        now, application = self.clock.now(), portal.settings.oauth
        pair = Pair(
            number=self._last_number,
            portal=portal,
            chain=chain,
            access=_token(),
            refresh=refresh,
            issued_at=now,
            access_until=now + application.access_s,
            refresh_until=now + application.refresh_s,
        )
        self._pairs.append(pair)
        self._by_access[pair.access] = self._by_refresh[refresh] = pair
        return pair

    def check(self, portal: "Portal", token: str) -> str | None:
        """What the server says when a portal asks about an access token: a code, or None for a good one."""
        pair = self._by_access.get(token)
        if pair is None or pair.portal is not portal or pair.dead:
            return "invalid_token"
        return pair.application.failure

    def expire(self, portal: "Portal") -> int:
        """Let the portal's living access tokens be over now; returns how many."""
        now = self.clock.now()
        living = [pair for pair in self.issued(portal) if not pair.dead and pair.access_until > now]
        for pair in living:
            pair.access_until = now
        return len(living)

    def revoke(self, portal: "Portal") -> int:
        """Let the portal's chains be dead, access and refresh tokens alike; returns how many pairs fell."""
        living = [pair for pair in self.issued(portal) if not pair.revoked]
        for pair in living:
            pair.dead = pair.revoked = True
        portal.token_cache.clear()
        return len(living)

    def forget(self, portal: "Portal | None" = None) -> None:
        """Drop what was issued to one portal, or to all; numbers and the clock go on."""
        if portal is None:
            self.nobody = TokenCounters()
        self._pairs = [pair for pair in self._pairs if portal is not None and pair.portal is not portal]
        self._by_access = {pair.access: pair for pair in self._pairs}
        self._by_refresh = {pair.refresh: pair for pair in self._pairs}


def _token() -> str:
    # As long as the ones seen in the wild; the mark lets a search for leaked ones find all of them.
    return TOKEN_MARK + secrets.token_hex((70 - len(TOKEN_MARK)) // 2)
