"""One lane driven in this process: a real ledger, a real client, an emulated portal."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from celery import Celery

from bitrix24.portal import parse_portal
from config.connections import celery_url
from config.settings import Settings
from emulator.faults import read_fault
from emulator.server import RunningEmulator, running_emulator
from ledger.ledger import Lease
from ledger.payment import Payment, State
from tests.conformance.ledger.world import PORTAL, an_ask
from tests.eventually import eventually
from worker.deps import Deps
from worker.driver import drive, send_and_settle
from worker.lane import Lane
from worker.load import Load
from worker.runtime import open_parts

REST = 1


@dataclass(frozen=True)
class Shop:
    """The parts of one process, and one portal with its lane."""

    deps: Deps
    emulator: RunningEmulator

    async def accept(self, invoices: int) -> None:
        """Payments of the invoices 1, 2, ..."""
        asks = [an_ask(f"h{n}", invoice_id=n, pay_system_id=REST) for n in range(1, invoices + 1)]
        await self.deps.ledger.open(asks)

    async def take(self, owner: str = "test") -> Lane:
        """The lane, leased."""
        began = self.deps.clock()
        [lease], _ = await self.deps.ledger.take(owner, 1)
        return await self.lane(lease, began + self.deps.lease_s)

    async def lane(self, lease: Lease, believed_until: float) -> Lane:
        """A lane under way."""
        return Lane(
            lease=lease,
            portal=await self.deps.registry.get(PORTAL),
            clock=self.deps.clock,
            load=Load(),
            neighbours=lambda: 1,
            believed_until=believed_until,
            slice_until=self.deps.clock() + 60,
        )

    async def payment(self, handle: str = "h1") -> Payment:
        """One payment as it stands."""
        [payment] = await self.deps.ledger.find([handle])
        assert payment is not None
        return payment

    @property
    def requests(self) -> int:
        """How many requests the portal was sent."""
        return self.emulator.farm.counters().requests

    @property
    def effects(self) -> dict[int, int]:
        """How often each invoice was really paid."""
        return self.emulator.farm.effects(self.emulator.authority).counts

    def fault(self, **rule: object) -> None:
        """Make the portal misbehave."""
        self.emulator.farm.faults.add(read_fault(rule))


@asynccontextmanager
async def a_shop(settings: Settings, url: str) -> AsyncIterator[Shop]:
    """Everything a process works with, but the loops."""
    backend = Celery(backend=celery_url(url), set_as_current=False).backend
    async with running_emulator({"template": {"plan": "none"}}) as emulator, open_parts(settings, backend) as deps:
        portal = parse_portal(PORTAL, {"webhook": emulator.webhook()}, allow_insecure=True)
        await deps.registry.put(portal)
        await deps.ledger.add_lane(PORTAL)
        yield Shop(deps, emulator)


@pytest.fixture
async def shop(redis_url: str, a_settings: Callable[..., Settings]) -> AsyncIterator[Shop]:
    """A shop with short times."""
    quick = {"B24PAY_HTTP_TOTAL_S": "3", "B24PAY_PORTAL_CUT_S": "1", "B24PAY_LEASE_S": "6"}
    async with a_shop(a_settings(REDIS_URL=redis_url, **quick), redis_url) as shop:
        yield shop


async def test_a_lane_is_driven_until_it_is_empty(shop: Shop) -> None:
    """Every payment is paid once and proven, and the lane is handed back."""
    await shop.accept(7)
    await drive(await shop.take(), shop.deps)
    assert {(await shop.payment(f"h{n}")).state for n in range(1, 8)} == {State.PAID}
    assert shop.effects == dict.fromkeys(range(1, 8), 1)
    [view] = await shop.deps.ledger.lanes()
    assert (view.owner, view.due_at) == (None, None)


async def test_a_lane_is_handed_back_when_everything_has_landed(shop: Shop) -> None:
    """A lane that closes while a request is in flight stays leased until its answer is settled."""
    shop.emulator.farm.patch("*", {"latency_s": 0.3})
    await shop.accept(1)
    lane = await shop.take()
    driving = asyncio.create_task(drive(lane, shop.deps))
    await eventually(lambda: lane.busy)
    lane.close()
    await driving
    assert (await shop.payment()).state is State.PAID
    assert (await shop.payment()).deaths == 0


async def test_a_far_portal_is_asked_in_full_after_its_first_answer(shop: Shop) -> None:
    """It tells what its commands took, so its latency is not taken for theirs."""
    shop.emulator.farm.patch("*", {"latency_s": 1.0})
    await shop.accept(3 + 49)
    await drive(await shop.take(), shop.deps)
    assert shop.requests == 2


async def test_nothing_leaves_under_a_lease_that_a_call_could_outlive(shop: Shop) -> None:
    """What was claimed goes back unsent, without an attempt spent."""
    await shop.accept(1)
    lane = await shop.take()
    claimed = await shop.deps.ledger.claim(lane.lease, 1)
    lane.renewed(shop.deps.clock() + shop.deps.http_total_s - 0.1)
    await send_and_settle(lane, claimed.payments, shop.deps.clock(), shop.deps)
    payment = await shop.payment()
    assert (payment.state, payment.attempts) == (State.QUEUED, 0)
    assert shop.requests == 0


async def test_what_a_dead_driver_left_is_read_and_not_sent(shop: Shop) -> None:
    """Its call may have paid, and it may still run: the portal is asked first, and asked again after the quiet time."""
    await shop.accept(1)
    lane = await shop.take("dead")
    await shop.deps.ledger.claim(lane.lease, 1)
    await shop.deps.ledger.release(lane.lease, 0)
    await drive(await shop.take("alive"), shop.deps)
    payment = await shop.payment()
    assert (payment.state, payment.deaths, shop.effects) == (State.IN_DOUBT, 1, {})


async def test_a_refused_group_is_sent_one_by_one(shop: Shop) -> None:
    """The refusal speaks of the request; each payment alone is paid."""
    shop.fault(kind="error", place="before", method="batch", status=413, code="", text="too large", count=1)
    await shop.accept(3)
    await drive(await shop.take(), shop.deps)
    assert shop.effects == {1: 1, 2: 1, 3: 1}
    assert shop.requests > 3
    while (await shop.payment("h3")).state is State.IN_DOUBT:
        # A single call brings no read-back along; the last one may be left to the next turn of the lane.
        await drive(await shop.take(), shop.deps)
    assert (await shop.payment("h3")).state is State.PAID
