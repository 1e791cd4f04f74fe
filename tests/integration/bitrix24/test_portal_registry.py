"""The registry on a real server: one key per address, secrets sealed, changes seen soon."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import pytest
from cryptography.fernet import Fernet
from redis.asyncio import Redis

from bitrix24.portal import Portal, parse_portal
from bitrix24.registry import (
    BrokenRecord,
    CannotDecrypt,
    PortalExists,
    PortalRegistry,
    PortalRemembered,
    SecretKeyMissing,
    UnknownPortal,
)
from config.connections import async_redis_client

CODE = "canarycanary9secret"
KEY = Fernet.generate_key().decode()


class Clock:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(params=[False, True], ids=["bytes", "text"])
async def redis(redis_url: str, request: pytest.FixtureRequest) -> AsyncIterator[Redis]:
    """A client of an empty server, in both of redis-py's ways to answer."""
    async with async_redis_client(redis_url, max_connections=10, decode_responses=request.param) as client:
        yield client


@pytest.fixture
def registry(redis: Redis) -> PortalRegistry:
    """A registry with one secret key."""
    return PortalRegistry(redis, [KEY])


@pytest.fixture
def fresh(redis: Redis) -> Callable[..., PortalRegistry]:
    """Another process' registry on the same server."""
    return lambda *keys, **more: PortalRegistry(redis, keys or (KEY,), **more)


def a_portal(key: str = "acme", host: str = "acme.bitrix24.com", code: str = CODE, **more: object) -> Portal:
    """A portal described as an operator would."""
    return parse_portal(key, {"webhook": f"https://{host}/rest/17/{code}/", **more})


async def test_what_was_stored_is_found(registry: PortalRegistry, fresh: Callable[..., PortalRegistry]):
    """Every field comes back in another process, the secret with them."""
    portal = a_portal(plan="enterprise", limits={"burst": 7, "requests_per_second": 1.5}, member_id="AbC0")
    await registry.put(portal)
    assert await fresh().get("acme") == portal


async def test_the_server_never_sees_the_secret(registry: PortalRegistry, redis: Redis):
    """Neither a value nor a key of the database has the secret in clear."""
    await registry.put(a_portal())
    for key in await redis.keys("*"):
        name = key.decode() if isinstance(key, bytes) else key
        assert name.startswith("b24pay:{0}:")
        assert CODE not in f"{name} {await redis.hgetall(key)}"


@pytest.mark.parametrize(
    "host", ["acme.bitrix24.com", "ACME.Bitrix24.com", "acme.bitrix24.com:443", "acme.bitrix24.com."]
)
async def test_a_second_key_for_an_address_is_refused(registry: PortalRegistry, host: str):
    """Two keys for one host would be two lanes for one invoice; the refusal names the key in the way."""
    await registry.put(a_portal())
    with pytest.raises(PortalExists) as caught:
        await registry.put(a_portal("second", host))
    assert caught.value.other == "acme"
    assert [each.key for each in await registry.list()] == ["acme"]
    await registry.put(a_portal("third", "acme.bitrix24.com:8443"))


async def test_a_second_key_for_a_member_is_refused(registry: PortalRegistry):
    """A renamed portal is still the same member."""
    await registry.put(a_portal(member_id="AAAA"))
    with pytest.raises(PortalExists):
        await registry.put(a_portal("second", "renamed.bitrix24.com", member_id="aaaa"))


async def test_many_at_once_leave_one(registry: PortalRegistry, fresh: Callable[..., PortalRegistry]):
    """Fifty keys for one address at the same moment: one is stored, the others are told which."""
    registries = [fresh() for _ in range(8)]
    puts = [registries[n % 8].put(a_portal(f"key-{n}")) for n in range(50)]
    results = await asyncio.gather(*puts, return_exceptions=True)
    (kept,) = await registry.list()
    assert sorted(type(each).__name__ for each in results) == ["PortalExists"] * 49 + ["int"]
    assert {each.other for each in results if isinstance(each, PortalExists)} == {kept.key}


async def test_a_key_keeps_its_address_unless_it_moved(registry: PortalRegistry):
    """A lane with payments of one portal never becomes another portal's; a rename frees the old address."""
    await registry.put(a_portal())
    elsewhere = a_portal(host="renamed.bitrix24.com")
    with pytest.raises(PortalExists, match="another address"):
        await registry.put(elsewhere)
    await registry.put(elsewhere, moved=True)
    assert (await registry.get("acme")).host == "renamed.bitrix24.com"
    await registry.put(a_portal("second"))


async def test_a_removed_portal_is_remembered_with_its_payments(registry: PortalRegistry):
    """Its paid invoices are known under its key alone: neither key nor address goes to another, until they fade."""
    await registry.put(a_portal())
    assert await registry.remove("acme", remembered_s=1000)
    with pytest.raises(PortalRemembered) as caught:
        await registry.put(a_portal("second"))
    assert caught.value.other == "acme"
    with pytest.raises(PortalRemembered):
        await registry.put(a_portal(host="other.bitrix24.com"))
    await registry.put(a_portal())
    assert await registry.remove("acme", remembered_s=-1)
    await registry.put(a_portal("second"))
    await registry.put(a_portal(host="other.bitrix24.com"))


async def test_removing_frees_the_address_and_versions_go_on(registry: PortalRegistry):
    """A removed portal is unknown, its address is free, and a later record is newer than any before."""
    assert await registry.put(a_portal()) == 1
    assert await registry.put(a_portal()) == 2
    assert await registry.remove("acme")
    assert not await registry.remove("acme")
    with pytest.raises(UnknownPortal):
        await registry.get("acme")
    await registry.put(a_portal("second"))
    await registry.remove("second")
    assert await registry.put(a_portal()) == 3


async def test_listing_needs_no_key(registry: PortalRegistry, fresh: Callable[..., PortalRegistry], redis: Redis):
    """What may be shown is shown without opening anything."""
    await registry.put(a_portal("b", "b.bitrix24.com"))
    await registry.put(a_portal("a", "a.bitrix24.com"))
    without = PortalRegistry(redis, [])
    assert [(each.key, each.user_id, each.version) for each in await without.list()] == [("a", 17, 1), ("b", 17, 1)]
    assert (await without.show("b")).endpoint == "https://b.bitrix24.com/rest/"
    with pytest.raises(SecretKeyMissing):
        await without.get("a")
    with pytest.raises(SecretKeyMissing):
        await without.put(a_portal("c", "c.bitrix24.com"))


async def test_keys_are_rotated(registry: PortalRegistry, fresh: Callable[..., PortalRegistry]):
    """The first key seals, all open; without the old key there is a clear error instead of a portal."""
    await registry.put(a_portal())
    new = Fernet.generate_key().decode()
    assert (await fresh(new, KEY).get("acme")).credential.code.reveal() == CODE
    with pytest.raises(CannotDecrypt, match="acme") as caught:
        await fresh(new).get("acme")
    assert CODE not in str(caught.value)
    await fresh(new, KEY).put(await fresh(KEY).get("acme"))
    assert (await fresh(new).get("acme")).credential.code.reveal() == CODE


async def test_a_bad_key_is_named_without_being_shown(redis: Redis):
    """A key that is none is refused when the registry is made, and nothing behind the error shows it."""
    with pytest.raises(SecretKeyMissing) as caught:
        PortalRegistry(redis, ["not-a-key"])
    assert "not-a-key" not in str(caught.value)
    assert caught.value.__context__ is None


async def test_a_record_that_was_edited_gives_no_credential(
    registry: PortalRegistry, fresh: Callable[..., PortalRegistry], redis: Redis
):
    """Who can write to Redis cannot send the credential to another host, nor swap the credentials of two portals."""
    await registry.put(a_portal("a", "a.bitrix24.com"))
    await registry.put(a_portal("b", "b.bitrix24.com"))
    raw = await redis.hget("b24pay:{0}:portals", "a")
    record = json.loads(raw or b"")
    for edited in (
        {**record, "endpoint": "https://evil.example/rest/"},
        {**record, "endpoint": "https://b.bitrix24.com/rest/"},
    ):
        await redis.hset("b24pay:{0}:portals", "a", json.dumps(edited))
        with pytest.raises(CannotDecrypt, match="altered"):
            await fresh().get("a")


@pytest.mark.parametrize("raw", ["", "{", "[]", "{}", '{"version": 1}', "null"])
async def test_a_broken_record_is_said_to_be_broken(registry: PortalRegistry, redis: Redis, raw: str):
    """A record that cannot be read is an error that says what to do."""
    await redis.hset("b24pay:{0}:portals", "acme", raw)
    with pytest.raises(BrokenRecord, match="acme"):
        await registry.get("acme")


async def test_a_change_is_seen_within_two_seconds(fresh: Callable[..., PortalRegistry]):
    """Between looks a driver needs no round trip; a changed credential and a removal are seen at the next look."""
    clock = Clock()
    here, elsewhere = fresh(clock=clock), fresh()
    await elsewhere.put(a_portal())
    first = await here.get("acme")
    await elsewhere.put(a_portal(code="another0code"))
    clock.now = 1.9
    assert await here.get("acme") is first
    clock.now = 2.1
    assert (await here.get("acme")).credential.code.reveal() == "another0code"
    await elsewhere.remove("acme")
    clock.now = 4.2
    with pytest.raises(UnknownPortal):
        await here.get("acme")
