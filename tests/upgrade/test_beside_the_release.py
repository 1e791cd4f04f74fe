"""Rows of today beside steps of the last release, and the other way round: whoever wrote a row, the other finishes it.

`fixtures/release-*/steps` has the release's steps to the letter. Its Python is run in `test_side_by_side.py`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest
from redis.asyncio import Redis

from config.connections import async_redis_client
from ledger.ledger import Lease
from ledger.payment import Payment, State
from ledger.redis import RedisLedger
from ledger.redis.scripts import Script, load_scripts
from ledger.verdict import Decision, InDoubt, Unpaid, Verdict
from ledger.walks import START, Sought
from limiter.limiter import Limits, Observation
from limiter.redis import RedisLimiter
from tests.conformance.ledger.calling import SHOP
from tests.conformance.ledger.world import PAID, PORTAL, REFUSED, an_ask
from tests.eventually import eventually
from tests.upgrade.release import FOLDER, former_steps

LEASE_S, QUIET_S = 0.3, 0.1
WITHIN_S = 5.0
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@dataclass(frozen=True)
class Sides:
    """The same ledger as a process of today and one of the release have it."""

    today: RedisLedger
    former: RedisLedger


def a_side(redis: Redis, scripts: dict[str, Script]) -> RedisLedger:
    return RedisLedger(
        redis, lease_s=LEASE_S, retention_s=3600, max_attempts=5, quiet_s=QUIET_S, scripts=scripts
    )  # fmt: skip


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    """A client of an empty server."""
    async with async_redis_client(redis_url, max_connections=8, decode_responses=False) as client:
        yield client


@pytest.fixture
async def sides(redis: Redis) -> Sides:
    """Both, and a lane."""
    sides = Sides(a_side(redis, dict(load_scripts())), a_side(redis, former_steps()))
    await sides.today.add_lane(PORTAL)
    return sides


async def take(ledger: RedisLedger) -> Lease:
    """The lane, as soon as it can be had."""

    async def taken() -> list[Lease]:
        return (await ledger.take("driver", 1))[0]

    return (await eventually(taken, within_s=WITHIN_S))[0]


async def claim(ledger: RedisLedger, lease: Lease) -> tuple[Payment, ...]:
    """What waits, or one suspect."""
    return (await ledger.claim(lease, 10)).payments or (await ledger.claim(lease, 1, suspect=True)).payments


async def settle_all(ledger: RedisLedger, verdict: Verdict) -> None:
    """Claim what waits and settle it."""
    lease = await take(ledger)
    await ledger.settle(lease, [Decision(row, verdict) for row in await claim(ledger, lease)])
    await ledger.release(lease, 0)


async def read_all(ledger: RedisLedger, lease: Lease, verdict: Verdict) -> None:
    """Read what is in doubt."""

    async def due() -> list[Payment]:
        await ledger.renew([lease])
        return await ledger.doubts(lease, 10)

    doubts = await eventually(due, within_s=WITHIN_S)
    await ledger.settle(lease, [Decision(row, verdict) for row in doubts])


async def queued(ledger: RedisLedger) -> None:
    """With everything that a request can bring."""
    await ledger.open([an_ask("h1", idempotency_key="k1", callback=SHOP, traceparent=TRACE)])
    await ledger.open([an_ask("h2", idempotency_key="k2")])


async def sending(ledger: RedisLedger) -> None:
    """Its driver has died."""
    await queued(ledger)
    assert await claim(ledger, await take(ledger))
    await asyncio.sleep(LEASE_S)


async def in_doubt(ledger: RedisLedger) -> None:
    """Sent without an answer."""
    await queued(ledger)
    await settle_all(ledger, InDoubt(QUIET_S))


async def suspected(ledger: RedisLedger) -> None:
    """Two drivers have died with it."""
    await queued(ledger)
    for _ in range(2):
        assert await claim(ledger, await take(ledger))
        await asyncio.sleep(LEASE_S)
        lease = await take(ledger)
        assert await ledger.recover(lease) == 1
        await read_all(ledger, lease, Unpaid())
        await ledger.release(lease, 0)


async def retried(ledger: RedisLedger) -> None:
    """Refused, and queued again by a person: to be read first."""
    await queued(ledger)
    await settle_all(ledger, REFUSED)
    assert (await ledger.retry("h1")) is not None


async def held(ledger: RedisLedger) -> None:
    """Behind a hold."""
    await queued(ledger)
    await ledger.hold(PORTAL, "INVALID_CREDENTIALS", "no", remedy="Store another.", probe=True)


async def finish(ledger: RedisLedger) -> None:
    """As a driver does: recover, read, send."""
    await ledger.resume(PORTAL)
    lease = await take(ledger)
    if lease.left:
        await ledger.recover(lease)
    [row] = await ledger.find(["h1"])
    assert row is not None
    reads_first = row.after is not None or row.state in (State.IN_DOUBT, State.SENDING)
    if reads_first or not (rows := await claim(ledger, lease)):
        await read_all(ledger, lease, PAID)
    else:
        await ledger.settle(lease, [Decision(row, PAID) for row in rows])
    await ledger.release(lease, 0)


BRING: dict[str, Callable[[RedisLedger], Awaitable[None]]] = {
    "queued": queued,
    "sending": sending,
    "in_doubt": in_doubt,
    "suspected": suspected,
    "retried": retried,
    "held": held,
}


@pytest.mark.parametrize("state", BRING)
@pytest.mark.parametrize("who", ["today", "former"])
async def test_what_one_began_the_other_finishes(sides: Sides, who: str, state: str) -> None:
    """Paid once, under every name, told to whoever wished for it, and both count alike."""
    writer, finisher = (sides.today, sides.former) if who == "today" else (sides.former, sides.today)
    await BRING[state](writer)
    await finish(finisher)
    for ledger in (sides.today, sides.former):
        rows = await ledger.find(["h1", "h2"])
        assert [(row.id, row.state, row.idempotency_key) for row in rows if row] == [("h1", State.PAID, "k1")] * 2
        [lane] = await ledger.lanes([PORTAL])
        assert {each: number for each, number in lane.counts.items() if number} == {State.PAID: 1}
        assert {each.handle for each in await ledger.undelivered(10, 0)} == {"h1", "h2"}
        # A failure that was told before the retry stays told.
        assert (await ledger.callbacks.counts()).pending == (2 if state == "retried" else 1)
        walked = await ledger.walk(PORTAL, State.PAID, Sought(), START, 10)
        assert [row.id for row in walked.payments] == ["h1"]


@pytest.mark.parametrize("who", ["today", "former"])
async def test_people_of_one_correct_what_the_other_wrote(sides: Sides, who: str) -> None:
    """Withdraw, decide, retry; and ask for what the other knows as paid."""
    writer, person = (sides.today, sides.former) if who == "today" else (sides.former, sides.today)
    await writer.open([an_ask(f"h{n}", invoice_id=n) for n in (1, 2, 3)])
    assert (await person.cancel("h1")).state is State.CANCELLED  # type: ignore[union-attr]
    await settle_all(writer, InDoubt(0))
    assert (await person.decide("h2", paid=True, because="seen")).state is State.PAID  # type: ignore[union-attr]
    assert (await person.decide("h3", paid=False, because="seen")).state is State.FAILED  # type: ignore[union-attr]
    assert (await person.retry("h3")).state is State.QUEUED  # type: ignore[union-attr]
    [again] = await person.open([an_ask("h4", invoice_id=2)])
    assert again.payment.id == "h2"  # type: ignore[union-attr]
    [lane] = await writer.lanes([PORTAL])
    assert {each: number for each, number in lane.counts.items() if number} == {
        State.CANCELLED: 1,
        State.PAID: 1,
        State.QUEUED: 1,
    }


async def test_two_drivers_of_two_releases_never_hold_one_lane(sides: Sides) -> None:
    """Leases and fences are common property."""
    await sides.today.open([an_ask("h1")])
    first = await take(sides.today)
    assert (await sides.former.take("other", 1))[0] == []
    await asyncio.sleep(LEASE_S)
    second = await take(sides.former)
    assert second.fence > first.fence
    assert await sides.today.renew([first]) == [False]


@pytest.mark.parametrize("who", ["today", "former"])
async def test_both_pace_a_portal_by_the_same_rows(redis: Redis, monkeypatch: pytest.MonkeyPatch, who: str) -> None:
    """What one has learnt the other believes, and the burst is one."""
    limits = Limits(burst=10)
    today = RedisLimiter(redis)
    monkeypatch.setattr("limiter.redis.scripts._FOLDER", FOLDER / "steps" / "limiter")
    former = RedisLimiter(redis)
    first, second = (today, former) if who == "today" else (former, today)
    await first.acquire("acme", limits)
    await first.observed("acme", limits, Observation(5, 1.0, 2.0, None, commands_s=0.5))
    taken = (await first.acquire("acme", limits, requests=6)).requests
    permit = await second.acquire("acme", limits, requests=10)
    assert permit.command_s == pytest.approx(0.1)
    assert 1 + taken + permit.requests <= limits.burst
    await second.refused("acme", limits)
    assert not (await first.acquire("acme", limits)).granted
