"""The gate of one process: which token a text is, with an answer that is two seconds old at the most."""

import asyncio
import hmac
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final

from redis.exceptions import RedisError

from access import bearer
from access.roles import Principal
from access.tokens import Standing, Token, Tokens

# A revoked token is refused after this at the latest; a busy one costs half a look-up per second.
CACHE_S: Final = 2.0
# While Redis is away, what was known last counts on for so long: whoever watches (`/metrics`) is to see the outage, and
# everything else needs Redis itself.
REMEMBERED_S: Final = 900.0
# How coarse "last used" is: a write per minute, token and process.
_USE_NOTED_EVERY_S: Final = 60.0


class Reason(StrEnum):
    """Why a text opens nothing. The last three are told only to whoever has the right secret."""

    UNKNOWN = "unknown"  # not a token's form, no such id, or not its secret
    EXPIRED = "expired"
    REVOKED = "revoked"
    UNREADABLE = "unreadable"


class NotAdmitted(Exception):  # noqa: N818 - a fact about the one who asks
    """The text opens nothing."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


@dataclass(frozen=True)
class _Known:
    token: Token
    server_time: float
    asked_at: float

    @cached_property
    def principal(self) -> Principal:
        """The one who comes with it; raises ValueError for a role we do not know."""
        return self.token.principal

    def standing(self, now: float) -> Standing:
        """Whether it opens anything at a moment of our clock."""
        return self.token.standing(self.server_time + now - self.asked_at)


class Gate:
    """One per process, because it remembers."""

    def __init__(self, tokens: Tokens, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._tokens = tokens
        self._clock = clock
        self._known: dict[str, _Known] = {}  # only ids that exist: strangers cannot make it grow
        self._noted: dict[str, float] = {}
        self._asking: dict[str, asyncio.Task[_Known | None]] = {}
        self._open_until = self._open_at = -1.0
        self._any_made = False

    def at_once(self, text: str) -> Principal | None:
        """The one who comes with a text that was admitted a moment ago; None: `admit` has to be asked."""
        known, now = self._known.get(bearer.id_of(text) or ""), self._clock()
        if known is None or now - known.asked_at >= CACHE_S or not _is(known.token, text):
            return None
        if now - self._noted.get(known.token.id, -_USE_NOTED_EVERY_S) >= _USE_NOTED_EVERY_S:
            return None
        return known.principal if known.standing(now) is Standing.USABLE else None

    async def admit(self, text: str) -> Token:
        """The usable token that a text is; raises NotAdmitted, or RedisError where nobody can say."""
        token_id = bearer.id_of(text)
        known = await self._look(token_id) if token_id is not None else None
        if known is None or not _is(known.token, text):
            raise NotAdmitted(Reason.UNKNOWN)
        return await self._usable(known)

    async def admit_session(self, token_id: str) -> Token:
        """The usable token that a session was made with; raises NotAdmitted, or RedisError where nobody can say."""
        known = await self._look(token_id)
        if known is None:
            raise NotAdmitted(Reason.UNKNOWN)
        return await self._usable(known)

    async def _usable(self, known: _Known) -> Token:
        standing = known.standing(self._clock())
        if standing is not Standing.USABLE:
            raise NotAdmitted(Reason(standing.value))
        await self._note_use(known.token)
        return known.token

    def remembers(self, text: str) -> bool:
        """Whether this text was a token when this process last asked, however long ago; costs no look-up."""
        known = self._known.get(bearer.id_of(text) or "")
        return known is not None and _is(known.token, text)

    async def is_open(self) -> bool:
        """Whether no token was ever made. Once there was one, it stays closed."""
        if self._any_made or self._clock() < self._open_until:
            return not self._any_made
        asked_at = self._clock()
        try:
            self._any_made = await self._tokens.any_made()
        except (RedisError, OSError):
            if self._open_at < 0 or asked_at - self._open_at > REMEMBERED_S:
                raise
        else:
            self._open_at, self._open_until = asked_at, asked_at + CACHE_S
        return not self._any_made

    async def _look(self, token_id: str) -> _Known | None:
        known = self._known.get(token_id)
        if known is not None and self._clock() - known.asked_at < CACHE_S:
            return known
        # Of many requests at once one asks for all: a busy token would be looked up a hundred times every two seconds.
        asking = self._asking.get(token_id)
        if asking is None:
            self._asking[token_id] = asking = asyncio.create_task(self._ask(token_id, known))
            asking.add_done_callback(lambda _: self._asking.pop(token_id, None))
        return await asyncio.shield(asking)

    async def _ask(self, token_id: str, known: _Known | None) -> _Known | None:
        asked_at = self._clock()
        try:
            token, server_time = await self._tokens.read(token_id)
        except (RedisError, OSError):
            if known is None or asked_at - known.asked_at > REMEMBERED_S:
                raise
            return known
        if token is None:
            self._known.pop(token_id, None)
            return None
        known = _Known(token, server_time, asked_at)
        self._known[token_id] = known
        return known

    async def _note_use(self, token: Token) -> None:
        last, now = self._noted.get(token.id), self._clock()
        if last is None or now - last >= _USE_NOTED_EVERY_S:
            self._noted[token.id] = now  # first: of many requests at once one writes
            with suppress(RedisError, OSError):  # said again in a minute
                await self._tokens.note_use(token.id)


def _is(token: Token, text: str) -> bool:
    return hmac.compare_digest(token.hash, bearer.digest(text))
