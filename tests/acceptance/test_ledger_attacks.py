"""Attacks on the ledger that once went through; each names what it would cost."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace

import pytest

from bitrix24.client import Client
from bitrix24.portal import parse_portal
from bitrix24.registry import RegistryError
from config.connections import async_redis_client
from config.settings import Settings
from ledger.ledger import AlreadyPaid
from ledger.payment import Payment, State
from ledger.redis import RedisLedger
from ledger.redis.scripts import PREFIX
from ledger.verdict import Decision
from tests.conformance.ledger.server import ServerWorld
from tests.conformance.ledger.world import (
    LEASE_S,
    LOST,
    PORTAL,
    QUIET_S,
    World,
    accepted,
    an_ask,
    ended,
    state_of,
    take_one,
)
from tests.eventually import eventually
from tests.integration.worker.test_driver import Shop, a_shop
from worker.deps import Deps
from worker.dispatcher import Dispatcher
from worker.driver import drive, send_and_settle
from worker.results import Meta, Results


@pytest.fixture
async def world(redis_url: str) -> AsyncIterator[ServerWorld]:
    """A ledger on a real server and a clock of the test's."""
    async with async_redis_client(redis_url, max_connections=4, decode_responses=False) as client:
        world = ServerWorld(client)
        await world.start_clock()
        yield world


@pytest.fixture
async def shop(redis_url: str, a_settings: Callable[..., Settings]) -> AsyncIterator[Shop]:
    """The parts of one process, with short times, and an emulated portal."""
    quick = {"B24PAY_HTTP_TOTAL_S": "3", "B24PAY_PORTAL_CUT_S": "1", "B24PAY_LEASE_S": "6"}
    async with a_shop(a_settings(REDIS_URL=redis_url, **quick), redis_url) as shop:
        yield shop


# 1 - a stop between "may I send?" and the moment from which the call's time counts


class Clock:
    """The process' clock, which a test lets jump as a standstill does."""

    def __init__(self) -> None:
        self.stood_still_s = 0.0

    def __call__(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME) + self.stood_still_s


class Standstill:
    """Something that happens between the check and the call: here the process is stopped for ten minutes."""

    def __init__(self, results: Results, clock: Clock) -> None:
        self._results, self._clock = results, clock

    def started(self, payments: Sequence[Payment]) -> AbstractContextManager[None]:
        self._clock.stood_still_s += 600
        return nullcontext()

    def __getattr__(self, name: str) -> object:
        return getattr(self._results, name)


async def test_a_process_that_stood_still_after_its_last_check_sends_nothing(shop: Shop) -> None:
    """SIGSTOP or a frozen machine between `may_send` and the call: lease and quiet time are over when it goes on."""
    clock = Clock()
    async with Client(http_total_s=3, allow_insecure=True, connections=4, clock=clock) as client:
        deps = replace(shop.deps, clock=clock, client=client)
        deps = replace(deps, results=Standstill(deps.results, clock))  # type: ignore[arg-type]
        await shop.accept(1)
        began = clock()
        [lease], _ = await deps.ledger.take("test", 1)
        lane = await shop.lane(lease, began + deps.lease_s)
        lane.clock = clock
        payments = (await deps.ledger.claim(lease, 1)).payments
        await send_and_settle(lane, payments, began, deps)
    assert shop.requests == 0


# 2 - one pay that the portal never answers takes its whole batch along


async def test_a_pay_that_hangs_the_portal_fails_alone(shop: Shop, redis_url: str) -> None:
    """Every batch with invoice 1 is cut by a 504: the four others in it are payable and must not end as failed."""
    async with async_redis_client(redis_url, max_connections=4, decode_responses=False) as client:
        ledger = RedisLedger(client, lease_s=6, retention_s=1000, max_attempts=5, quiet_s=0.2)
        deps = replace(shop.deps, ledger=ledger, quiet_s=0.2)
        shop.fault(kind="504_html", place="before", invoice="1", command="sale.paysystem.pay.invoice")
        await shop.accept(5)
        async with asyncio.timeout(50):
            while any(row.state in ("queued", "sending", "in_doubt") for row in await rows(deps, 5)):
                leases, _ = await ledger.take("test", 1)
                for lease in leases:
                    await drive(await shop.lane(lease, deps.clock() + 6), deps)
                await client.delete(*[key async for key in client.scan_iter("*limit*")] or ["none"])
                await asyncio.sleep(0.1)
    states = {row.invoice_id: (row.state.value, row.error and row.error.code) for row in await rows(deps, 5)}
    assert states == {1: ("failed", "NO_ANSWER")} | dict.fromkeys(range(2, 6), ("paid", None))


async def rows(deps: Deps, count: int) -> list[Payment]:
    found = await deps.ledger.find([f"h{n}" for n in range(1, count + 1)])
    return [row for row in found if row is not None]


# 3 - a held lane with a suspect is driven for ever, without a pause


async def test_a_held_lane_with_a_suspect_is_handed_back(shop: Shop, redis_url: str) -> None:
    """An operator holds the lane whose payment kills workers: the driver must end, and not ask Redis without pause."""
    await a_suspect(shop, redis_url)
    lane = await shop.take()
    await shop.deps.ledger.hold(PORTAL, "OPERATOR", "it kills workers")
    async with asyncio.timeout(3):
        await drive(lane, shop.deps)


async def a_suspect(shop: Shop, redis_url: str) -> None:
    """A payment two of whose drivers died, queued again."""
    async with async_redis_client(redis_url, max_connections=2, decode_responses=False) as client:
        await shop.accept(1)
        await client.hset(f"{PREFIX}p:h1", "x", 2)
        await client.rpush(f"{PREFIX}x:{PORTAL}", await client.lpop(f"{PREFIX}q:{PORTAL}"))


# 4 - a person's "unpaid", and a new request instead of a retry


async def test_a_new_request_after_a_persons_unpaid_is_read_first(world: World) -> None:
    """`doubts resolve --as unpaid` by mistake, and the producer asks again, as producers do after a failure."""
    await ended(world, LOST)
    await world.pass_time(QUIET_S)
    await world.ledger.decide("h1", paid=False, because="looked at the wrong invoice")
    await world.ledger.open([an_ask("h2")])
    lease = await take_one(world)
    assert [payment.id for payment in (await world.ledger.claim(lease, 10)).payments] == []


# 5 - a portal's key given to another portal


async def test_a_key_that_was_given_to_another_portal_knows_nothing_of_the_first_ones_invoices(shop: Shop) -> None:
    """`portal remove acme`, `portal add acme` with another address: invoice 1 of the new one was never paid."""
    await shop.accept(1)
    await drive(await shop.take(), shop.deps)
    await shop.deps.ledger.remove_lane(PORTAL)
    await shop.deps.registry.remove(PORTAL, remembered_s=1000)
    other = parse_portal(PORTAL, {"webhook": "http://other.test:81/rest/1/another-secret/"}, allow_insecure=True)
    with suppress(RegistryError):  # refusing the other address is as good
        await shop.deps.registry.put(other)
        await shop.deps.ledger.add_lane(PORTAL)
        [answer] = await shop.deps.ledger.open([an_ask("new", pay_system_id=1)])
        assert not isinstance(answer, AlreadyPaid)


# 6 - a result backend that neither answers nor fails


class Hanging:
    """A mailbox behind a connection that is half-open (a database backend has no time limit of ours)."""

    async def put(self, metas: Sequence[Meta], *, only_new: bool) -> None:
        await asyncio.Event().wait()


async def test_a_result_backend_that_hangs_keeps_no_payment_waiting(shop: Shop) -> None:
    """The ledger has the verdict and the outbox the result: the lane must be handed back all the same."""
    deps = replace(shop.deps, results=Results(Hanging(), shop.deps.ledger))
    await shop.accept(3)
    async with asyncio.timeout(5):
        await drive(await shop.take(), deps)


# 7 - the same process takes a lane again while the old one's requests still land


async def test_a_lane_taken_anew_by_the_same_process_stays_its_own(shop: Shop, redis_url: str) -> None:
    """The old lane's end must not strike the new one off the list: it would not be closed at a stop, nor renewed."""
    shop.emulator.farm.patch("*", {"latency_s": 1.5})
    await shop.accept(1)
    dispatcher = Dispatcher("test", shop.deps)
    running = asyncio.create_task(dispatcher.run())
    try:
        await eventually(lambda: PORTAL in dispatcher._lanes and dispatcher._lanes[PORTAL].busy)
        old = dispatcher._lanes[PORTAL]
        async with async_redis_client(redis_url, max_connections=2, decode_responses=False) as client:
            # Redis stood still for a lease: the lane is due, and the first to be served is the same process.
            await client.hset(f"{PREFIX}l:{PORTAL}", "until", 0)
            await client.zadd(f"{PREFIX}due", {PORTAL: 0})
        await shop.deps.ledger.open([an_ask("h2", invoice_id=2, pay_system_id=1)])
        await eventually(lambda: dispatcher._lanes.get(PORTAL) not in (None, old))
        new = dispatcher._lanes[PORTAL]
        await eventually(lambda: not old.busy)
        await asyncio.sleep(0.3)
        assert not new.busy or dispatcher._lanes.get(PORTAL) is new
    finally:
        await dispatcher.stop(5)
        await running


# 9 - a withdrawal after a rollback


async def test_a_withdrawal_says_nothing_that_the_lost_history_may_belie(world: ServerWorld) -> None:
    """Queued again by a rollback, it may be paid: "withdrawn before anything was sent" is a wrong result."""
    await accepted(world, "h1")
    await take_one(world)
    await world.pass_time(LEASE_S)
    await world.restart_server()
    await world.ledger.hold(PORTAL, "OPERATOR", "look first")
    await world.ledger.take("driver", 0)  # any worker notices the other server
    await world.ledger.cancel("h1")
    assert await state_of(world) is not State.CANCELLED


# 10 - a record that is gone


@pytest.mark.parametrize("where", ["sending", "in_doubt"])
async def test_a_record_that_is_gone_stops_nobody_elses_payment(shop: Shop, where: str) -> None:
    """An eviction or a hand took one record away: its lane must go on."""
    await shop.accept(2)
    lane = await shop.take("dead")
    [first, second] = (await shop.deps.ledger.claim(lane.lease, 2)).payments
    if where == "in_doubt":
        await shop.deps.ledger.settle(lane.lease, [Decision(row, replace(LOST, quiet_s=0)) for row in (first, second)])
    await shop.deps.ledger._client.delete(f"{PREFIX}p:h1")
    await shop.deps.ledger.release(lane.lease, 0)
    await drive(await shop.take("alive"), shop.deps)
    assert (await shop.payment("h2")).state is not State.SENDING
