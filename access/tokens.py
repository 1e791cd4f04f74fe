"""
Bearer tokens in Redis: what each is for, and a hash of it; the token itself is shown once and kept nowhere.

  b24pay:{0}:tokens        hash    id -> JSON {v, name, role, portals, created_at, expires_at, revoked_at, hash,
                                   callback}
  b24pay:{0}:token_names   hash    name -> id, of tokens that are not revoked
  b24pay:{0}:tokens_used   hash    id -> when it was last used, to the minute
  b24pay:{0}:tokens_made   string  how many were ever made: once there was one, nobody comes in without

Times are epoch seconds of the server's clock. `v` is the form of the row: one that is newer than ours is nobody's token
here, because an older process cannot know what it limits, or promises: a token with a callback is of form 2, since a
process that does not know callbacks of tokens would accept payments and tell nobody of their end.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from redis.asyncio import Redis

from access import bearer
from access.roles import Principal, Role

_TOKENS: Final = "b24pay:{0}:tokens"
_NAMES: Final = "b24pay:{0}:token_names"
_USED: Final = "b24pay:{0}:tokens_used"
_MADE: Final = "b24pay:{0}:tokens_made"
_FORM: Final = 1
_FORM_WITH_CALLBACK: Final = 2
_MOST_TRIES: Final = 5


class TokenError(Exception):
    """A token could not be made or found; the message says what is wrong and shows no secret."""


class TokenExists(TokenError):  # noqa: N818 - names what is wrong
    """The name belongs to a token that is not revoked."""


class UnknownToken(TokenError):  # noqa: N818 - names what is wrong
    """There is no token of this name or id."""


class Standing(StrEnum):
    """Whether a token opens anything."""

    USABLE = "usable"
    EXPIRED = "expired"
    REVOKED = "revoked"
    UNREADABLE = "unreadable"  # a newer version's row, or a damaged one


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One row; times in epoch seconds. `portals` None: all of them."""

    id: str
    name: str
    role: str
    portals: tuple[str, ...] | None
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    form: int = _FORM
    used_at: float | None = None
    hash: str = field(default="", repr=False)
    callback: str | None = field(default=None, repr=False)  # an address may hold a secret of its receiver

    def standing(self, now: float) -> Standing:
        """Whether it opens anything at a time of the server."""
        if self.form not in (_FORM, _FORM_WITH_CALLBACK) or self.role not in set(Role):
            return Standing.UNREADABLE
        if self.revoked_at is not None:
            return Standing.REVOKED
        if self.expires_at is not None and now >= self.expires_at:
            return Standing.EXPIRED
        return Standing.USABLE

    @property
    def principal(self) -> Principal:
        """The one who comes with it; raises ValueError for a role we do not know."""
        portals = None if self.portals is None else frozenset(self.portals)
        return Principal(self.name, Role(self.role), portals, token_id=self.id, callback=self.callback)


@dataclass(frozen=True, slots=True)
class Issued:
    """A token that was just made, with the only copy of its text."""

    token: Token
    text: str = field(repr=False)


class Tokens:
    """The tokens of one Redis. `new_secret` is for tests."""

    def __init__(self, redis: Redis, *, new_secret: Callable[[], str] = bearer.new_secret) -> None:
        self._redis = redis
        self._new_secret = new_secret
        self._put = redis.register_script(_lua("put_token"))
        self._revoke = redis.register_script(_lua("revoke_token"))

    async def create(
        self,
        name: str,
        role: Role,
        *,
        portals: Iterable[str] | None = None,
        lives_s: float | None = None,
        callback: str | None = None,
    ) -> Issued:
        """Make a token for some portals (None: all) and a time (None: until it is revoked); raises TokenExists.

        `callback` is an address that was looked at (`config.callbacks.read_callback`).
        """
        now = await self.now()
        token_id = bearer.new_id()
        text = bearer.spelled(token_id, self._new_secret())
        token = Token(
            id=token_id,
            name=name,
            role=role.value,
            portals=None if portals is None else tuple(sorted(set(portals))),
            created_at=now,
            expires_at=None if lives_s is None else now + lives_s,
            revoked_at=None,
            hash=bearer.digest(text),
            form=_FORM if callback is None else _FORM_WITH_CALLBACK,
            callback=callback,
        )
        holder = _text(await self._put(keys=[_TOKENS, _NAMES, _MADE], args=[token_id, name, _row(token)]))
        if holder:
            raise _taken(name, holder)
        return Issued(token, text)

    async def require_free(self, name: str) -> None:
        """Raise TokenExists where a token that is not revoked has this name."""
        holder = await self._redis.hget(_NAMES, name)
        if holder is not None:
            raise _taken(name, _text(holder))

    async def list(self) -> "list[Token]":
        """Every token, revoked and expired ones too, in the order they were made."""
        rows = await self._redis.hgetall(_TOKENS)
        used = {_text(key): float(value) for key, value in (await self._redis.hgetall(_USED)).items()}
        tokens = [_token(_text(key), _text(raw)) for key, raw in rows.items()]
        tokens.sort(key=lambda each: (each.created_at, each.id))
        return [replace(each, used_at=used.get(each.id)) for each in tokens]

    async def find(self, name_or_id: str) -> Token:
        """A token by its id, or the latest of a name, unrevoked ones first; raises UnknownToken."""
        named = [each for each in await self.list() if name_or_id in (each.id, each.name)]
        if not named:
            raise UnknownToken(f"there is no token {name_or_id}")
        return max(named, key=lambda each: (each.id == name_or_id, each.revoked_at is None, each.created_at))

    async def revoke(self, token_id: str) -> Token:
        """End a token now, for every process within two seconds; a revoked one stays as it is. Raises UnknownToken."""
        for _ in range(_MOST_TRIES):
            raw = await self._redis.hget(_TOKENS, token_id)
            if raw is None:
                raise UnknownToken(f"there is no token {token_id}")
            token = _token(token_id, _text(raw))
            if token.revoked_at is not None:
                return token
            # Whatever else a newer version wrote into the row stays in it.
            after = json.dumps({**_fields(_text(raw)), "revoked_at": await self.now()})
            args = [token_id, token.name, raw, after]
            if await self._revoke(keys=[_TOKENS, _NAMES], args=args):
                return _token(token_id, after)
        raise TokenError(f"the token {token_id} is changed all the time")

    async def read(self, token_id: str) -> tuple[Token | None, float]:
        """One row and the server's time, in one trip."""
        async with self._redis.pipeline(transaction=False) as trip:
            trip.hget(_TOKENS, token_id)
            trip.time()
            raw, (seconds, microseconds) = await trip.execute()
        return None if raw is None else _token(token_id, _text(raw)), seconds + microseconds / 1e6

    async def any_made(self) -> bool:
        """Whether there ever was a token: from then on tokens are required."""
        return bool(await self._redis.exists(_MADE, _TOKENS))

    async def any_usable(self) -> bool:
        """Whether anybody could come in."""
        now = await self.now()
        return any(token.standing(now) is Standing.USABLE for token in await self.list())

    async def note_use(self, token_id: str) -> None:
        """Remember that a token was used now."""
        await self._redis.hset(_USED, token_id, round(await self.now()))

    async def now(self) -> float:
        """The server's time: one for all processes and machines."""
        seconds, microseconds = await self._redis.time()
        return float(seconds + microseconds / 1e6)


def _taken(name: str, holder: str) -> TokenExists:
    return TokenExists(f"the token {holder} is called {name} already")


def _row(token: Token) -> str:
    return json.dumps(
        {
            "v": token.form,
            "name": token.name,
            "role": token.role,
            "portals": None if token.portals is None else list(token.portals),
            "created_at": token.created_at,
            "expires_at": token.expires_at,
            "revoked_at": token.revoked_at,
            "hash": token.hash,
            **({"callback": token.callback} if token.callback is not None else {}),
        }
    )


def _token(token_id: str, raw: str) -> Token:
    fields = _fields(raw)
    try:
        portals = fields.get("portals")
        return Token(
            id=token_id,
            name=str(fields["name"]),
            role=str(fields["role"]),
            portals=None if portals is None else tuple(map(str, portals)),
            created_at=float(fields["created_at"]),
            expires_at=_time(fields["expires_at"]),
            revoked_at=_time(fields["revoked_at"]),
            form=int(fields["v"]),
            hash=str(fields["hash"]),
            callback=str(fields["callback"]) if fields["v"] == _FORM_WITH_CALLBACK else None,
        )
    except (KeyError, TypeError, ValueError):
        return Token(
            id=token_id,
            name=str(fields.get("name", "")),
            role=str(fields.get("role", "")),
            portals=(),
            created_at=0.0,
            expires_at=None,
            revoked_at=None,
            form=0,
        )


def _fields(raw: str) -> Mapping[str, Any]:
    try:
        fields = json.loads(raw)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _time(value: Any) -> float | None:
    return None if value is None else float(value)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _lua(name: str) -> str:
    return Path(__file__).with_name(f"{name}.lua").read_text(encoding="utf-8")
