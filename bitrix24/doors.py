"""
Doors for portals: an operator invites one, and its application's installation event brings the credential.

  b24pay:{0}:doors   hash  key -> JSON {door, expires_at, sealed, installed, uninstalled_at}; kept as long as the
                     portal that came in by it, and cleared away some time after it expired unused

The door's name is 32 random bytes in the address that is entered in Bitrix24; its hash alone is stored. It lets one
installation in. From then on it belongs to that installation, known by member id and application token: it hears when
the event is sent again, when the application is installed anew, and when it is removed.
"""

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import Enum, auto
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from redis.asyncio import Redis

from bitrix24.install_event import AppEvent, Grant
from bitrix24.invitation import Invitation
from bitrix24.registry import CannotDecrypt, HiddenText, SecretKeyMissing
from bitrix24.resealing import Keys, Resealed, Resealing
from bitrix24.secret import Secret

_DOORS: Final = "b24pay:{0}:doors"
_DAY_S: Final = 86_400
# An expired invitation is known for a month at least, so that whoever comes late is told so.
_KNOWN_S: Final = 30 * _DAY_S
# Storing a credential takes milliseconds after the claim; whoever has not done it by now has died.
_CLAIM_S: Final = 30.0
# The last pairs that came in: an event that is sent again days later is still known.
_PAIRS: Final = 20
_NOBODY: Final = hashlib.sha256(b"").hexdigest()  # compared with where there is no door, so that time tells nothing


class Standing(Enum):
    """What an installation event is to the door it came to."""

    FIRST = auto()  # the invitation's
    NEWER = auto()  # the same application, installed anew
    KNOWN = auto()  # sent again, or older than what is stored: nothing is to be done
    CLAIMED = auto()  # another process is storing a pair just now, this one or an older one
    ABANDONED = auto()  # another process has died storing this one
    EXPIRED = auto()  # the invitation's time is over


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """The installation a door belongs to. `pairs` are digests, the newest last; times are in epoch seconds."""

    member_id: str
    sent_at: float
    expires_at: float
    pairs: tuple[str, ...]
    over: int | None  # the portal's version before it; None where there was none
    claimed_at: float
    done: bool = False
    claim: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """One door as it was read; `raw` is what stands in Redis."""

    key: str
    invitation: Invitation
    expires_at: float
    installed: Installed | None
    uninstalled_at: float | None
    read_at: float
    raw: str

    def standing(self, grant: Grant) -> Standing:
        """What an installation event is to this door; its tokens tell its age, for a repeat is sent later."""
        installed = self.installed
        if installed is None:
            return Standing.FIRST if self.read_at < self.expires_at else Standing.EXPIRED
        is_last = grant.digest == installed.pairs[-1]
        if grant.expires_at < installed.expires_at or (grant.digest in installed.pairs and not is_last):
            return Standing.KNOWN
        if installed.done:
            return Standing.KNOWN if is_last else Standing.NEWER
        if self.read_at < installed.claimed_at + _CLAIM_S:
            return Standing.CLAIMED
        return Standing.ABANDONED if is_last else Standing.NEWER

    def is_from(self, event: AppEvent) -> bool:
        """Whether the event's application token is the known one; whoever comes first is believed where none is."""
        known = self.invitation.application_token
        if known is None:
            return self.installed is None and event.grant is not None
        return hmac.compare_digest(known.reveal().encode(), event.application_token.reveal().encode())

    def is_of(self, event: AppEvent) -> bool:
        """Whether the event is of the portal that was expected or has come in."""
        expected = self.installed.member_id if self.installed else self.invitation.member_id
        return expected is None or expected.lower() == event.member_id.lower()


class Doors:
    """The doors in Redis. Whatever seals or opens raises SecretKeyMissing without a key of B24PAY_SECRET_KEYS."""

    def __init__(self, redis: Redis, secret_keys: Sequence[str | HiddenText]) -> None:
        self._redis = redis
        self._secret_keys = secret_keys
        lua = Path(__file__).with_name("replace_door.lua").read_text(encoding="utf-8")
        self._replace = redis.register_script(lua)

    async def invite(self, key: str, invitation: Invitation, *, lives_s: float) -> tuple[str, float]:
        """Open a door in the place of the key's former one; its name, and when it closes in epoch seconds."""
        name = secrets.token_urlsafe(32)
        hashed = _hash(name)
        expires_at = await self._now() + lives_s
        record = {
            "door": hashed,
            "expires_at": expires_at,
            "sealed": self._sealed(key, hashed, invitation),
            "installed": None,
            "uninstalled_at": None,
        }
        await self._clear(before=expires_at - lives_s - _KNOWN_S)
        await self._redis.hset(_DOORS, key, json.dumps(record))
        return name, expires_at

    async def find(self, key: str, name: str) -> Door | None:
        """The door of this key and name; None where one of them is wrong. Raises CannotDecrypt."""
        raw = _text(await self._redis.hget(_DOORS, key))
        record: dict[str, Any] = json.loads(raw) if raw else {"door": _NOBODY}
        if not hmac.compare_digest(record["door"], _hash(name)):
            return None
        return Door(
            key=key,
            invitation=self._opened(key, record),
            expires_at=record["expires_at"],
            installed=_installed(record["installed"]),
            uninstalled_at=record["uninstalled_at"],
            read_at=await self._now(),
            raw=raw,
        )

    async def claim(self, door: Door, event: AppEvent, grant: Grant, over: int | None) -> Door | None:
        """Write down that this process stores the event's credential; None where somebody else was quicker."""
        before = door.installed
        installed = Installed(
            member_id=event.member_id,
            sent_at=event.sent_at,
            expires_at=grant.expires_at,
            pairs=(*(before.pairs if before else ()), grant.digest)[-_PAIRS:],
            over=over,
            claimed_at=door.read_at,
            claim=secrets.token_hex(8),
        )
        # Who came first is remembered as the one whose events count.
        invitation = replace(door.invitation, application_token=event.application_token)
        return await self._replaced(door, replace(door, installed=installed, invitation=invitation))

    async def stands(self, door: Door) -> bool:
        """Whether nobody has replaced the door since it was read or claimed."""
        return _text(await self._redis.hget(_DOORS, door.key)) == door.raw

    async def done(self, door: Door) -> Door | None:
        """Write down that the claimed credential is stored; None where somebody else has replaced the door."""
        if door.installed is None:
            raise ValueError(f"nothing was claimed at the door of {door.key}")
        return await self._replaced(door, replace(door, installed=replace(door.installed, done=True)))

    async def give_back(self, claimed: Door, before: Door) -> None:
        """Let the door be as it was before a claim that ended in a refusal."""
        await self._replaced(claimed, before)

    async def note_removal(self, door: Door, event: AppEvent) -> None:
        """Remember that the application was removed."""
        await self._replaced(door, replace(door, uninstalled_at=event.sent_at))

    async def close(self, key: str) -> bool:
        """Forget a key's door; False where there was none."""
        return bool(await self._redis.hdel(_DOORS, key))

    async def reseal(self, *, dry_run: bool = False) -> Mapping[str, Resealed]:
        """Seal every invitation anew with the first key, as `PortalRegistry.reseal` does; raises SecretKeyMissing."""
        keys = Keys(every=self._fernet, first=MultiFernet(self._each_key[:1]))
        return await Resealing(self._redis, _DOORS, keys, may_be_empty=True).run(dry_run=dry_run)

    async def _replaced(self, before: Door, after: Door) -> Door | None:
        record: dict[str, Any] = json.loads(before.raw)
        record |= {
            "sealed": self._sealed(after.key, record["door"], after.invitation),
            "installed": asdict(after.installed) if after.installed else None,
            "uninstalled_at": after.uninstalled_at,
        }
        raw = json.dumps(record)
        if await self._replace(keys=[_DOORS], args=[after.key, before.raw, raw]):
            return replace(after, raw=raw)
        return None

    async def _clear(self, before: float) -> None:
        """Forget invitations that nobody has used and that expired before this time."""
        for key, raw in (await self._redis.hgetall(_DOORS)).items():
            record = json.loads(raw)
            if record["installed"] is None and record["expires_at"] < before:
                await self._replace(keys=[_DOORS], args=[key, raw, ""])

    @cached_property
    def _each_key(self) -> list[Fernet]:
        if not self._secret_keys:
            raise SecretKeyMissing("B24PAY_SECRET_KEYS is not set: an invitation is stored encrypted or not at all")
        return [Fernet(key if isinstance(key, str) else key.get_secret_value()) for key in self._secret_keys]

    @cached_property
    def _fernet(self) -> MultiFernet:
        return MultiFernet(self._each_key)

    async def _now(self) -> float:
        """The server's time: one for all processes and machines."""
        seconds, microseconds = await self._redis.time()
        return seconds + microseconds / 1e6

    def _sealed(self, key: str, hashed: str, invitation: Invitation) -> str:
        """Sealed together with the door it belongs to, so that an edited record does not open."""
        token = invitation.application_token
        plain = {
            "client_id": invitation.client_id,
            "client_secret": invitation.client_secret.reveal(),
            "application_token": token.reveal() if token else None,
            "member_id": invitation.member_id,
            "host": invitation.host,
            "described": dict(invitation.described),
        }
        return self._fernet.encrypt(json.dumps([key, hashed, plain]).encode()).decode()

    def _opened(self, key: str, record: Mapping[str, Any]) -> Invitation:
        plain = self._decrypted(record["sealed"])
        if plain is None or plain[:2] != [key, record["door"]]:
            raise CannotDecrypt(f"no key of B24PAY_SECRET_KEYS opens the invitation of {key}: bring back the old key")
        fields = dict(plain[2])
        token = fields.pop("application_token")
        client_secret = Secret(fields.pop("client_secret"))
        return Invitation(client_secret=client_secret, application_token=Secret(token) if token else None, **fields)

    def _decrypted(self, sealed: str) -> list[Any] | None:
        try:
            opened: list[Any] = json.loads(self._fernet.decrypt(sealed))
        except InvalidToken:
            return None
        return opened


def _installed(record: Mapping[str, Any] | None) -> Installed | None:
    return Installed(**{**record, "pairs": tuple(record["pairs"])}) if record else None


def _text(value: str | bytes | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()
