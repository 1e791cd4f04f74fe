"""Workers of a version that keeps no history and no counts, beside new ones: what they leave is told as unknown, and
counted before it is shown.
"""

from collections.abc import AsyncIterator
from typing import cast

import pytest

from config.connections import async_redis_client
from ledger.figures import Failures
from ledger.ledger import Ledger
from ledger.payment import Refusal, State
from ledger.redis import RedisLedger
from ledger.redis.scripts import PREFIX
from ledger.transitions import Cause, transitions_of
from ledger.verdict import Failed, Requeue
from ledger.walks import Sought
from tests.conformance.ledger.server import ServerWorld
from tests.conformance.ledger.walking import handles, walked
from tests.conformance.ledger.world import (
    LEASE_S,
    LOST,
    MAX_ATTEMPTS,
    PAID,
    QUIET_S,
    REFUSED,
    RETENTION_S,
    accepted,
    an_ask,
    claimed,
    ended,
    found,
    settle,
    take_one,
)
from tests.integration.ledger.test_callbacks_beside_older_versions import FormerWorld, former_scripts
from worker.results import Results
from worker.sweeper import Sweeper

OTHER = Failed(Refusal("OTHER", "text"))
CODE = REFUSED.error.code


@pytest.fixture
async def world(redis_url: str) -> AsyncIterator[ServerWorld]:
    """A ledger of this version."""
    async with async_redis_client(redis_url, max_connections=4, decode_responses=True) as client:
        world = ServerWorld(client)
        await world.start_clock()
        yield world


@pytest.fixture
def former(world: ServerWorld) -> FormerWorld:
    """The same ledger as a process of a former version has it."""
    ledger = RedisLedger(
        world.client,
        lease_s=LEASE_S,
        retention_s=RETENTION_S,
        max_attempts=MAX_ATTEMPTS,
        quiet_s=QUIET_S,
        scripts=former_scripts(),
    )
    return FormerWorld(world.client, ledger)


async def counts(ledger: Ledger) -> list[tuple[str | None, int, bool]]:
    """Code, count, and whether they are still counted."""
    return [(row.code, row.count, row.counting) for row in await ledger.figures.failures()]


async def tallied(world: ServerWorld, looks: int = 2) -> int:
    """Let sweeps find and count what was left; in how many steps."""
    await world.ledger.sweep()
    steps = 1
    while await world.ledger.figures.tally(looks):
        steps += 1
        assert steps < 100
    return steps


def test_the_former_steps_know_no_lists_by_code() -> None:
    """Else this file would show nothing."""
    scripts = former_scripts()
    assert all("coded" not in scripts[name].text for name in ("open", "settle", "cancel", "decide", "retry"))


async def test_what_a_former_worker_failed_is_counted_before_it_is_shown(
    world: ServerWorld, former: FormerWorld
) -> None:
    """Until then the sum is told, without codes; and a search by code looks at all of them."""
    lease, payments = await claimed(former, *handles(7))
    await settle(former, lease, payments[:4], REFUSED)
    await settle(former, lease, payments[4:], OTHER)
    assert await counts(world.ledger) == [(None, 7, True)]
    assert await walked(world, State.FAILED, 2, Sought(code="OTHER")) == ["h06", "h05", "h04"]
    assert await tallied(world) > 3
    assert await counts(world.ledger) == [(CODE, 4, False), ("OTHER", 3, False)]
    assert await walked(world, State.FAILED, 2, Sought(code="OTHER")) == ["h06", "h05", "h04"]


async def test_a_workers_sweep_counts_what_was_left(world: ServerWorld, former: FormerWorld) -> None:
    """Nobody has to ask for it."""
    await ended(former, REFUSED, *handles(3))
    sweeper = Sweeper(world.ledger, cast("Results", None))
    await sweeper.find_forgotten()
    await sweeper.count_failures()
    assert await counts(world.ledger) == [(CODE, 3, False)]


async def test_what_a_former_command_retried_leaves_the_lists(world: ServerWorld, former: FormerWorld) -> None:
    """It is queued again and stands in a list still."""
    await ended(world, REFUSED, *handles(5))
    await former.ledger.retry("h01")
    assert await counts(world.ledger) == [(None, 4, True)]
    await tallied(world)
    assert await counts(world.ledger) == [(CODE, 4, False)]
    assert await walked(world, State.FAILED, 2, Sought(code=CODE)) == ["h04", "h03", "h02", "h00"]


async def test_lists_that_only_seem_right_are_looked_at_every_hour(world: ServerWorld, former: FormerWorld) -> None:
    """One came and one went: the sums agree."""
    await ended(world, REFUSED, *handles(2))
    await tallied(world)
    await former.ledger.retry("h00")
    lease = await take_one(former)
    [row] = await former.ledger.doubts(lease, 1)
    await settle(former, lease, [row], OTHER)
    await former.ledger.release(lease, 0)
    await world.ledger.open([an_ask("h02", invoice_id=3)])
    lease = await take_one(world)
    await settle(world, lease, (await world.ledger.claim(lease, 1)).payments, REFUSED)
    await world.pass_time(3600)
    await tallied(world)
    assert await counts(world.ledger) == [(CODE, 2, False), ("OTHER", 1, False)]


async def test_a_list_that_nobody_damaged_is_left_as_it_is(world: ServerWorld) -> None:
    """A tally that finds nothing writes nothing but that it was there."""
    await ended(world, REFUSED, *handles(3))
    keys = [key async for key in world.client.scan_iter(f"{PREFIX}cod*")]
    before = {key: await world.client.dump(key) for key in keys}
    await tallied(world)
    assert {key: await world.client.dump(key) for key in keys} == before
    assert await world.client.scard(f"{PREFIX}uncounted") == 0


async def test_a_way_through_a_former_worker_is_told_with_its_gaps(world: ServerWorld, former: FormerWorld) -> None:
    """It keeps no history: what is missing is said, and nothing is made up."""
    lease, payments = await claimed(former, "h1", "h2", "h3")
    await settle(former, lease, payments[:1], Requeue(spent=True))
    await settle(former, lease, payments[1:2], LOST)
    assert [step.cause for step in transitions_of(await found(world, "h2"))][-2:] == [Cause.CLAIMED, Cause.NOT_RECORDED]
    again = (await former.ledger.claim(lease, 1)).payments
    await settle(former, lease, again, PAID)
    told = [(step.cause, step.attempt) for step in transitions_of(await found(world, "h1"))]
    gap = (Cause.NOT_RECORDED, None)
    assert told == [(Cause.ACCEPTED, None), gap, (Cause.CLAIMED, 2), (Cause.PROVEN, None)]


async def test_what_a_former_worker_does_not_know_it_keeps(world: ServerWorld, former: FormerWorld) -> None:
    """A history goes on after it."""
    lease, payments = await claimed(world, "h1")
    await settle(world, lease, payments, Requeue())
    again = (await former.ledger.claim(lease, 1)).payments
    await settle(former, lease, again, LOST)
    await world.pass_time(2)
    await settle(world, lease, await world.ledger.doubts(lease, 1), PAID)
    assert [step.cause for step in transitions_of(await found(world))] == [
        Cause.ACCEPTED,
        Cause.CLAIMED,
        Cause.NOT_EXECUTED,
        Cause.CLAIMED,
        Cause.PROVEN,
    ]


async def test_a_payment_that_went_straight_has_the_bytes_of_before(world: ServerWorld, former: FormerWorld) -> None:
    """Paid or failed: the same fields of the same lengths."""

    async def records(at: ServerWorld, name: str, invoice: int) -> list[dict[str, int]]:
        await accepted(at, f"{name}1")
        await at.ledger.cancel(f"{name}1")
        told = []
        for n, verdict in enumerate((PAID, REFUSED), start=2):
            [row] = await accepted(at, f"{name}{n}")
            assert row.invoice_id == 1
            lease = await take_one(at)
            await settle(at, lease, (await at.ledger.claim(lease, 1)).payments, verdict)
            await at.ledger.release(lease, 0)
            record = await world.client.hgetall(f"{PREFIX}p:{name}{n}")
            told.append({field: len(value) for field, value in record.items()})
            await at.pass_time(RETENTION_S)
        return told

    assert await records(world, "a", 1) == await records(former, "b", 2)


async def test_a_million_others_cost_a_page_by_code_nothing(world: ServerWorld) -> None:
    """Two pages look at what they show, however many have failed with other codes."""
    lease, payments = await claimed(world, *handles(60))
    await settle(world, lease, payments[:1], OTHER)
    await settle(world, lease, payments[1:], REFUSED)
    await world.client.config_resetstat()
    assert await walked(world, State.FAILED, 5, Sought(code="OTHER")) == ["h00"]
    stats = await world.client.info("commandstats")
    assert stats["cmdstat_hmget"]["calls"] < 10  # one look per payment, and the clock's
    assert isinstance((await world.ledger.figures.failures())[0], Failures)
