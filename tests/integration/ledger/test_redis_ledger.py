"""The Redis ledger on a real server: the conformance suite, and what only a server can show."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import cast

import pytest
from redis import Redis as SyncRedis
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from config.connections import async_redis_client, redis_client
from ledger.ledger import Accepted, Held, Joined
from ledger.payment import State
from ledger.redis import ProducerLedger, RedisLedger, UnknownSchema
from ledger.redis.scripts import PREFIX, load_scripts
from ledger.redis.steps import OPEN_CHUNK
from tests.conformance.ledger.server import ServerWorld
from tests.conformance.ledger.suite import LedgerSuite
from tests.conformance.ledger.world import PAID, PORTAL, accepted, an_ask, claimed, ended, open_one, settle, take_one
from tests.eventually import eventually


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Redis]:
    """A client with a connection for each of the coroutines that ask together."""
    async with async_redis_client(redis_url, max_connections=100, decode_responses=True) as client:
        yield client


class TestRedis(LedgerSuite):
    """Every claim of the suite holds on a real server."""


def a_ledger(client: Redis, **changes: object) -> RedisLedger:
    """A ledger on the server's own clock."""
    plain: dict[str, object] = {"lease_s": 75, "retention_s": 1000, "max_attempts": 5, "quiet_s": 135}
    return RedisLedger(client, **(plain | changes))  # type: ignore[arg-type]  # the tests name real fields


async def test_a_lease_runs_out_by_the_servers_clock(client: Redis):
    """Nobody's own clock decides who drives a lane."""
    ledger = a_ledger(client, lease_s=0.2)
    await ledger.add_lane(PORTAL)
    await ledger.open([an_ask()])
    [first], wait_s = await ledger.take("first", 1)
    assert wait_s is not None
    assert 0 < wait_s <= 0.2
    [second] = await eventually(lambda: taken(ledger, "second"))
    assert second.fence > first.fence


async def taken(ledger: RedisLedger, owner: str) -> list[object]:
    """The leases that an owner gets now."""
    return list((await ledger.take(owner, 1))[0])


async def test_instants_are_the_servers_in_utc(client: Redis):
    """What is on record compares with any other aware instant."""
    ledger = a_ledger(client)
    await ledger.add_lane(PORTAL)
    seconds, _ = await client.time()
    [answer] = await ledger.open([an_ask()])
    assert isinstance(answer, Accepted)
    assert abs((answer.payment.enqueued_at - datetime.fromtimestamp(seconds, UTC)).total_seconds()) < 60


async def test_retention_is_expiry_by_the_server(client: Redis):
    """Nobody has to sweep: after the retention nothing of a finished payment is left, not even a key."""
    ledger = a_ledger(client, retention_s=0.05)
    await ledger.add_lane(PORTAL)
    await ledger.open([an_ask(idempotency_key="k"), an_ask("h2")])
    await ledger.cancel("h1")
    await eventually(lambda: gone(client, "p:h1", "k:k", "h:h2", "j:h1", f"i:{PORTAL}:0"))
    assert await ledger.find(["h1", "h2"]) == [None, None]
    await ledger.lanes()
    assert await client.exists(PREFIX + f"cancelled:{PORTAL}") == 0


async def gone(client: Redis, *names: str) -> bool:
    """Whether none of these keys is left."""
    return await client.exists(*(PREFIX + name for name in names)) == 0


async def test_a_lost_answer_to_take_is_asked_for_again(client: Redis):
    """Repeating a take under its name gives the same lanes; under a new name it gives none."""
    names = iter(["one", "one", "two"])
    ledger = a_ledger(client, request_name=lambda: next(names))
    for portal in ("a", "b"):
        await ledger.add_lane(portal)
        await ledger.open([an_ask(f"h-{portal}", portal=portal)])
    first = await ledger.take("driver", 2)
    again = await ledger.take("driver", 2)
    assert again[0] == first[0]
    assert len(again[0]) == 2
    assert (await ledger.take("driver", 2))[0] == []


class LossyClient:
    """A connection on which commands arrive but, while it is torn, no answer comes back."""

    def __init__(self, client: Redis) -> None:
        self.client = client
        self.torn = False

    def pubsub(self, **options: bool) -> object:
        return self.client.pubsub(**options)

    async def evalsha(self, _sha: str, *arguments: str) -> object:
        raise NoScriptError

    async def eval(self, *arguments: str) -> object:
        answer = await self.client.eval(*arguments)
        if self.torn:
            raise ConnectionResetError
        return answer


async def test_a_claim_whose_answer_was_lost_keeps_its_number(client: Redis):
    """The caller saw an error although the step was done: its next claim finds the same payments."""
    connection = LossyClient(client)
    ledger = a_ledger(cast("Redis", connection))
    await ledger.add_lane(PORTAL)
    await ledger.open([an_ask("h1"), an_ask("h2", invoice_id=2)])
    [lease], _ = await ledger.take("driver", 1)
    connection.torn = True
    with pytest.raises(ConnectionResetError):
        await ledger.claim(lease, 1)
    connection.torn = False
    assert [payment.id for payment in (await ledger.claim(lease, 1)).payments] == ["h1"]
    assert [payment.id for payment in (await ledger.claim(lease, 1)).payments] == ["h2"]


async def test_an_emptied_script_cache_costs_nothing(world: ServerWorld, client: Redis):
    """A server that forgot the scripts, by a restart or a flush, is told them again."""
    await accepted(world, "h1")
    await client.script_flush()
    assert isinstance(await open_one(world, "h2"), Joined)


async def test_bytes_and_text_clients_read_the_same(world: ServerWorld, redis_url: str):
    """Whether the client decodes replies is its owner's business."""
    await ended(world, PAID, "h1", "h2")
    async with async_redis_client(redis_url, max_connections=2, decode_responses=False) as other:
        assert await a_ledger(other).find(["h1", "h2"]) == await world.ledger.find(["h1", "h2"])


def test_a_synchronous_producer_writes_the_same_ledger(redis_url: str):
    """`open` and `find` work without an event loop, in any number."""
    with redis_client(redis_url, decode_responses=False) as client:
        producer = ProducerLedger(client)
        producer.check_schema()
        client.sadd(PREFIX + "lanes", PORTAL)
        answers = producer.open([an_ask(f"h{n}", invoice_id=n) for n in range(1, 501)])
        assert all(isinstance(answer, Accepted) for answer in answers)
        found = producer.find(["h500", "nobody"])
        assert found == [answers[-1].payment, None]
        assert producer.open([]) == producer.find([]) == []


LARGE = range(1, 3 * OPEN_CHUNK + 2)


@pytest.fixture
def producer(redis_url: str) -> Iterator[tuple[ProducerLedger, SyncRedis]]:
    """A synchronous producer, its lane, and a client that is not its own."""
    with (
        redis_client(redis_url, decode_responses=False) as own,
        redis_client(redis_url, decode_responses=True) as other,
    ):
        other.sadd(PREFIX + "lanes", PORTAL)
        yield ProducerLedger(own), other


def opened_in_order(producer: ProducerLedger, other: SyncRedis) -> bool:
    """Whether a call of several steps made one payment a request, and queued them in their order."""
    answers = producer.open([an_ask(f"h{n}", invoice_id=n) for n in LARGE])
    handles = [f"h{n}" for n in LARGE]
    assert [answer.payment.id for answer in answers if isinstance(answer, Accepted | Joined)] == handles
    return other.lrange(f"{PREFIX}q:{PORTAL}", 0, -1) == handles


def test_a_large_call_is_written_in_order(producer: tuple[ProducerLedger, SyncRedis]):
    """Its steps are sent ahead of each other's answers, and each still sees those before it."""
    ledger, other = producer
    ledger.check_schema()
    ledger.open([an_ask("warm", invoice_id=2**40)])
    other.delete(f"{PREFIX}q:{PORTAL}")
    assert opened_in_order(ledger, other)
    again = ledger.open([an_ask(f"again{n}", invoice_id=n) for n in LARGE])
    assert [answer.payment.id for answer in again if isinstance(answer, Joined)] == [f"h{n}" for n in LARGE]


def test_a_large_call_does_not_need_the_script_cache(producer: tuple[ProducerLedger, SyncRedis]):
    """A new server knows no script; what was sent ahead of the first answer is asked again."""
    assert opened_in_order(*producer)


def test_a_large_call_survives_a_connection_that_is_dropped(producer: tuple[ProducerLedger, SyncRedis]):
    """Steps that were done and not answered are joined by their repetition."""
    ledger, other = producer
    ledger.open([an_ask("warm", invoice_id=2**40)])
    other.delete(f"{PREFIX}q:{PORTAL}")
    other.client_kill_filter(skipme=True, _type="normal")
    assert opened_in_order(ledger, other)


def test_a_connection_with_answers_left_is_not_used_again(
    producer: tuple[ProducerLedger, SyncRedis], monkeypatch: pytest.MonkeyPatch
):
    """A call that breaks off in the middle must not leave its answers to the next."""
    ledger, _ = producer
    ledger.open([an_ask("warm", invoice_id=2**40)])
    monkeypatch.setattr("ledger.redis.steps._opened", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        ledger.open([an_ask(f"h{n}", invoice_id=n) for n in LARGE])
    monkeypatch.undo()
    assert [payment is not None for payment in ledger.find(["warm", "nobody"])] == [True, False]


async def test_a_newer_ledger_is_refused(client: Redis):
    """A program that does not know the key map says so before it writes anything."""
    ledger = a_ledger(client)
    await ledger.check_schema()
    await ledger.check_schema()
    await client.set(PREFIX + "schema", 2)
    with pytest.raises(UnknownSchema, match="schema version 2"):
        await ledger.check_schema()


async def test_all_keys_share_one_hash_tag(world: ServerWorld, client: Redis):
    """One server of a cluster holds the whole ledger, so that its steps are atomic."""
    await ended(world, PAID, "h1", "h2")
    await open_one(world, "h3", idempotency_key="again")
    await open_one(world, "h4")
    keys = [key async for key in client.scan_iter("*") if not key.startswith("test:")]
    assert keys
    assert all(key.startswith(PREFIX) for key in keys)
    assert "{0}" in PREFIX


async def test_records_stay_compact(world: ServerWorld, client: Redis):
    """An ordinary payment and its index stay listpacks through all their states."""
    await ended(world, PAID)
    await world.ledger.open([an_ask(f"h{n}", invoice_id=n) for n in range(2, 64)])
    for key in ("p:h1", f"i:{PORTAL}:0", "p:h2"):
        assert await client.object("encoding", PREFIX + key) == "listpack"


async def test_a_wait_hears_other_processes(client: Redis, redis_url: str):
    """A producer in another process wakes the dispatcher, and so does a lane handed back with work."""
    ledger = a_ledger(client)
    await ledger.add_lane(PORTAL)
    await ledger.wait_for_work(0)
    waits = asyncio.create_task(ledger.wait_for_work(3600))
    with redis_client(redis_url, decode_responses=True) as other:
        await asyncio.to_thread(ProducerLedger(other).open, [an_ask()])
    await waits
    [lease], _ = await ledger.take("driver", 1)
    waits = asyncio.create_task(ledger.wait_for_work(3600))
    await ledger.release(lease, 0)
    await waits
    await ledger.close()


async def test_a_broken_subscription_is_made_again(client: Redis):
    """A wait whose connection was lost fails or makes a new one; hints are heard again in either case."""
    ledger = a_ledger(client)
    await ledger.add_lane(PORTAL)
    await ledger.wait_for_work(0)
    await client.client_kill_filter(_type="pubsub")
    with suppress(RedisError):
        await ledger.wait_for_work(0.2)
    await ledger.wait_for_work(0)
    waits = asyncio.create_task(ledger.wait_for_work(3600))
    await ledger.open([an_ask()])
    await waits
    await ledger.close()


async def test_drivers_that_race_for_lanes_get_each_once(client: Redis):
    """Fifty takes at once lease a hundred lanes exactly once each."""
    ledger = a_ledger(client)
    for n in range(100):
        await ledger.add_lane(f"portal-{n}")
    await ledger.open([an_ask(f"h{n}", portal=f"portal-{n}") for n in range(100)])
    answers = await asyncio.gather(*(ledger.take(f"driver-{n}", 3) for n in range(50)))
    leases = [lease for taken, _ in answers for lease in taken]
    assert len({lease.portal for lease in leases}) == len(leases) == 100
    assert len({lease.fence for lease in leases}) == 100


async def test_a_payment_with_a_stale_queue_entry_is_sent_once(world: ServerWorld):
    """A withdrawn payment leaves its id in the list; a payment that reuses the handle later is claimed once."""
    await accepted(world, "h1", "h2")
    await world.ledger.cancel("h1")
    await world.pass_time(20_000)
    assert isinstance(await open_one(world, "h1", invoice_id=9), Accepted)
    lease = await take_one(world)
    claim = await world.ledger.claim(lease, 10)
    assert sorted(payment.id for payment in claim.payments) == ["h1", "h2"]
    assert claim.backlog.waiting == 0
    await settle(world, lease, claim.payments, PAID)
    [lane] = await world.ledger.lanes()
    assert (lane.counts[State.QUEUED], lane.counts[State.PAID]) == (0, 2)


async def test_scripts_never_scan():
    """No step reads the key space, and only the prelude asks for the time."""
    for name, script in load_scripts().items():
        assert "'KEYS'" not in script.text, name
        assert "'SCAN'" not in script.text, name
        assert script.text.count("'TIME'") == 1, name


async def test_the_fields_of_a_dead_claim_do_not_linger(world: ServerWorld, client: Redis):
    """A paid record carries nothing that it does not need."""
    lease, payments = await claimed(world, "h1")
    await settle(world, lease, payments, PAID)
    assert set(await client.hkeys(PREFIX + "p:h1")) == set("liysaetcfpv")


async def test_a_hold_of_the_last_release_waits_for_a_person(client: Redis):
    """Its workers resume and hold beside ours and leave our newer fields: no probe and no remedy of an earlier hold."""
    ledger, lane = a_ledger(client), f"{PREFIX}l:{PORTAL}"
    await ledger.add_lane(PORTAL)
    await ledger.hold(PORTAL, "REVOKED", "it is gone", remedy="Make another.", probe=True)
    await client.hdel(lane, "held", "held_text", "held_at")
    await client.hset(lane, mapping={"held": "OVERLOAD_LIMIT", "held_text": "blocked", "held_at": 1_795_478_400_000})
    await client.zadd(PREFIX + "probes", {PORTAL: 0})
    [seen] = await ledger.lanes([PORTAL])
    assert seen.held == Held("OVERLOAD_LIMIT", "blocked", datetime(2026, 11, 24, tzinfo=UTC))
    assert await ledger.take_probes(10) == []
    assert await client.zcard(PREFIX + "probes") == 0
    await ledger.resume(PORTAL)
    await ledger.hold(PORTAL, "REVOKED", "again", probe=True)
    [seen] = await ledger.lanes([PORTAL])
    assert seen.held is not None
    assert seen.held.probe_at is not None


async def test_a_sweep_puts_lost_probes_back(client: Redis):
    """A repair tool may lose them, and a clock that was set back leaves them far away."""
    ledger = a_ledger(client)
    await ledger.add_lane(PORTAL)
    await ledger.hold(PORTAL, "REVOKED", "it is gone", probe=True)
    [before] = await ledger.lanes([PORTAL])
    for damage in (lambda: client.delete(PREFIX + "probes"), lambda: client.zadd(PREFIX + "probes", {PORTAL: 9e15})):
        await damage()
        await ledger.sweep()
        [seen] = await ledger.lanes([PORTAL])
        assert seen.held is not None
        assert seen.held.probe_at is not None
        assert before.held is not None
        assert 10 <= (seen.held.probe_at - before.held.since).total_seconds() < 60
