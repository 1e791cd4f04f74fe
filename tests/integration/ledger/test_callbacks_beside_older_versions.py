"""Workers, producers and commands of the version before callbacks, beside new ones: whatever they end is told.

`before_callbacks/` holds that version's steps to the letter.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from config.connections import async_redis_client
from ledger.ledger import Ledger
from ledger.payment import State
from ledger.redis import RedisLedger
from ledger.redis.scripts import PREFIX, Script, load_scripts, read_scripts
from ledger.verdict import Decision, Unpaid
from tests.conformance.ledger.calling import DELIVERED, SHOP, due, end, told, wanted
from tests.conformance.ledger.server import ServerWorld, with_a_stopped_clock
from tests.conformance.ledger.world import (
    LEASE_S,
    LOST,
    MAX_ATTEMPTS,
    PAID,
    PORTAL,
    QUIET_S,
    REFUSED,
    RETENTION_S,
    an_ask,
    settle,
    take_one,
)

FORMER = Path(__file__).with_name("before_callbacks")


def former_scripts() -> dict[str, Script]:
    """The steps of that version; those that have not changed since are today's on its prelude."""
    scripts = dict(load_scripts())
    scripts |= read_scripts(FORMER)
    asks_time, reads_key = "redis.call('TIME')", "redis.call('HMGET', 'test:clock', 'seconds', 'micros')"
    asks_server, reads_server = "redis.call('INFO', 'server', 'replication')", "redis.call('GET', 'test:server')"
    return {
        name: Script.of(script.text.replace(asks_time, reads_key).replace(asks_server, reads_server))
        for name, script in scripts.items()
    }


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Redis]:
    """A client of an empty server."""
    async with async_redis_client(redis_url, max_connections=4, decode_responses=True) as client:
        yield client


@pytest.fixture
async def world(client: Redis) -> ServerWorld:
    """A ledger of this version."""
    world = ServerWorld(client)
    await world.start_clock()
    return world


@pytest.fixture
def former(client: Redis, world: ServerWorld) -> Ledger:
    """The same ledger as a process of the former version has it."""
    return RedisLedger(
        client,
        lease_s=LEASE_S,
        retention_s=RETENTION_S,
        max_attempts=MAX_ATTEMPTS,
        quiet_s=QUIET_S,
        scripts=former_scripts(),
    )


class FormerWorld(ServerWorld):
    """What drives, ends and withdraws is of the former version."""

    def __init__(self, client: Redis, former: Ledger) -> None:
        self.client = client
        self.ledger = former  # type: ignore[assignment]  # a ledger as any other


async def found(world: ServerWorld) -> int:
    """How many ends a sweep found untold, after the time that it waits at most."""
    await world.pass_time(600)
    return (await world.ledger.callbacks.sweep(100))[1]


def test_the_former_steps_know_no_callbacks():
    """Else this file would show nothing."""
    scripts = former_scripts()
    assert all("cb-" not in scripts[name].text for name in ("open", "settle", "cancel", "decide", "retry"))
    assert "cb-" in with_a_stopped_clock(load_scripts())["settle"].text


@pytest.mark.parametrize(("verdict", "state"), [(PAID, State.PAID), (REFUSED, State.FAILED)])
async def test_what_a_former_worker_settles_is_told(world: ServerWorld, former: Ledger, verdict: object, state: State):
    """A sweep of a new worker finds it, once."""
    await wanted(world, "h1")
    [row] = await end(FormerWorld(world.client, former), verdict)
    assert await due(world) == []
    assert await found(world) == 1
    [callback] = await due(world)
    assert (callback.payment, callback.payment.state, callback.to) == (row, state, SHOP)
    await told(world, [callback], DELIVERED)
    assert await found(world) == 0
    assert await due(world) == []


async def test_what_a_former_command_ends_is_told(world: ServerWorld, former: Ledger):
    """Withdrawn, or decided by a person."""
    await wanted(world, "h1", "h2")
    await former.cancel("h1")
    lease = await take_one(FormerWorld(world.client, former))
    await settle(FormerWorld(world.client, former), lease, (await former.claim(lease, 1)).payments, LOST)
    await world.pass_time(QUIET_S)
    await former.decide("h2", paid=True, because="looked")
    assert await found(world) == 2
    assert {each.payment.state for each in await due(world)} == {State.CANCELLED, State.PAID}


async def test_a_wish_outlives_a_retry_of_a_former_command(world: ServerWorld, former: Ledger):
    """That command makes the record last, and knows nothing of the wish."""
    await wanted(world, "h1")
    await end(world, REFUSED)
    await told(world, await due(world), DELIVERED)
    await former.retry("h1")
    assert await found(world) == 0
    await world.pass_time(RETENTION_S * 2)
    lease = await take_one(FormerWorld(world.client, former))
    await settle(FormerWorld(world.client, former), lease, await former.doubts(lease, 10), PAID)
    assert await found(world) == 1
    assert [each.payment.state for each in await due(world)] == [State.PAID]


async def test_a_late_wish_about_an_untold_end_is_told_once(world: ServerWorld, former: Ledger):
    """Between the end by a former worker and the sweep somebody asks for the same."""
    await wanted(world, "h1")
    await end(FormerWorld(world.client, former))
    await world.ledger.open([an_ask("h2", callback=SHOP)])
    first = await due(world)
    assert [each.handle for each in first] == ["h2"]
    await told(world, first, DELIVERED)
    assert await found(world) == 1
    assert [each.handle for each in await due(world)] == ["h1"]


async def test_a_former_worker_retries_and_reads_as_before(world: ServerWorld, former: Ledger):
    """What is new in a record is no concern of its steps; requests without a wish leave no trace."""
    await wanted(world, "h1")
    [joined] = await former.open([an_ask("h2")])
    assert joined.payment.id == "h1"  # type: ignore[union-attr]
    lease = await take_one(FormerWorld(world.client, former))
    await settle(FormerWorld(world.client, former), lease, (await former.claim(lease, 1)).payments, LOST)
    await world.pass_time(QUIET_S)
    lease = await take_one(FormerWorld(world.client, former))
    await settle(FormerWorld(world.client, former), lease, await former.doubts(lease, 10), Unpaid())
    await world.ledger.settle(lease, [Decision(row, PAID) for row in (await former.claim(lease, 1)).payments])
    assert [each.handle for each in await due(world)] == ["h1"]


async def test_a_payment_without_a_callback_leaves_no_byte_more(world: ServerWorld, former: Ledger):
    """Its record has the same fields as before, and there is no further key."""
    await world.ledger.add_lane(PORTAL)

    async def keys(ledger: Ledger, handle: str, invoice: int) -> tuple[set[str], dict[str, str]]:
        await ledger.open([an_ask(handle, invoice_id=invoice, idempotency_key=f"k-{handle}")])
        await end(world if ledger is world.ledger else FormerWorld(world.client, former))
        there = {key.replace(handle, "X") async for key in world.client.scan_iter("b24pay:*") if handle in key}
        return there, await world.client.hgetall(f"{PREFIX}p:{handle}")

    old_keys, old = await keys(former, "aa", 1)
    new_keys, new = await keys(world.ledger, "bb", 2)
    assert new_keys == old_keys
    assert {name: len(value) for name, value in new.items()} == {name: len(value) for name, value in old.items()}
    assert not [key async for key in world.client.scan_iter("b24pay:*cb*")]
