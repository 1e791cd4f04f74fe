"""
Sessions of people who look at the dashboard: who has the random id may do what a token may, for a working day.

  b24pay:{0}:session:<SHA-256 of the id>  string  JSON {v, token, made_at}; expires by itself

The id is in the browser's cookie alone. A session knows which token it was made with and nothing of that token's text:
where the token is revoked or has expired, its sessions open nothing (whoever uses a session asks the gate, every time).
"""

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from redis.asyncio import Redis

# A working day. Whoever is still there signs in again; a token's own end comes first where it is sooner.
LASTS_S: Final = 43_200
_SESSION: Final = "b24pay:{0}:session:"
_FORM: Final = 1
_ID: Final = re.compile(r"[A-Za-z0-9_-]{20,64}")


@dataclass(frozen=True, slots=True)
class Session:
    """One session: the token it stands for, and what its forms are signed with."""

    token_id: str
    form_key: str = field(repr=False)  # what a form must bring along, so that no page of elsewhere can send one


class Sessions:
    """The sessions of one Redis. Raises RedisError. `new_id` is for tests."""

    def __init__(self, redis: Redis, *, new_id: Callable[[], str] = lambda: secrets.token_urlsafe(32)) -> None:
        self._redis = redis
        self._new_id = new_id

    async def begin(self, token_id: str) -> str:
        """Make a session for a token's bearer; the only copy of its id."""
        session_id = self._new_id()
        seconds, _ = await self._redis.time()
        row = json.dumps({"v": _FORM, "token": token_id, "made_at": int(seconds)})
        await self._redis.set(_key(session_id), row, ex=LASTS_S)
        return session_id

    async def find(self, session_id: str) -> Session | None:
        """The session of an id; None where there is none (any more)."""
        if not _ID.fullmatch(session_id):
            return None
        raw = await self._redis.get(_key(session_id))
        try:
            row = json.loads(raw or "null")
        except ValueError:
            return None
        if not isinstance(row, dict) or row.get("v") != _FORM or not isinstance(row.get("token"), str):
            return None
        return Session(row["token"], form_key(session_id))

    async def end(self, session_id: str) -> None:
        """Forget a session, for every process at once."""
        if _ID.fullmatch(session_id):
            await self._redis.delete(_key(session_id))


def form_key(secret: str) -> str:
    """What forms bring along; it does not tell the secret that it is made of."""
    return hmac.new(secret.encode(), b"forms", hashlib.sha256).hexdigest()


def _key(session_id: str) -> str:
    return _SESSION + hashlib.sha256(session_id.encode()).hexdigest()
