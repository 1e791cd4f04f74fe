"""Payments are found by whatever a person has of them, on a real server."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from config.connections import async_redis_client
from ledger.callbacks import CallbackState, Delivered
from ledger.payment import Destination, PortalKey
from ledger.redis.lookups import LANES_AT_ONCE, Beside, Lookups
from tests.conformance.ledger.server import _SCRIPTS, ServerWorld
from tests.conformance.ledger.world import (
    PAID,
    PORTAL,
    REFUSED,
    accepted,
    an_ask,
    ended,
    open_one,
    settle,
    take_one,
)

SHOP = Destination("shop.example", "https://shop.example/paid?secret=1")


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Redis]:
    """A client that decodes nothing, as a web process has it."""
    async with async_redis_client(redis_url, max_connections=20, decode_responses=False) as client:
        yield client


@pytest.fixture
def lookups(client: Redis) -> Lookups:
    """On the same clock."""
    return Lookups(client, scripts=_SCRIPTS)


async def test_an_id_a_handle_and_a_key_lead_to_the_payment(world: ServerWorld, lookups: Lookups):
    """And nothing else does; one that is its own id and key is shown once."""
    await world.ledger.add_lane(PORTAL)
    await open_one(world, "h1", idempotency_key="the key")
    await open_one(world, "h2")
    for text in ("h1", "h2", "the key"):
        assert [row.id for row in await lookups.named(text)] == ["h1"]
    assert await lookups.named("h3") == []
    await open_one(world, "h4", invoice_id=4, idempotency_key="h1")
    assert [row.id for row in await lookups.named("h1")] == ["h1", "h4"]


async def test_an_invoice_is_found_in_every_portal(world: ServerWorld, lookups: Lookups):
    """However many there are."""
    names = [f"p{n:04}" for n in range(LANES_AT_ONCE + 2)]
    for name in (names[0], names[-1]):
        await accepted(world, f"of-{name}", portal=name)
    assert [row.id for row in await lookups.invoice(1, names)] == [f"of-{names[0]}", f"of-{names[-1]}"]
    assert await lookups.invoice(2, names) == []
    assert await lookups.invoice(1, []) == []


async def test_what_is_kept_beside_a_payment(world: ServerWorld, lookups: Lookups):
    """Its other names, and who is told of its end; the address, whose query may be a secret, is nobody's to see."""
    assert await lookups.beside("h1") == Beside()
    await world.ledger.add_lane(PORTAL)
    await world.ledger.open([an_ask("h1", callback=SHOP, idempotency_key="own")])
    await open_one(world, "h2", idempotency_key="other")
    before = await lookups.beside("h2")
    assert (before.handles, before.keys, before.names) == (["h2"], ["other"], 2)
    [told] = before.told
    assert (told.handle, told.host, told.state) == ("h1", "shop.example", None)
    assert "secret" not in repr(before)
    lease = await take_one(world)
    await settle(world, lease, (await world.ledger.claim(lease, 1)).payments, PAID)
    [told] = (await lookups.beside("h1")).told
    assert (told.state, told.attempts) == (CallbackState.PENDING, 0)
    [callback], _ = await world.ledger.callbacks.take(1, per_host=1, lease_s=10, rooms={})
    assert callback.id == told.event
    await world.ledger.callbacks.told(callback, Delivered("HTTP 204"))
    [told] = (await lookups.beside("h1")).told
    assert (told.state, told.attempts, told.remark) == (CallbackState.DELIVERED, 1, "HTTP 204")
    assert told.tried_at is not None


async def test_names_are_bounded(world: ServerWorld, lookups: Lookups):
    """A request that was repeated a thousand times has as many names; a page shows some and says how many."""
    await world.ledger.add_lane(PORTAL)
    for n in range(70):
        await open_one(world, f"h{n:02}", portal=PortalKey(PORTAL))
    beside = await lookups.beside("h00")
    assert (len(beside.handles), beside.names) == (50, 69)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 8, 20])
async def test_what_has_ended_lately_is_counted(world: ServerWorld, lookups: Lookups, count: int):
    """Paid and failed, and nothing that ended before."""
    await ended(world, PAID, "old-1", "old-2")
    await world.pass_time(400)
    asks = [an_ask(f"h{n}", invoice_id=10 + n) for n in range(count + 1)]
    await world.ledger.open(asks)
    lease = await take_one(world)
    claim = await world.ledger.claim(lease, count + 1)
    await settle(world, lease, claim.payments[:count], PAID)
    await settle(world, lease, claim.payments[count:], REFUSED)
    assert await lookups.ended([PORTAL, "nobody"], 300) == {PORTAL: count + 1, "nobody": 0}
    await world.pass_time(301)
    assert await lookups.ended([PORTAL], 300) == {PORTAL: 0}
    assert await lookups.ended([], 300) == {}
