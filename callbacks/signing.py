"""
What callbacks are signed with, per destination host, in Redis and sealed as credentials are.

  b24pay:{0}:callback_secrets  hash  host -> JSON {made_at, secret, former, former_until}

The text is sealed together with its host, so a record that was copied to another host opens nothing. While a secret is
being changed both sign: a receiver knows one of them, whichever it has.
"""

import base64
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from cryptography.fernet import InvalidToken, MultiFernet
from redis.asyncio import Redis
from standardwebhooks import Webhook

from bitrix24.registry import CannotDecrypt, HiddenText, SecretKeyMissing, fernet_of
from bitrix24.resealing import Keys, Resealed, Resealing
from bitrix24.secret import Secret

_SECRETS: Final = "b24pay:{0}:callback_secrets"
_MARK: Final = "whsec_"
_BYTES: Final = 32  # the specification asks for 24 to 64
# How long the former one signs as well: a receiver's people have a day to enter the new one.
OVERLAP_S: Final = 24 * 3600
# How long a secret is believed without asking Redis, as portals are.
_CACHE_S: Final = 2.0


class SecretExists(Exception):  # noqa: N818 - names what is in the way
    """The host has a signing secret; a new one would turn its receiver's checks red."""


class NoSigningSecret(Exception):  # noqa: N818 - names what is missing
    """Nothing is sent unsigned."""


@dataclass(frozen=True, slots=True)
class SigningHost:
    """What may be shown of a host's secret."""

    host: str
    made_at: datetime
    former_until: datetime | None


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs for one host with one secret, or with two while they change."""

    secrets: tuple[Secret, ...]

    def headers(self, event: str, at: datetime, body: str) -> dict[str, str]:
        """The headers of Standard Webhooks; `at` is when it is sent, so that a receiver can refuse what is old."""
        signatures = (Webhook(secret.reveal()).sign(event, at, body) for secret in self.secrets)
        return {
            "webhook-id": event,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": " ".join(signatures),
        }


class SigningSecrets:
    """The secrets of all hosts; one per process, because `signer` remembers for two seconds."""

    def __init__(
        self,
        redis: Redis,
        secret_keys: Sequence[str | HiddenText],
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._redis = redis
        self._fernet, self._first = fernet_of(secret_keys), fernet_of(secret_keys[:1])
        self._clock, self._now = clock, now
        self._known: dict[str, tuple[float, Signer]] = {}

    async def make(self, host: str, *, rotate: bool = False) -> Secret:
        """A new secret for a host; with `rotate` the one before it signs as well for a day. Raises SecretExists,
        NoSigningSecret (there is none to be rotated), SecretKeyMissing."""
        secret = Secret(_MARK + base64.b64encode(os.urandom(_BYTES)).decode())
        await self.put(host, secret, rotate=rotate)
        return secret

    async def put(self, host: str, secret: Secret, *, rotate: bool = False) -> None:
        """Store a secret, as `make` does."""
        raw = await self._redis.hget(_SECRETS, host)
        if raw is not None and not rotate:
            raise SecretExists(f"{host} has a signing secret")
        if raw is None and rotate:
            raise NoSigningSecret(f"{host} has no signing secret")
        record: dict[str, object] = {"made_at": int(self._now()), "secret": self._sealed(host, secret)}
        former = None if raw is None else _decrypted(self._fernet, json.loads(raw)["secret"])
        if former is not None:  # one that nobody can open signs no more
            sealed = self._sealed(host, Secret(str(former[1])))
            record |= {"former": sealed, "former_until": int(self._now()) + OVERLAP_S}
        await self._redis.hset(_SECRETS, host, json.dumps(record))
        self._known.pop(host, None)

    async def signer(self, host: str) -> Signer:
        """What signs for a host now. Raises NoSigningSecret, SecretKeyMissing, CannotDecrypt."""
        known = self._known.get(host)
        if known is not None and self._clock() - known[0] < _CACHE_S:
            return known[1]
        asked_at = self._clock()
        raw = await self._redis.hget(_SECRETS, host)
        if raw is None:
            raise NoSigningSecret(f"{host} has no signing secret: make one with `b24pay callback secret {host}`")
        record = json.loads(raw)
        sealed = [record["secret"], *([record["former"]] if record.get("former_until", 0) > self._now() else [])]
        signer = Signer(tuple(self._open(host, text) for text in sealed))
        self._known[host] = asked_at, signer
        return signer

    async def hosts(self) -> list[SigningHost]:
        """The hosts that have a secret, in order; opens none."""
        stored = await self._redis.hgetall(_SECRETS)
        return sorted(
            (_shown(_text(host), json.loads(raw)) for host, raw in stored.items()), key=lambda each: each.host
        )

    async def reseal(self, *, dry_run: bool = False) -> Mapping[str, Resealed]:
        """Seal every secret anew with the first key; what became of each host's. Raises SecretKeyMissing."""
        if self._fernet is None or self._first is None:
            raise SecretKeyMissing("B24PAY_SECRET_KEYS is not set: no signing secret can be opened")
        return await Resealing(self._redis, _SECRETS, Keys(every=self._fernet, first=self._first)).run(dry_run=dry_run)

    def _sealed(self, host: str, secret: Secret) -> str:
        if self._fernet is None:
            raise SecretKeyMissing("B24PAY_SECRET_KEYS is not set: a signing secret is stored encrypted or not at all")
        return self._fernet.encrypt(json.dumps([host, secret.reveal()]).encode()).decode()

    def _open(self, host: str, sealed: str) -> Secret:
        if self._fernet is None:
            raise SecretKeyMissing(f"B24PAY_SECRET_KEYS is not set: the signing secret of {host} cannot be read")
        plain = _decrypted(self._fernet, sealed)
        if plain is None or plain[0] != host:
            raise CannotDecrypt(
                f"no key of B24PAY_SECRET_KEYS opens the signing secret of {host}: bring back the old key, or make a "
                f"new one with `b24pay callback secret {host} --rotate`"
            )
        return Secret(str(plain[1]))


def _decrypted(fernet: MultiFernet | None, sealed: str) -> Any:  # what `_sealed` made
    try:
        return None if fernet is None else json.loads(fernet.decrypt(sealed))
    except InvalidToken:
        return None


def _shown(host: str, record: Mapping[str, Any]) -> SigningHost:
    until = record.get("former_until")
    return SigningHost(
        host,
        datetime.fromtimestamp(record["made_at"], UTC),
        datetime.fromtimestamp(until, UTC) if until else None,
    )


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
