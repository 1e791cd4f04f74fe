"""A real server that comes back with an older append-only file: nothing is sent before the portal was asked."""

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from redis.asyncio import Redis

from cli.embedded import EmbeddedServer
from config.connections import async_redis_client
from ledger.ledger import Lease, LeaseLost
from ledger.payment import Payment
from ledger.redis import RedisLedger
from ledger.redis.scripts import PREFIX
from ledger.verdict import Decision, Requeue, Unpaid
from tests.conformance.ledger.world import PAID, PORTAL, an_ask
from tests.eventually import eventually

COUNT = 60
LEASE_S = 0.3
QUIET_S = 0.5
DEADLINE_S = 20.0


@pytest.fixture
async def client(own_server: EmbeddedServer) -> AsyncIterator[Redis]:
    """A client of the server that is going to be replaced."""
    async with async_redis_client(own_server.url, max_connections=4, decode_responses=True) as client:
        yield client


def a_ledger(client: Redis) -> RedisLedger:
    """A ledger whose leases and quiet times end soon."""
    return RedisLedger(client, lease_s=LEASE_S, retention_s=1000, max_attempts=5, quiet_s=QUIET_S)


class Portal:
    """Which invoices were paid, how often, and about which somebody has asked."""

    def __init__(self) -> None:
        self.paid: Counter[int] = Counter()
        self.asked: set[int] = set()

    def read(self, payment: Payment) -> Decision:
        """Ask about an invoice."""
        self.asked.add(payment.invoice_id)
        return Decision(payment, PAID if self.paid[payment.invoice_id] else Unpaid())


async def pay_some(ledger: RedisLedger, portal: Portal, *, limit: int, answered: bool = True) -> None:
    """A driver's turn before the power is lost."""
    [lease], _ = await ledger.take("driver", 1)
    payments = (await ledger.claim(lease, limit)).payments
    portal.paid.update(payment.invoice_id for payment in payments)
    if answered:
        await ledger.settle(lease, [Decision(payment, PAID) for payment in payments])
    await ledger.release(lease, 0)


async def pay_the_rest(ledger: RedisLedger, portal: Portal) -> None:
    """Turns of drivers after the server came back; what they send must have been asked about."""
    for lease in (await ledger.take("driver", 1))[0]:
        with suppress(LeaseLost):  # the leases are short, and a busy machine is late
            await turn(ledger, portal, lease)


async def turn(ledger: RedisLedger, portal: Portal, lease: Lease) -> None:
    """One turn of a driver."""
    await ledger.recover(lease)
    read = [portal.read(payment) for payment in await ledger.doubts(lease, 50)]
    await ledger.settle(lease, read)
    payments = (await ledger.claim(lease, 10)).payments
    assert {payment.invoice_id for payment in payments} <= portal.asked
    portal.paid.update(payment.invoice_id for payment in payments)
    await ledger.settle(lease, [Decision(payment, PAID) for payment in payments])
    await ledger.release(lease, 0)


async def test_after_a_rollback_nothing_is_sent_before_it_was_read(
    own_server: EmbeddedServer, client: Redis, tmp_path: Path
):
    """An older append-only file is put back: what was paid since, also under a lease that is still valid, is read."""
    ledger, portal = a_ledger(client), Portal()
    await ledger.add_lane(PORTAL)
    await ledger.open([an_ask(f"h{n}", invoice_id=n) for n in range(1, COUNT + 1)])
    await pay_some(ledger, portal, limit=10)
    assert await client.hget(PREFIX + "epoch", "number") == "1"

    log, copy = own_server.directory / "appendonlydir", tmp_path / "older"
    shutil.copytree(log, copy)
    await pay_some(ledger, portal, limit=10)
    await pay_some(ledger, portal, limit=5, answered=False)
    own_server.kill()
    shutil.rmtree(log)
    shutil.copytree(copy, log)
    own_server.start()

    async with asyncio.timeout(DEADLINE_S):
        while (await lane_counts(ledger))["open"]:
            await pay_the_rest(ledger, portal)
            await asyncio.sleep(0.02)
    assert portal.paid == dict.fromkeys(range(1, COUNT + 1), 1)
    assert await client.hget(PREFIX + "epoch", "number") == "2"


async def lane_counts(ledger: RedisLedger) -> dict[str, int]:
    """How many payments of the lane are open and ended."""
    [lane] = await ledger.lanes()
    ended = sum(count for state, count in lane.counts.items() if state in ("paid", "failed", "cancelled"))
    return {"open": sum(lane.counts.values()) - ended, "ended": ended}


async def test_a_lease_that_outlives_the_server_claims_nothing_unread(own_server: EmbeddedServer, client: Redis):
    """The driver goes on after a restart without taking the lane again: its next claim notices the other server, and
    the lane is taken anew."""
    ledger = RedisLedger(client, lease_s=60, retention_s=1000, max_attempts=5, quiet_s=2.0)
    await ledger.add_lane(PORTAL)
    await ledger.open([an_ask(f"h{n}", invoice_id=n) for n in (1, 2)])
    [lease], _ = await ledger.take("driver", 1)
    [sent] = (await ledger.claim(lease, 1)).payments
    own_server.restart()
    await ledger.settle(lease, [Decision(sent, Requeue())])
    with pytest.raises(LeaseLost):
        await ledger.claim(lease, 10)
    await ledger.release(lease, 0)
    [lease], _ = await ledger.take("driver", 1)
    assert (await ledger.claim(lease, 10)).payments == ()
    assert await ledger.doubts(lease, 10) == []
    due = await eventually(lambda: ledger.doubts(lease, 10))
    assert [payment.id for payment in due] == ["h1", "h2"]
    await ledger.settle(lease, [Decision(payment, Unpaid()) for payment in due])
    assert len((await ledger.claim(lease, 10)).payments) == 2
