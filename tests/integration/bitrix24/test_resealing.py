"""Sealing stored credentials anew: whatever is sealed, beside whoever stores, and never over a newer record."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from cryptography.fernet import Fernet
from redis.asyncio import Redis

from bitrix24.doors import Doors
from bitrix24.portal import Portal, parse_portal
from bitrix24.registry import CannotDecrypt, PortalRegistry, SecretKeyMissing
from bitrix24.resealing import Resealed
from config.connections import async_redis_client

PORTALS = "b24pay:{0}:portals"
OLD, NEW, LOST = (Fernet.generate_key().decode() for _ in range(3))


@pytest.fixture(params=[False, True], ids=["bytes", "text"])
async def redis(redis_url: str, request: pytest.FixtureRequest) -> AsyncIterator[Redis]:
    """A client of an empty server, in both of redis-py's ways to answer."""
    async with async_redis_client(redis_url, max_connections=10, decode_responses=request.param) as client:
        yield client


def a_portal(key: str, code: str = "c0de") -> Portal:
    """A portal under a host of its own."""
    return parse_portal(key, {"webhook": f"https://{key}.bitrix24.com/rest/17/{code}/"})


async def record_of(redis: Redis, key: str) -> dict[str, Any]:
    """A stored record."""
    record: dict[str, Any] = json.loads(await redis.hget(PORTALS, key) or "")
    return record


def code_of(portal: Any) -> str:
    """The webhook's code of a portal."""
    return str(portal.credential.code.reveal())


async def test_every_credential_is_sealed_with_the_first_key(redis: Redis):
    """Each record says what it became; version and everything else of it stay as they were."""
    await PortalRegistry(redis, [OLD]).put(a_portal("a"))
    await PortalRegistry(redis, [NEW]).put(a_portal("b"))
    before = await record_of(redis, "a")
    both = PortalRegistry(redis, [NEW, OLD])
    assert await both.reseal(dry_run=True) == {"a": Resealed.ANEW, "b": Resealed.ALREADY}
    assert await record_of(redis, "a") == before
    assert await both.reseal() == {"a": Resealed.ANEW, "b": Resealed.ALREADY}
    after = await record_of(redis, "a")
    assert {**after, "secret": ""} == {**before, "secret": ""}
    assert list(after) == list(before), "the script that stores looks for the version in front"
    assert code_of(await PortalRegistry(redis, [NEW]).get("a")) == "c0de"
    with pytest.raises(CannotDecrypt):
        await PortalRegistry(redis, [OLD]).get("a")
    assert set((await both.reseal()).values()) == {Resealed.ALREADY}


async def test_what_is_sealed_need_not_be_understood(redis: Redis):
    """Any field that holds a sealed text keeps its bytes, under whatever name a later release stores it."""
    plain = [b'["a","https://a/",{"refresh_token":"r"}]', b"\x00\xff no text at all"]
    first, second = (Fernet(OLD).encrypt(each).decode() for each in plain)
    record = {"version": 3, "oauth": first, "another": second, "plan": None, "limits": [2, 50, 480]}
    await redis.hset(PORTALS, "a", json.dumps(record))
    assert await PortalRegistry(redis, [NEW, OLD]).reseal() == {"a": Resealed.ANEW}
    after = await record_of(redis, "a")
    assert [Fernet(NEW).decrypt(after[name]) for name in ("oauth", "another")] == plain
    assert {**after, "oauth": first, "another": second} == record


UNREADABLE = {
    "no JSON": "{",
    "a list": "[]",
    "nothing sealed": "{}",
    "cut off": '{"version": 1, "secret": "gAAAAAbroken"}',
    "a lost key": json.dumps({"version": 1, "secret": Fernet(LOST).encrypt(b"x").decode()}),
}


@pytest.mark.parametrize("raw", UNREADABLE.values(), ids=UNREADABLE)
async def test_what_cannot_be_opened_is_told_and_left(redis: Redis, raw: str):
    """The others are sealed anew all the same."""
    await redis.hset(PORTALS, "a", raw)
    await PortalRegistry(redis, [OLD]).put(a_portal("b"))
    assert await PortalRegistry(redis, [NEW, OLD]).reseal() == {"a": Resealed.NOT_OPENED, "b": Resealed.ANEW}
    left = await redis.hget(PORTALS, "a")
    assert (left.decode() if isinstance(left, bytes) else left) == raw


async def test_an_open_door_is_sealed_anew_as_well(redis: Redis):
    """What an installation waits with is a secret too; a door that holds none is nothing to open."""
    sealed = Fernet(OLD).encrypt(b"plain").decode()
    await redis.hset("b24pay:{0}:doors", "a", json.dumps({"door": "x", "sealed": sealed}))
    await redis.hset("b24pay:{0}:doors", "b", json.dumps({"door": "y", "sealed": None}))
    assert await Doors(redis, [NEW, OLD]).reseal() == {"a": Resealed.ANEW, "b": Resealed.ALREADY}
    stored = json.loads(await redis.hget("b24pay:{0}:doors", "a") or "")
    assert Fernet(NEW).decrypt(stored["sealed"]) == b"plain"


async def test_without_a_key_nothing_is_tried(redis: Redis):
    """The error says which setting is missing."""
    with pytest.raises(SecretKeyMissing, match="B24PAY_SECRET_KEYS"):
        await PortalRegistry(redis, []).reseal()


async def test_a_newer_record_is_never_overwritten(redis: Redis):
    """Whoever stores between the look and the step wins, and its record is what is looked at next."""
    both, other = PortalRegistry(redis, [NEW, OLD]), PortalRegistry(redis, [OLD])
    await other.put(a_portal("a"))
    hget, times = redis.hget, 0

    async def overtaken(name: str, key: str) -> Any:
        nonlocal times
        raw = await hget(name, key)
        times += 1
        if times == 1:
            await other.put(a_portal("a", "newer"))
        if times == 2:
            await other.remove("a")
        return raw

    redis.hget = overtaken  # type: ignore[method-assign]
    assert await both.reseal() == {"a": Resealed.GONE}
    assert times == 3


APPLICATION = {
    "client_id": "app.1",
    "client_secret": "client-secret",
    "access_token": "an-access-token",
    "refresh_token": "a-refresh-token",
    "endpoint": "https://a.bitrix24.com/rest/",
    "oauth_url": "https://oauth.bitrix.info/oauth/token/",
}


async def test_a_rotation_in_the_middle_of_a_renewal_refuses_no_tokens(redis: Redis):
    """Who has read a version may replace it: new tokens are given once, and a rotation must not lose them."""
    renewing = PortalRegistry(redis, [NEW, OLD])
    await PortalRegistry(redis, [OLD]).put(parse_portal("a", APPLICATION))
    before = await renewing.newest("a")
    assert await renewing.reseal() == {"a": Resealed.ANEW}
    renewed = parse_portal("a", {**APPLICATION, "refresh_token": "the-next-one"})
    assert await renewing.put(renewed, over=before.version) == 2
    stored: Any = (await PortalRegistry(redis, [NEW]).get("a")).credential
    assert stored.refresh_token.reveal() == "the-next-one"


async def test_a_record_that_never_rests_is_told(redis: Redis):
    """The command ends, and says which."""
    both, other = PortalRegistry(redis, [NEW, OLD]), PortalRegistry(redis, [OLD])
    await other.put(a_portal("a"))
    hget = redis.hget

    async def restless(name: str, key: str) -> Any:
        raw = await hget(name, key)
        await other.put(a_portal("a", "newer"))
        return raw

    redis.hget = restless  # type: ignore[method-assign]
    assert await both.reseal() == {"a": Resealed.RESTLESS}


async def test_credentials_that_are_stored_at_the_same_moment_survive(redis: Redis):
    """A hundred rotations beside a hundred newer records: every portal ends with the last code that was stored."""
    storing, rotating = PortalRegistry(redis, [OLD]), PortalRegistry(redis, [NEW, OLD])

    async def store(key: str) -> None:
        for number in range(25):
            await storing.put(a_portal(key, f"code{number}"))

    async def rotate() -> None:
        for _ in range(100):
            await rotating.reseal()

    await asyncio.gather(*(store(key) for key in "abcd"), rotate())
    await rotating.reseal()
    reading = PortalRegistry(redis, [NEW])
    assert [code_of(await reading.get(key)) for key in "abcd"] == ["code24"] * 4
    assert {each.version for each in await reading.list()} == {25}
