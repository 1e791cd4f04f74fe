"""Payments go first: what a comparison may take of a portal's requests, on a clock that a test moves."""

from dataclasses import dataclass, field

import pytest

from bitrix24.portal import parse_portal
from ledger.ledger import Held, LaneView
from ledger.payment import PortalKey, State
from limiter.limiter import Limits, Observation
from limiter.memory import MemoryLimiter
from reconciling.permits import limits_of, spare_permit

WEBHOOK = "https://acme.bitrix24.com/rest/1/abcdef/"
PORTAL = parse_portal("acme", {"webhook": WEBHOOK})
STEP_S = 0.05


@dataclass
class Bench:
    """A limiter that knows its portal, and who asks it for permits."""

    limits: Limits = field(default_factory=lambda: limits_of(PORTAL))
    now: float = 1_000.0
    paid: int = 0
    read: int = 0

    def __post_init__(self) -> None:
        self.limiter = MemoryLimiter(clock=lambda: self.now, chance=lambda: 0.0)

    async def learn(self) -> None:
        """The portal has answered a payment: its pace is known."""
        await self.limiter.observed("acme", self.limits, Observation(1, 0.1, None, None))

    async def pass_time(self, seconds: float, *, paying: bool, reading: bool) -> None:
        """Let both take what they get; payments all they can, a comparison one request at a time."""
        for _ in range(round(seconds / STEP_S)):
            self.now += STEP_S
            while reading and not await spare_permit(self.limiter, PORTAL, lane(queued=int(paying))):
                self.read += 1
            while paying and (await self.limiter.acquire("acme", self.limits)).granted:
                self.paid += 1


def lane(*, held: bool = False, **counts: int) -> LaneView:
    """A lane with so many payments in each state."""
    reason = Held("OPERATOR", "", since=None) if held else None  # type: ignore[arg-type]  # nobody reads it
    states = {state: counts.get(state.value, 0) for state in State}
    return LaneView(portal=PortalKey("acme"), counts=states, held=reason, due_at=None, owner=None)


async def test_beside_a_full_lane_nothing_is_taken_from_payments() -> None:
    """They pay as many as without it, and it reads nothing until they have ended."""
    alone, beside = Bench(), Bench()
    for bench, reading in ((alone, False), (beside, True)):
        await bench.learn()
        while (await bench.limiter.acquire("acme", bench.limits)).granted:
            bench.paid += 1  # the burst
        await bench.pass_time(120, paying=True, reading=reading)
    assert (beside.paid, beside.read) == (alone.paid, 0)
    await beside.pass_time(60, paying=False, reading=True)
    assert beside.read > 0


async def test_an_idle_portal_is_read_and_keeps_most_of_its_burst() -> None:
    """Whoever begins to pay in the middle finds three quarters of it."""
    bench = Bench()
    await bench.learn()
    await bench.pass_time(60, paying=False, reading=True)
    assert bench.read >= 60 * bench.limits.rate
    pace = await bench.limiter.pace("acme", bench.limits)
    assert pace.level <= bench.limits.burst / 4 + 1


@pytest.mark.parametrize("burst", [1, 2, 3])
async def test_a_small_bucket_is_read_while_nobody_pays(burst: int) -> None:
    """And left alone while somebody does, where it has one request to give."""
    small = parse_portal("acme", {"webhook": WEBHOOK, "limits": {"burst": burst}})
    bench = Bench(limits_of(small))
    await bench.learn()
    assert await spare_permit(bench.limiter, small, lane()) == 0.0
    if burst == 1:
        bench.now += 60
        assert await spare_permit(bench.limiter, small, lane(queued=1)) > 0


async def test_a_pause_is_kept() -> None:
    """Nothing is taken while the portal is paused, and the wait is told."""
    bench = Bench()
    await bench.limiter.pause("acme", 3.0)
    assert await spare_permit(bench.limiter, PORTAL, lane()) == pytest.approx(3.0)


async def test_nothing_flies_beside_a_first_payment() -> None:
    """Nobody knows yet whether the portal answers; a lane whose payments wait for a person is nobody's first."""
    bench = Bench()
    assert await spare_permit(bench.limiter, PORTAL, lane(sending=1)) > 0
    assert (await bench.limiter.pace("acme", bench.limits)).level == 0
    assert await spare_permit(bench.limiter, PORTAL, lane(queued=5, held=True)) == 0.0
