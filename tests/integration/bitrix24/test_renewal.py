"""Renewing tokens on a real server against the emulated token server: once, stored first, and never for another."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace

import pytest
from cryptography.fernet import Fernet
from redis.asyncio import Redis

from bitrix24.client import Client
from bitrix24.credentials import OAuth
from bitrix24.errors import Effect, NotSent, PortalError, Refused
from bitrix24.portal import Portal, parse_portal
from bitrix24.registry import Outdated, PortalRegistry
from bitrix24.renewal import Renewal
from bitrix24.secret import Secret
from config.connections import async_redis_client
from emulator.faults import read_fault
from emulator.server import RunningEmulator, running_emulator

KEY = Fernet.generate_key().decode()


@pytest.fixture
async def emulator() -> AsyncIterator[RunningEmulator]:
    """A portal with an application whose refresh tokens work once."""
    async with running_emulator({"template": {"plan": "none"}}) as running:
        yield running


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    """A client of an empty server."""
    async with async_redis_client(redis_url, max_connections=80, decode_responses=False) as client:
        yield client


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """A client that may talk to this machine."""
    async with Client(http_total_s=20, allow_insecure=True) as opened:
        yield opened


@pytest.fixture
def process(redis: Redis, client: Client) -> Callable[[], tuple[Renewal, PortalRegistry]]:
    """The parts of one process more."""

    def parts() -> tuple[Renewal, PortalRegistry]:
        registry = PortalRegistry(redis, [KEY])
        return Renewal(redis, registry, client, allow_insecure=True), registry

    return parts


Process = Callable[[], tuple[Renewal, PortalRegistry]]


async def stored(emulator: RunningEmulator, registry: PortalRegistry, **more: object) -> Portal:
    """A portal with a new chain of tokens, as the registry has it."""
    described = {**emulator.credential(emulator.authority), **more}
    await registry.put(parse_portal("acme", described, allow_insecure=True))
    return await registry.newest("acme")


def counted(emulator: RunningEmulator) -> tuple[int, int]:
    """Pairs that the token server gave, and what it refused."""
    counters = emulator.farm.portal(emulator.authority).tokens
    return counters.refreshed, counters.refused


async def test_thirty_two_processes_renew_once(emulator: RunningEmulator, process: Process, client: Client):
    """All of them go on with the same new tokens, and the portal accepts them."""
    emulator.farm.patch_oauth(emulator.authority, {"latency_s": 0.3})
    portal = await stored(emulator, process()[1])
    renewed = await asyncio.gather(*(process()[0].renew(portal) for _ in range(32)))
    assert counted(emulator) == (1, 0)
    [credential] = {each.credential for each in renewed}
    assert credential != portal.credential
    assert isinstance(credential, OAuth)
    assert credential.expires_at is not None
    assert await client.call(renewed[0], "scope")


async def test_who_comes_late_gets_what_is_stored(emulator: RunningEmulator, process: Process):
    """A token that was refused, but has been renewed meanwhile, costs no refresh."""
    renewal, registry = process()
    portal = await stored(emulator, registry)
    first = await renewal.renew(portal)
    assert await process()[0].renew(portal) == first
    assert counted(emulator) == (1, 0)


async def test_a_caller_that_is_cancelled_loses_no_tokens(emulator: RunningEmulator, process: Process):
    """A process that stops still stores what it has asked for."""
    renewal, registry = process()
    emulator.farm.patch_oauth(emulator.authority, {"latency_s": 0.3})
    portal = await stored(emulator, registry)
    caller = asyncio.create_task(renewal.renew(portal))
    await asyncio.sleep(0.15)
    caller.cancel()
    with suppress(asyncio.CancelledError):
        await caller
    await renewal.finish(10)
    assert (await registry.newest("acme")).credential != portal.credential
    assert counted(emulator) == (1, 0)


async def test_an_operators_credential_wins(emulator: RunningEmulator, process: Process):
    """It was stored while the token server thought; the renewed tokens of the old chain are not wanted any more."""
    renewal, registry = process()
    emulator.farm.patch_oauth(emulator.authority, {"latency_s": 0.3})
    portal = await stored(emulator, registry)
    renewing = asyncio.create_task(renewal.renew(portal))
    await asyncio.sleep(0.15)
    wanted = await stored(emulator, process()[1])
    assert (await renewing).credential == wanted.credential
    assert (await process()[1].newest("acme")).credential == wanted.credential


async def test_what_else_changed_meanwhile_stays(emulator: RunningEmulator, process: Process):
    """Other limits, say: the record keeps them, and the new tokens."""
    renewal, registry = process()
    emulator.farm.patch_oauth(emulator.authority, {"latency_s": 0.3})
    portal = await stored(emulator, registry)
    renewing = asyncio.create_task(renewal.renew(portal))
    await asyncio.sleep(0.15)
    await process()[1].put(replace(portal, plan="enterprise"))
    renewed = await renewing
    assert renewed.plan == "enterprise"
    assert renewed.credential != portal.credential


async def test_a_refused_token_is_read_again_before_that_is_believed(emulator: RunningEmulator, process: Process):
    """Somebody without our lock has renewed: what they stored is used."""
    renewal, registry = process()
    portal = await stored(emulator, registry)
    emulator.farm.patch_oauth(emulator.authority, {"latency_s": 0.3, "refresh_failure": "invalid_grant"})
    renewing = asyncio.create_task(renewal.renew(portal))
    await asyncio.sleep(0.15)
    theirs = replace(portal.credential, access_token=Secret("theirs-4711"), refresh_token=Secret("theirs-4712"))
    await process()[1].put(replace(portal, credential=theirs))
    assert (await renewing).credential == theirs


async def test_a_dead_chain_is_a_persons_business(emulator: RunningEmulator, process: Process):
    """The error says what to do and shows no token; the lock is free again."""
    renewal, registry = process()
    portal = await stored(emulator, registry)
    emulator.farm.oauth.revoke(emulator.farm.portal(emulator.authority))
    for _ in range(2):
        with pytest.raises(Refused) as caught:
            await renewal.renew(portal)
        assert (caught.value.code, caught.value.meaning.effect) == ("INVALID_GRANT", Effect.HOLD)
        shown = f"{caught.value} {caught.value!r} {caught.value.meaning}"
        assert not [secret for secret in portal.credential.secrets if secret.reveal() in shown]


async def test_a_token_server_that_cannot_be_reached_may_pass(process: Process, client: Client):
    """Nothing left, nothing is lost: later."""
    renewal, registry = process()
    given = dict.fromkeys(("client_id", "client_secret", "access_token", "refresh_token"), "token-0815")
    dead = {**given, "endpoint": "http://127.0.0.1:9/rest/", "oauth_url": "http://127.0.0.1:9/oauth/token/"}
    await registry.put(parse_portal("acme", dead, allow_insecure=True))
    with pytest.raises(NotSent) as caught:
        await renewal.renew(await registry.newest("acme"))
    assert caught.value.meaning.effect is Effect.BACKOFF


async def test_tokens_of_another_portal_are_not_used(emulator: RunningEmulator, process: Process):
    """The member id says whose they are."""
    renewal, registry = process()
    portal = await stored(emulator, registry, member_id="0" * 32)
    with pytest.raises(PortalError) as caught:
        await renewal.renew(portal)
    assert (caught.value.code, caught.value.meaning.effect) == ("ANOTHER_PORTAL", Effect.HOLD)


async def test_the_member_id_is_learned(emulator: RunningEmulator, process: Process):
    """It survives a rename, and a second key for the same portal is refused by it."""
    renewal, registry = process()
    renewed = await renewal.renew(await stored(emulator, registry))
    assert renewed.member_id


@pytest.mark.parametrize("kind", ["reset", "empty", "truncated", "list", "502_html"])
async def test_a_lost_answer_is_asked_for_once_more(emulator: RunningEmulator, process: Process, kind: str):
    """With the same token; where the server gives the same pair again nothing is lost."""
    renewal, registry = process()
    emulator.farm.patch_oauth(emulator.authority, {"rotation": "grace"})
    portal = await stored(emulator, registry)
    rule = {"kind": kind, "method": "oauth.token", "place": "after", "count": 1}
    emulator.farm.faults.add(read_fault(rule, "fault"))
    renewed = await renewal.renew(portal)
    assert renewed.credential != portal.credential
    assert counted(emulator)[0] == 1


async def test_a_record_is_replaced_over_its_version_only(process: Process, emulator: RunningEmulator):
    """Who has read an older one is refused."""
    _, registry = process()
    portal = await stored(emulator, registry)
    await registry.put(portal)
    with pytest.raises(Outdated):
        await registry.put(portal, over=portal.version)
