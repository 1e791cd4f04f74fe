"""The memory limiter: the conformance suite, and its pace against a real leaky bucket."""

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limiter import pace
from limiter.limiter import Limits, Observation
from limiter.memory import MemoryLimiter
from tests.conformance.limiter.suite import LimiterSuite


class MemoryWorld:
    """Time is a number."""

    def __init__(self) -> None:
        self.time = 1_700_000_000.0
        self.chance = 0.0
        self.limiter = MemoryLimiter(clock=lambda: self.time, chance=lambda: self.chance)

    async def now(self) -> float:
        return self.time

    async def pass_time(self, seconds: float) -> None:
        self.time += seconds


@dataclass
class LeakyBucket:
    """The portal's side: plus one per request, minus `rate` per second, blocked above `burst`.

    With `step_s` it drains only at every such step of its own clock, as a reading of "each second" allows.
    """

    limits: Limits
    step_s: float | None
    phase_s: float = 0.0
    counter: float = 0.0
    drained_at: float = 0.0
    blocked: list[float] = field(default_factory=list)

    def request(self, at: float) -> None:
        """Count one arriving request."""
        until = at if self.step_s is None else (at - self.phase_s) // self.step_s * self.step_s + self.phase_s
        if until > self.drained_at:
            self.counter = max(0.0, self.counter - self.limits.rate * (until - self.drained_at))
            self.drained_at = until
        if self.counter + 1 > self.limits.burst + 1e-5:
            self.blocked.append(at)
        else:
            self.counter += 1


async def departures(limits: Limits, pauses: list[float], for_s: float) -> list[float]:
    """When a greedy sender that idles for `pauses` between its spells is let go."""
    world = MemoryWorld()
    start = world.time
    times: list[float] = []
    for pause_s in pauses:
        end = world.time + for_s
        while world.time < end:
            permit = await world.limiter.acquire("acme", limits)
            if permit.granted:
                times.append(world.time - start)
            else:
                world.time += permit.wait_s
        world.time += pause_s
    return times


class TestMemory(LimiterSuite):
    """Every claim of the suite holds in memory."""

    @pytest.fixture
    def world(self) -> MemoryWorld:
        """A world whose time only passes when it is told to."""
        return MemoryWorld()


@pytest.mark.parametrize("limits", [Limits(2.0, 50), Limits(5.0, 250)], ids=["standard", "enterprise"])
@settings(database=None, deadline=None)
@given(
    pauses=st.lists(st.floats(0, 60), min_size=1, max_size=5),
    phase_s=st.floats(0, 0.999),
    stepwise=st.booleans(),
    seed=st.integers(0, 2**32),
)
async def test_a_portal_never_has_to_refuse(
    limits: Limits, pauses: list[float], phase_s: float, stepwise: bool, seed: int
):
    """0 x 503, whether the portal drains smoothly (then requests may be a second late) or in whole-second steps."""
    delay = random.Random(seed)
    late_s = 0.0 if stepwise else pace.RESERVE_S
    times = await departures(limits, pauses, for_s=20.0)
    bucket = LeakyBucket(limits, step_s=1.0 if stepwise else None, phase_s=phase_s)
    for arrival in sorted(1 + at + delay.uniform(0, late_s) for at in times):
        bucket.request(arrival)
    assert bucket.blocked == []


@settings(database=None, deadline=None)
@given(
    asked=st.lists(st.tuples(st.integers(1, 60), st.floats(0, 40)), min_size=1, max_size=8),
    used_s=st.one_of(st.none(), st.floats(0.1, 479)),
    command_s=st.floats(0.02, 1.2),
)
async def test_several_at_once_are_as_many_in_a_row(
    asked: list[tuple[int, float]], used_s: float | None, command_s: float
):
    """Whatever was asked before: the burst that one permit grants is what single permits would have granted."""
    together, singly = MemoryWorld(), MemoryWorld()
    limits = Limits(2.0, 50)
    seen = Observation(10, 10 * command_s, operating_s=used_s, operating_reset_at=None)
    for world in (together, singly):
        await world.limiter.observed("acme", limits, seen)
    for requests, pause_s in asked:
        permit = await together.limiter.acquire("acme", limits, requests=requests)
        permits = [await singly.limiter.acquire("acme", limits) for _ in range(permit.requests or 1)]
        assert [one.granted for one in permits] == [permit.granted] * len(permits)
        assert sum(one.reserved_s for one in permits) == pytest.approx(permit.reserved_s)
        assert (permits[-1].free, permits[-1].commands) == (permit.free, permit.commands)
        for world in (together, singly):
            world.time += pause_s


async def test_the_rate_is_used_in_full():
    """In ten minutes a standard portal is asked burst + rate x time, less the reserve that is kept back once."""
    times = await departures(Limits(2.0, 50), [0.0], for_s=600.0)
    assert len(times) == pytest.approx(50 + 2 * 600 - 2, abs=1)


async def test_a_clock_that_is_set_back_does_not_stop_a_portal():
    """The bucket goes on draining from the new time."""
    world, limits = MemoryWorld(), Limits(2.0, 50)
    for _ in range(50):
        await world.limiter.acquire("acme", limits)
    world.time -= 3600
    permit = await world.limiter.acquire("acme", limits)
    world.time += permit.wait_s
    assert permit.wait_s < 2
    assert (await world.limiter.acquire("acme", limits)).granted
