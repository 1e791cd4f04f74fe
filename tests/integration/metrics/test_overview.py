"""The ledger at a glance, on a real server: every payment is counted once, and the oldest is found."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis

from bitrix24.registry import PortalRegistry
from config.connections import async_redis_client
from ledger.payment import PortalKey, State
from ledger.redis import RedisLedger, overview
from ledger.redis.overview import LaneOverview, Overview
from ledger.redis.scripts import PREFIX
from metrics.life import FORGOTTEN_S, Condition, SignsOfLife
from metrics.showing import shown
from metrics.standing import Looks
from metrics.table import TOP_LANES
from tests.canaries import SECRET_KEY
from tests.conformance.ledger.server import _SCRIPTS, ServerWorld
from tests.conformance.ledger.world import (
    LOST,
    PAID,
    PORTAL,
    QUIET_S,
    REFUSED,
    accepted,
    an_ask,
    claimed,
    die_twice,
    ended,
    settle,
)

TOP = 3


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Redis]:
    """A client that decodes nothing, as a web process has it."""
    async with async_redis_client(redis_url, max_connections=20, decode_responses=False) as client:
        yield client


@pytest.fixture
def looking(client: Redis) -> Overview:
    """The glance, on the same clock."""
    return Overview(client, most=TOP, scripts=_SCRIPTS)


async def glance(looking: Overview, portal: str = PORTAL) -> LaneOverview:
    """One lane of those that are told one by one."""
    [lane] = [lane for lane in (await looking.lanes()).first if lane.portal == portal]
    return lane


async def test_an_empty_ledger_has_an_empty_rest(world: ServerWorld, looking: Overview):
    """Nothing is missing, so that no series begins with the first payment."""
    seen = await looking.lanes()
    assert (seen.lanes, list(seen.first), seen.held) == (0, [], {})
    assert seen.rest == LaneOverview("other")


async def test_lanes_with_the_most_open_payments_come_first(world: ServerWorld, looking: Overview):
    """All others are one lane: its counts are their sum, its ages their greatest."""
    for number in range(1, 8):
        await world.pass_time(10)
        portal = PortalKey(f"p{number}")
        await world.ledger.add_lane(portal)
        await world.ledger.open([an_ask(f"{portal}-{n}", portal=portal, invoice_id=n) for n in range(1, number + 1)])
    seen = await looking.lanes()
    assert (seen.lanes, [lane.portal for lane in seen.first]) == (7, ["p7", "p6", "p5"])
    assert [lane.waiting_s for lane in seen.first] == [0, 10, 20]
    assert seen.rest.counts[State.QUEUED] == 1 + 2 + 3 + 4
    assert seen.rest.waiting_s == 60


async def test_lanes_of_several_steps_are_put_together(
    world: ServerWorld, looking: Overview, monkeypatch: pytest.MonkeyPatch
):
    """What one step told as a first lane is part of the rest where others have more."""
    monkeypatch.setattr(overview, "LANES_AT_ONCE", 2)
    for number in range(1, 8):
        portal = PortalKey(f"p{number}")
        await world.ledger.add_lane(portal)
        await world.ledger.open([an_ask(f"{portal}-{n}", portal=portal, invoice_id=n) for n in range(1, number + 1)])
        await world.ledger.hold(portal, "OPERATOR" if number % 2 else "REVOKED", "a test")
    seen = await looking.lanes()
    assert [lane.portal for lane in seen.first] == ["p7", "p6", "p5"]
    assert seen.rest.counts[State.QUEUED] == 1 + 2 + 3 + 4
    assert seen.held == {"OPERATOR": 4, "REVOKED": 3}


async def test_a_portal_named_like_the_rest_is_part_of_it(world: ServerWorld, looking: Overview):
    """Two series of one name would be one lie."""
    await accepted(world, "h1", "h2", portal="other")
    seen = await looking.lanes()
    assert [lane.portal for lane in seen.first] == []
    assert (seen.rest.portal, seen.rest.counts[State.QUEUED]) == ("other", 2)


async def test_every_state_is_counted(world: ServerWorld, looking: Overview):
    """One payment each: paid, in doubt, sending, queued, withdrawn."""
    await ended(world, PAID, "h1")
    await world.ledger.open([an_ask("h2", invoice_id=2)])
    [lease], _ = await world.ledger.take("driver", 1)
    claim = await world.ledger.claim(lease, 1)
    await settle(world, lease, claim.payments, LOST)
    await world.ledger.open([an_ask(f"h{n}", invoice_id=n) for n in (3, 4, 5)])
    await world.ledger.claim(lease, 1)
    await world.ledger.cancel("h4")
    counts = (await glance(looking)).counts
    assert counts == {**dict.fromkeys(State, 1), State.FAILED: 0}


async def test_withdrawn_payments_do_not_wait(world: ServerWorld, looking: Overview):
    """Their names may stand at the head of the queue still."""
    await accepted(world, "h1", "h2")
    await world.pass_time(50)
    await world.ledger.open([an_ask("h3", invoice_id=3)])
    await world.pass_time(5)
    await world.ledger.cancel("h1")
    await world.ledger.cancel("h2")
    assert (await glance(looking)).waiting_s == 5


async def test_a_suspect_waits_too(world: ServerWorld, looking: Overview):
    """It stands in a list of its own."""
    await accepted(world, "h1")
    await die_twice(world)
    lane = await glance(looking)
    assert (lane.counts[State.QUEUED], lane.waiting_s) == (1, 2 * QUIET_S)


async def test_the_oldest_doubt_is_found(world: ServerWorld, looking: Overview):
    """Its age counts from the sending."""
    lease, payments = await claimed(world, "h1")
    await world.pass_time(4)
    await settle(world, lease, payments, LOST)
    await world.pass_time(30)
    lane = await glance(looking)
    assert (lane.waiting_s, lane.in_doubt_s) == (0, 34)


async def test_a_retry_that_is_read_first_waits(world: ServerWorld, looking: Overview):
    """It stands among the doubts, and is none."""
    await ended(world, REFUSED, "h1")
    await world.pass_time(20)
    await world.ledger.retry("h1")
    lane = await glance(looking)
    assert (lane.counts[State.QUEUED], lane.in_doubt_s) == (1, 0)
    assert lane.waiting_s == 20


async def test_a_look_writes_nothing(world: ServerWorld, looking: Overview, client: Redis):
    """Nor does it take an expired payment out of the counts, which is an operator's look's to do."""
    await ended(world, PAID, "h1")
    before = await client.info("persistence")
    changes = before["rdb_changes_since_last_save"]
    await looking.lanes()
    await looking.owed()
    assert (await client.info("persistence"))["rdb_changes_since_last_save"] == changes


async def test_owed_results_are_counted(world: ServerWorld, client: Redis, looking: Overview):
    """With the age of the oldest."""
    assert (await looking.owed()).oldest_s == 0
    await ended(world, PAID, "h1", "h2")
    seconds, _ = await client.time()
    await client.zadd(PREFIX + "out", {"h1": (seconds - 40) * 1000, "h2": seconds * 1000})
    await client.zadd(PREFIX + "cb-pending", {"event": (seconds - 90) * 1000})
    owed = await looking.owed()
    assert (owed.results, owed.callbacks, owed.callbacks_failed) == (2, 1, 0)
    assert 39 <= owed.oldest_s <= 45
    assert 89 <= owed.callbacks_oldest_s <= 95


async def test_signs_of_life_are_said_and_read(client: Redis):
    """A worker that stops in order is not missed."""
    signs = SignsOfLife(client)
    await signs.say("one@here", hindrance=None, pid=1, metrics="127.0.0.1:9464")
    await signs.say("two@here", hindrance="it is stopping", pid=2, metrics=None)
    one, two = await signs.all()
    assert (one.node, one.condition, one.metrics) == ("one@here", Condition.CONSUMING, "127.0.0.1:9464")
    assert (two.node, two.condition, two.hindrance) == ("two@here", Condition.HINDERED, "it is stopping")
    await signs.leave("two@here")
    assert [sign.node for sign in await signs.all()] == ["one@here"]


async def test_a_silent_worker_is_missed_for_some_minutes(client: Redis):
    """Whoever lives forgets those that are long gone; what nobody can read hurts nobody."""
    signs, key = SignsOfLife(client), "b24pay:{0}:life"
    seconds, _ = await client.time()

    async def said_before(node: str, ago_s: float) -> None:
        await client.hset(key, node, f'{{"v":1,"at":{round((seconds - ago_s) * 1000)}}}')

    await asyncio.gather(said_before("hangs", 10), said_before("gone", FORGOTTEN_S + 5))
    await client.hset(key, mapping={"odd": "x", "odder": "5", "oddest": "[]", "empty": "{}"})
    assert [(sign.node, sign.condition) for sign in await signs.all()] == [("hangs", Condition.SILENT)]
    await signs.say("lives", hindrance=None, pid=1, metrics=None)
    assert sorted(await client.hkeys(key)) == [b"hangs", b"lives"]


async def test_a_thousand_lanes_make_a_bounded_scrape(client: Redis):
    """The busiest have series of their own, all others one; nothing is left out of the sums."""
    ledger = RedisLedger(client, lease_s=75, retention_s=1000, max_attempts=5, quiet_s=135)
    portals = [PortalKey(f"p{number}") for number in range(1000)]
    await asyncio.gather(*map(ledger.add_lane, portals))
    await ledger.open(
        [
            an_ask(f"{portal}-{n}", portal=portal, invoice_id=n + 1)
            for portal in portals
            for n in range(1 + (portal == "p7"))
        ]
    )
    looks = Looks(client, None, PortalRegistry(client, [SECRET_KEY]))
    standing = await looks.look()
    families = {family.name: family for family in text_string_to_metric_families(shown(standing).decode())}
    queued = [sample for sample in families["b24pay_payments"].samples if sample.labels["state"] == "queued"]
    assert len(queued) == TOP_LANES + 1
    assert sum(sample.value for sample in queued) == 1001
    assert (queued[0].labels["portal"], queued[0].value) == ("p7", 2)
    assert sum(len(family.samples) for family in families.values()) < 500
    assert await looks.look() is standing, "whoever asks again within a second costs the server nothing"
