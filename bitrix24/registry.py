"""
The configured portals, in Redis: what is public in clear, the credential encrypted.

  b24pay:{0}:portals           hash  key -> JSON {version, addresses, public fields, secret}
  b24pay:{0}:portal_addresses  hash  "host:…" / "member:…" -> key
  b24pay:{0}:portal_versions   hash  key -> how often it was stored
  b24pay:{0}:portals_removed   hash  keys and addresses of removed portals whose payments are still remembered

The secret is sealed together with the key and the address it belongs to: a record that was edited so that another host
would get the credential does not decrypt into a portal. A webhook's stands under `secret`, an application's under
`oauth`, so that a release that knows webhooks alone finds none and leaves the lane to others.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Protocol, cast

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from redis.asyncio import Redis

from bitrix24.credentials import Credential, OAuth, Webhook
from bitrix24.portal import Portal, PortalLimits
from bitrix24.resealing import Keys, Resealed, Resealing
from bitrix24.secret import Secret

_PORTALS: Final = "b24pay:{0}:portals"
_ADDRESSES: Final = "b24pay:{0}:portal_addresses"
_VERSIONS: Final = "b24pay:{0}:portal_versions"
_WEBHOOK, _OAUTH = "secret", "oauth"  # what is sealed: a code, or tokens
_REMOVED: Final = "b24pay:{0}:portals_removed"
# How long a portal is believed without asking Redis: a driver sends several batches in that time, and a changed
# credential or limit is still seen before an operator has looked up.
_CACHE_S: Final = 2.0


class HiddenText(Protocol):
    """A setting that hides its text until it is asked for."""

    def get_secret_value(self) -> str:
        """The text itself."""


class RegistryError(Exception):
    """A portal could not be stored or read; the message says what to do and shows no secret."""


class UnknownPortal(RegistryError):  # noqa: N818 - names what is wrong
    """There is no portal under this key."""


class PortalExists(RegistryError):  # noqa: N818 - names what is wrong
    """The address is configured under another key, or the key with another address; `other` is the key in the way."""

    def __init__(self, message: str, other: str) -> None:
        super().__init__(message)
        self.other = other


class PortalRemembered(PortalExists):
    """The payments of a removed portal are still remembered, and they belong to another key or another address."""


class SecretKeyMissing(RegistryError):  # noqa: N818 - names what is wrong
    """B24PAY_SECRET_KEYS has no usable key."""


class Outdated(RegistryError):  # noqa: N818 - names what is wrong
    """The record that was to be replaced has been replaced by somebody else."""


class BrokenRecord(RegistryError):  # noqa: N818 - names what is wrong
    """A stored record cannot be read; somebody else wrote it, or a newer version did."""


class CannotDecrypt(RegistryError):  # noqa: N818 - names what is wrong
    """No key of B24PAY_SECRET_KEYS opens the stored credential, or the record was altered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPortal:
    """What may be shown of a stored portal; made without any key."""

    key: str
    version: int
    endpoint: str
    user_id: int | None  # of a webhook; None for an application
    member_id: str | None
    limits: PortalLimits
    plan: str | None


@dataclass(frozen=True, slots=True)
class _Cached:
    raw: str
    portal: Portal
    checked_at: float


class PortalRegistry:
    """Stores portals and hands them to drivers; one per process, because `get` remembers for two seconds."""

    def __init__(
        self, redis: Redis, secret_keys: Sequence[str | HiddenText], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._redis = redis
        self._fernet = fernet_of(secret_keys)
        self._first = fernet_of(secret_keys[:1])
        self._clock = clock
        self._cache: dict[str, _Cached] = {}
        self._put = redis.register_script(_lua("put_portal"))
        self._remove = redis.register_script(_lua("remove_portal"))

    async def put(self, portal: Portal, *, moved: bool = False, over: int | None = None) -> int:
        """Store or replace a portal in one atomic step and return its version.

        `moved` allows a stored key to change its address (the same portal, renamed); `over` is the version that may be
        replaced. Raises PortalExists, PortalRemembered, SecretKeyMissing, Outdated.
        """
        record = json.dumps(_record(portal, self._sealed(portal)), separators=(",", ":"))
        flags = "1" if moved else "0", "" if over is None else str(over)
        version, other = cast(
            "tuple[int, str | bytes]",
            await self._put(
                keys=[_PORTALS, _ADDRESSES, _VERSIONS, _REMOVED], args=[portal.key, record, *flags, *_addresses(portal)]
            ),
        )
        self._cache.pop(portal.key, None)
        if version == -4:  # noqa: PLR2004 - the script's answers
            raise Outdated(f"the portal {portal.key} was changed meanwhile")
        if version == 0:
            name = _text(other)
            raise PortalExists(f"this portal is already configured under the key {name}: use it, or remove it", name)
        if version == -2:  # noqa: PLR2004 - the script's answers
            name = _text(other)
            text = f"the payments of this portal are remembered under the key {name}: add it under that key again"
            raise PortalRemembered(text, name)
        if version == -3:  # noqa: PLR2004
            text = f"the key {portal.key} remembers the payments of another portal: use another key"
            raise PortalRemembered(text, portal.key)
        if version < 0:
            text = f"the key {portal.key} belongs to a portal with another address: use another key, or remove it"
            raise PortalExists(text, portal.key)
        return version

    async def get(self, key: str) -> Portal:
        """The portal with its credential, at most two seconds old.

        Raises UnknownPortal, SecretKeyMissing, CannotDecrypt.
        """
        cached = self._cache.get(key)
        if cached is not None and self._clock() - cached.checked_at < _CACHE_S:
            return cached.portal
        return await self.newest(key)

    async def newest(self, key: str) -> Portal:
        """The portal as it is stored now; raises as `get` does."""
        cached = self._cache.get(key)
        asked_at = self._clock()
        raw = await self._raw(key)
        portal = cached.portal if cached is not None and cached.raw == raw else self._open(key, raw)
        self._cache[key] = _Cached(raw, portal, asked_at)
        return portal

    async def list(self) -> "list[StoredPortal]":
        """Every portal in the order of keys; never decrypts, so it needs no secret key."""
        stored = await self._redis.hgetall(_PORTALS)
        return sorted((_stored(_text(key), _text(raw)) for key, raw in stored.items()), key=lambda each: each.key)

    async def show(self, key: str) -> StoredPortal:
        """What may be shown of one portal; raises UnknownPortal."""
        return _stored(key, await self._raw(key))

    async def some(self, keys: Sequence[str]) -> Sequence[StoredPortal]:
        """What may be shown of these portals, in one round trip; one that is unknown or unreadable is left out."""
        raws = await self._redis.hmget(_PORTALS, list(keys)) if keys else []
        shown = (_readable(key, _text(raw)) for key, raw in zip(keys, raws, strict=True) if raw is not None)
        return [portal for portal in shown if portal is not None]

    async def remove(self, key: str, *, remembered_s: float = 0.0) -> bool:
        """Forget a portal; False where there was none. Its lane is the caller's to look at first.

        For `remembered_s`, as long as its finished payments are known, neither its key nor its address is given to
        another: an invoice that was paid under this key would be unknown under the next one.
        """
        removed = await self._remove(keys=[_PORTALS, _ADDRESSES, _REMOVED], args=[key, round(remembered_s * 1000)])
        self._cache.pop(key, None)
        return bool(removed)

    async def reseal(self, *, dry_run: bool = False) -> Mapping[str, Resealed]:
        """Seal every credential anew with the first key; what became of each portal's, in the order of keys.

        Safe beside anybody who stores at the same moment. Raises SecretKeyMissing.
        """
        if self._fernet is None or self._first is None:
            raise SecretKeyMissing("B24PAY_SECRET_KEYS is not set: no credential can be opened")
        keys = Keys(every=self._fernet, first=self._first)
        return await Resealing(self._redis, _PORTALS, keys).run(dry_run=dry_run)

    async def _raw(self, key: str) -> str:
        raw = await self._redis.hget(_PORTALS, key)
        if raw is None:
            self._cache.pop(key, None)
            raise UnknownPortal(f"there is no portal {key}: add it with `b24pay portal add {key}`")
        return _text(raw)

    def _sealed(self, portal: Portal) -> Mapping[str, str]:
        """The credential as a field of the record."""
        if self._fernet is None:
            raise SecretKeyMissing("B24PAY_SECRET_KEYS is not set: a credential is stored encrypted or not at all")
        name, plain = _plain(portal.credential)
        sealed = self._fernet.encrypt(json.dumps([portal.key, portal.endpoint, plain]).encode())
        return {name: sealed.decode()}

    def _open(self, key: str, raw: str) -> Portal:
        if self._fernet is None:
            raise SecretKeyMissing(f"B24PAY_SECRET_KEYS is not set: the credential of {key} cannot be read")
        stored, record = _stored(key, raw), json.loads(raw)
        name = _OAUTH if _OAUTH in record else _WEBHOOK
        sealed = _decrypted(self._fernet, str(record.get(name, "")))
        if sealed is None:
            raise CannotDecrypt(
                f"no key of B24PAY_SECRET_KEYS opens the credential of {key}: bring back the old key, or add the "
                "portal again"
            )
        sealed_key, sealed_endpoint, plain = json.loads(sealed)
        if (sealed_key, sealed_endpoint) != (key, stored.endpoint):
            raise CannotDecrypt(f"the record of {key} was altered outside of b24pay: add the portal again")
        return Portal(
            key=key,
            endpoint=stored.endpoint,
            credential=_credential(stored, plain),
            member_id=stored.member_id,
            limits=stored.limits,
            plan=stored.plan,
            version=stored.version,
        )


def _plain(credential: Credential) -> tuple[str, object]:
    """Under which name a credential stands, and what is sealed."""
    if isinstance(credential, Webhook):
        return _WEBHOOK, credential.code.reveal()
    return _OAUTH, {
        "client_id": credential.client_id,
        "client_secret": credential.client_secret.reveal(),
        "access_token": credential.access_token.reveal(),
        "refresh_token": credential.refresh_token.reveal(),
        "oauth_url": credential.oauth_url,
        "expires_at": credential.expires_at,
        "renew_at": credential.renew_at,
    }


def _credential(stored: StoredPortal, plain: Any) -> Credential:  # what `_plain` made
    if not isinstance(plain, dict):
        return Webhook(stored.user_id or 0, Secret(plain))
    return OAuth(
        client_id=plain["client_id"],
        client_secret=Secret(plain["client_secret"]),
        access_token=Secret(plain["access_token"]),
        refresh_token=Secret(plain["refresh_token"]),
        oauth_url=plain["oauth_url"],
        expires_at=plain.get("expires_at"),
        renew_at=plain.get("renew_at"),
    )


def fernet_of(secret_keys: Sequence[str | HiddenText]) -> MultiFernet | None:
    """What seals and opens stored secrets, None without keys; raises SecretKeyMissing where one is unusable."""
    if not secret_keys:
        return None
    try:
        return MultiFernet([Fernet(key if isinstance(key, str) else key.get_secret_value()) for key in secret_keys])
    except ValueError:
        pass
    # Outside of the handler: the library's message may repeat the key.
    raise SecretKeyMissing("B24PAY_SECRET_KEYS has a key that is not 32 bytes in URL-safe base64")


def _decrypted(fernet: MultiFernet, token: str) -> bytes | None:
    try:
        return fernet.decrypt(token)
    except InvalidToken:
        return None


def _addresses(portal: Portal) -> "list[str]":
    member = [f"member:{portal.member_id.lower()}"] if portal.member_id else []
    return [f"host:{portal.host}", *member]


def _record(portal: Portal, sealed: Mapping[str, str]) -> Mapping[str, object]:
    limits = portal.limits
    # Written only where it is not the ten minutes, so that older releases can read every real portal.
    window = [limits.execution_window_s] if limits.execution_window_s != PortalLimits().execution_window_s else []
    return {
        "addresses": _addresses(portal),
        "endpoint": portal.endpoint,
        "user_id": portal.credential.user_id if isinstance(portal.credential, Webhook) else None,
        "member_id": portal.member_id,
        "limits": [limits.requests_per_second, limits.burst, limits.execution_seconds_per_10_min, *window],
        "plan": portal.plan,
        **sealed,
    }


def _stored(key: str, raw: str) -> StoredPortal:
    stored = _readable(key, raw)
    if stored is None:
        raise BrokenRecord(f"the record of {key} cannot be read: remove the portal and add it again")
    return stored


def _readable(key: str, raw: str) -> StoredPortal | None:
    try:
        record = json.loads(raw)
        rate, burst, execution_s, *window = record["limits"]
        limits = PortalLimits(requests_per_second=rate, burst=burst, execution_seconds_per_10_min=execution_s)
        if window:
            limits = replace(limits, execution_window_s=window[0])
        public = {name: record[name] for name in ("version", "endpoint", "user_id", "member_id", "plan")}
        return StoredPortal(key=key, limits=limits, **public)
    except (ValueError, KeyError, TypeError):
        return None


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _lua(name: str) -> str:
    return Path(__file__).with_name(f"{name}.lua").read_text(encoding="utf-8")
