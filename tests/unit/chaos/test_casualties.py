"""What dead workers left is followed until somebody has decided about it."""

from datetime import UTC, datetime, timedelta

import pytest

from chaos.casualties import Casualties
from ledger.ledger import Lease
from ledger.memory import MemoryLedger
from ledger.payment import Evidence, Handle, NewPayment, Payment, PortalKey
from ledger.verdict import Decision, Paid

START = datetime(2026, 1, 1, tzinfo=UTC)
ACME = PortalKey("acme")


class World:
    """A ledger with a lane, a driver, and a clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.ledger = MemoryLedger(
            lease_s=4,
            retention_s=3600,
            max_attempts=5,
            quiet_s=9,
            clock=lambda: START + timedelta(seconds=self.now_s),
        )
        self.casualties = Casualties(self.ledger, lambda: self.now_s)

    async def sending(self) -> tuple[Lease, list[Payment]]:
        """A payment that a driver has claimed."""
        await self.ledger.add_lane(ACME)
        await self.ledger.open([NewPayment(id=Handle("h"), portal=ACME, invoice_id=7, pay_system_id=1)])
        lease = await self.take("first")
        return lease, list((await self.ledger.claim(lease, 10)).payments)

    async def take(self, owner: str) -> Lease:
        """The lane's lease for another driver."""
        [lease], _ = await self.ledger.take(owner, 1)
        return lease


@pytest.fixture
def world() -> World:
    return World()


async def settle_paid(world: World, lease: Lease, payment: Payment) -> None:
    await world.ledger.settle(lease, [Decision(payment, Paid(Evidence.READ_BACK))])


async def test_a_verdict_ends_the_wait(world: World) -> None:
    """Recovered by the next driver it is still waited for; paid it is not."""
    _, left = await world.sending()
    world.casualties.worker_died(1.0, left, [ACME])
    world.now_s = 6.0
    lease = await world.take("second")
    await world.ledger.recover(lease)
    await world.casualties.look()
    assert (world.casualties.undecided, world.casualties.quiet_s) == (1, 9.0)
    world.now_s = 9.5
    [doubt] = await world.ledger.doubts(lease, 10)
    await settle_paid(world, lease, doubt)
    await world.casualties.look()
    assert (world.casualties.undecided, world.casualties.undisturbed_s) == (0, [8.5])


async def test_what_another_death_meets_is_told_apart(world: World) -> None:
    """The next driver's, or that of Redis; the death of a worker with other lanes disturbs nothing."""
    for strike, disturbed in (
        (lambda casualties: casualties.worker_died(2.0, [], ["globex"]), False),
        (lambda casualties: casualties.worker_died(2.0, [], [ACME]), True),
        (lambda casualties: casualties.redis_died(), True),
    ):
        fresh = World()
        lease, left = await fresh.sending()
        fresh.casualties.worker_died(1.0, left, [ACME])
        strike(fresh.casualties)
        await settle_paid(fresh, lease, left[0])
        fresh.now_s = 3.0
        await fresh.casualties.look()
        assert bool(fresh.casualties.disturbed_s) is disturbed
        assert bool(fresh.casualties.undisturbed_s) is not disturbed


async def test_a_payment_that_a_power_loss_took_is_not_waited_for(world: World) -> None:
    """It has no verdict of its own any more, and no time is noted."""
    _, left = await world.sending()
    world.casualties.worker_died(1.0, left, [ACME])
    empty = World()
    world.casualties.ledger = empty.ledger
    await world.casualties.look()
    assert (world.casualties.undecided, world.casualties.undisturbed_s, world.casualties.left) == (0, [], 1)
