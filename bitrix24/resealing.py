"""Seal stored credentials anew when the keys change, without knowing what is in them.

A record keeps what it says and its version: only the sealed text changes. So whoever replaces the version it has read
(a new pair of tokens, say) is not held up by a rotation at the same moment, and its newer record is never overwritten:
what is written takes the place of exactly the bytes that were read.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from cryptography.fernet import InvalidToken, MultiFernet
from redis.asyncio import Redis

# Every token of Fernet's only version begins so, and nothing else in a record does.
_SEALED: Final = "gAAAAA"
# A record changes once an hour at most; one that changes under every look is somebody's endless loop.
_LOOKS: Final = 10


class Resealed(StrEnum):
    """What became of one record."""

    ANEW = "anew"  # opened by one of the keys, sealed with the first
    ALREADY = "already"  # sealed with the first key before
    NOT_OPENED = "not_opened"  # no key opens it, or nothing sealed is in it; left as it was
    RESTLESS = "restless"  # it changed under every look; whoever changes it seals with a key of their own
    GONE = "gone"  # removed meanwhile


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys that open, and the first of them, which seals."""

    every: MultiFernet
    first: MultiFernet


class Resealing:
    """Seals the records of one hash (key -> JSON object) anew."""

    def __init__(self, redis: Redis, portals: str, keys: Keys, *, may_be_empty: bool = False) -> None:
        self._nothing_sealed = Resealed.ALREADY if may_be_empty else Resealed.NOT_OPENED
        self._redis = redis
        self._portals = portals
        self._keys = keys
        self._replace = redis.register_script(Path(__file__).with_name("reseal.lua").read_text(encoding="utf-8"))

    async def run(self, *, dry_run: bool) -> Mapping[str, Resealed]:
        """Every record, in the order of keys, and what became of it; `dry_run` writes nothing."""
        names = sorted(_text(name) for name in await self._redis.hkeys(self._portals))
        return {name: await self._one(name, dry_run=dry_run) for name in names}

    async def _one(self, name: str, *, dry_run: bool) -> Resealed:
        for _ in range(_LOOKS):
            raw = await self._redis.hget(self._portals, name)
            if raw is None:
                return Resealed.GONE
            outcome, record = self._sealed_anew(_text(raw))
            if record is None or dry_run:
                return outcome
            if await self._replace(keys=[self._portals], args=[name, raw, record]):
                return outcome
        return Resealed.RESTLESS

    def _sealed_anew(self, raw: str) -> tuple[Resealed, str | None]:
        """What is to be told of a record, and what is to be written in its place, None for nothing."""
        try:
            record: Any = json.loads(raw)
        except ValueError:
            return Resealed.NOT_OPENED, None
        if not isinstance(record, dict):
            return Resealed.NOT_OPENED, None
        sealed = {name: value for name, value in record.items() if _is_sealed(value)}
        if not sealed:
            return self._nothing_sealed, None
        if not all(_opens(self._keys.every, token) for token in sealed.values()):
            return Resealed.NOT_OPENED, None
        old = {name: token for name, token in sealed.items() if not _opens(self._keys.first, token)}
        if not old:
            return Resealed.ALREADY, None
        anew = {name: self._keys.every.rotate(token).decode() for name, token in old.items()}
        return Resealed.ANEW, json.dumps({**record, **anew}, separators=(",", ":"))


def _is_sealed(value: object) -> bool:
    return isinstance(value, str) and value.startswith(_SEALED)


def _opens(keys: MultiFernet, token: str) -> bool:
    try:
        keys.decrypt(token)
    except InvalidToken:
        return False
    return True


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
