"""A real server that is out of memory: producers hear of it, nothing is half written, what is open ends."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError

from config.connections import async_redis_client, redis_client
from ledger.ledger import Accepted
from ledger.payment import State
from ledger.redis import ProducerLedger, RedisLedger
from ledger.redis.scripts import load_scripts
from ledger.verdict import Decision, InDoubt, Requeue, Unpaid
from tests.conformance.ledger.world import PAID, PORTAL, REFUSED, UNREADABLE, an_ask


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Redis]:
    """A client whose server gets its memory back in any case."""
    async with async_redis_client(redis_url, max_connections=4, decode_responses=True) as client:
        try:
            yield client
        finally:
            await client.config_set("maxmemory", 0)


@pytest.fixture
async def ledger(client: Redis) -> RedisLedger:
    """A lane with ten payments."""
    ledger = RedisLedger(client, lease_s=75, retention_s=1000, max_attempts=5, quiet_s=0)
    await ledger.add_lane(PORTAL)
    await ledger.open([an_ask(f"h{n}", invoice_id=n) for n in range(1, 11)])
    return ledger


async def contents(url: str) -> dict[bytes, bytes]:
    """Every key of the server and what it holds."""
    async with async_redis_client(url, max_connections=1, decode_responses=False) as client:
        return {key: await client.dump(key) async for key in client.scan_iter("*")}


async def test_a_producer_is_refused_as_a_whole(client: Redis, ledger: RedisLedger, redis_url: str):
    """An error it can act on, and not a single key has changed; with memory again the same call is accepted."""
    [lease], _ = await ledger.take("driver", 1)
    [row] = (await ledger.claim(lease, 1)).payments
    await ledger.settle(lease, [Decision(row, REFUSED)])
    before = await contents(redis_url)
    await client.config_set("maxmemory", 1)
    asks = [an_ask(f"n{n}", invoice_id=100 + n) for n in range(200)]
    refused: list[Callable[[], Awaitable[object]]] = [
        lambda: ledger.open(asks),
        lambda: ledger.retry("h1"),
        lambda: ledger.add_lane("other"),
    ]
    for step in refused:
        with pytest.raises(OutOfMemoryError):
            await step()
    with redis_client(redis_url, decode_responses=False) as other, pytest.raises(OutOfMemoryError):
        ProducerLedger(other).open(asks)
    assert await contents(redis_url) == before
    await client.config_set("maxmemory", 0)
    answers = await ledger.open(asks)
    assert all(isinstance(answer, Accepted) for answer in answers)


async def test_everything_that_finishes_goes_on(client: Redis, ledger: RedisLedger):
    """Drivers, people and sweepers end what is open without memory, and the counts stay exact."""
    await client.config_set("maxmemory", 1)
    await ledger.check_schema()
    [lease], _ = await ledger.take("driver", 1)
    rows = (await ledger.claim(lease, 7)).payments
    verdicts = [PAID, REFUSED, Requeue(), InDoubt(0), InDoubt(0), InDoubt(0), InDoubt(0)]
    await ledger.settle(lease, [Decision(*pair) for pair in zip(rows, verdicts, strict=True)])
    assert (await ledger.cancel("h3")).state is State.CANCELLED  # type: ignore[union-attr]  # it is known
    assert (await ledger.decide("h4", paid=True, because="seen")).state is State.PAID  # type: ignore[union-attr]  # known
    due = await ledger.doubts(lease, 10)
    await ledger.settle(lease, [Decision(row, v) for row, v in zip(due, [PAID, Unpaid(), UNREADABLE], strict=True)])
    await ledger.read_again(["h7"])
    assert await ledger.renew([lease]) == [True]
    assert await ledger.hold(PORTAL, "CODE", "text")
    assert await ledger.resume(PORTAL)
    await ledger.release(lease, 0)
    await client.zrem("b24pay:{0}:due", PORTAL)
    assert await ledger.sweep() == [PORTAL]
    [lease], _ = await ledger.take("next", 1)
    assert await ledger.recover(lease) == 0
    rows = (await ledger.claim(lease, 10)).payments
    await ledger.settle(lease, [Decision(row, PAID) for row in (*rows, *await ledger.doubts(lease, 10))])
    await ledger.delivered(await ledger.undelivered(100, 0))
    assert await ledger.undelivered(100, 0) == []
    [lane] = await ledger.lanes()
    counts = dict.fromkeys(State, 0) | {State.PAID: 8, State.FAILED: 1, State.CANCELLED: 1}
    assert lane.counts == counts
    for state, count in counts.items():
        assert len(await ledger.payments(PORTAL, state, 0, 100)) == count


async def test_a_cancelled_payment_is_whole_without_memory(client: Redis, ledger: RedisLedger):
    """It is out of its queue and on record as withdrawn: no step stops in its middle."""
    await client.config_set("maxmemory", 1)
    await ledger.cancel("h1")
    await client.config_set("maxmemory", 0)
    [lease], _ = await ledger.take("driver", 1)
    claim = await ledger.claim(lease, 100)
    assert ([row.id for row in claim.payments], claim.backlog.waiting) == ([f"h{n}" for n in range(2, 11)], 0)


def test_every_step_says_what_it_may_do_without_memory():
    """Only what takes on new work may be refused; a step that only reads says so."""
    flags = {name: script.text.split("\n", 1)[0] for name, script in load_scripts().items()}
    assert {name for name, line in flags.items() if line == "#!lua"} == {"open", "retry", "add_lane"}
    readers = {"find", "find_invoice", "portals", "lane_names", "overview", "held_lanes"}
    readers |= {"find_callbacks", "count_callbacks", "minutes"}
    readers |= {"count_ended", "find_beside", "find_invoices", "find_named"}
    assert {name for name, line in flags.items() if line == "#!lua flags=no-writes"} == readers
    assert len(set(flags.values())) == 3
