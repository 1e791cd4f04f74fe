"""A portal and a greedy lane on a clock that only events move: the emulator's own counters, no sockets, no sleeping."""

import heapq
import itertools
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from emulator.buckets import Hit, LeakyBucket, Operating
from limiter.limiter import Limits, Observation, Permit
from limiter.memory import MemoryLimiter

PORTAL = "acme"
KEY = ("apauth", None, "sale.paysystem.pay.invoice")
START = 1_700_000_007.0
LINE_S = 0.005  # one way

Step = Callable[[], Awaitable[None]]


@dataclass
class Clock:
    """Events in their order; time is when the next one happens."""

    now: float = START
    _events: list[tuple[float, int, Step]] = field(default_factory=list)
    _number: "itertools.count[int]" = field(default_factory=itertools.count)

    def at(self, instant: float, step: Step) -> None:
        """Let something happen then."""
        heapq.heappush(self._events, (max(instant, self.now), next(self._number), step))

    async def run(self, until: float, *, goes_on: Callable[[], bool] = lambda: True) -> None:
        """Let time pass."""
        while self._events and self._events[0][0] <= until and goes_on():
            self.now, _, step = heapq.heappop(self._events)
            await step()


@dataclass
class Portal:
    """What a portal does with requests; its rules may change while it runs."""

    clock: Clock
    rate: float = 2.0
    burst: int = 50
    base_s: float = 0.05
    pay_s: float = 0.03
    limit_s: float = 480.0
    skew_s: float = 0.0
    tells: bool = True  # how long its commands took
    bucket: LeakyBucket = field(default_factory=lambda: LeakyBucket(at=START))
    operating: Operating = field(default_factory=Operating)

    def takes(self) -> bool:
        """Count one request."""
        return self.bucket.take(self.clock.now, burst=self.burst, rate=self.rate)

    def now(self) -> float:
        """The portal's own clock."""
        return self.clock.now + self.skew_s

    def blocked(self, hit: Hit) -> bool:
        """Whether the next command is refused for its execution time."""
        return self.operating.spent(KEY, self.now()) + hit.total(KEY) > self.limit_s

    def account(self, hit: Hit, began: float) -> tuple[float, float]:
        """The running `operating` and `operating_reset_at` that a command's answer shows."""
        used_s = self.operating.spent(KEY, self.now()) + hit.total(KEY)
        return used_s, float(int(self.operating.reset_at(KEY, self.now(), began)))


@dataclass
class Tally:
    """What happened to our requests."""

    requests: int = 0
    refused: int = 0
    stopped: int = 0  # batches that met OPERATION_TIME_LIMIT
    paid: int = 0
    spent_s: float = 0.0
    sizes: list[int] = field(default_factory=list)
    took_s: list[float] = field(default_factory=list)
    passed_at: list[float] = field(default_factory=list)

    def passed(self, since: float, until: float) -> int:
        """How many requests the portal let through in that time."""
        return sum(since <= at < until for at in self.passed_at)


@dataclass
class Lane:
    """A lane with more work than it can do: asks for permits, sends, learns, like the worker's."""

    portal: Portal
    limits: Limits = field(default_factory=Limits)
    payments: float = float("inf")
    most_in_flight: int = 64
    chance: random.Random = field(default_factory=lambda: random.Random(1))
    tally: Tally = field(default_factory=Tally)
    in_flight: int = 0
    probing: bool = False
    asks_at: float = float("inf")

    def __post_init__(self) -> None:
        self.clock = self.portal.clock
        self.limiter = MemoryLimiter(clock=lambda: self.clock.now, chance=self.chance.random)
        self._ask_at(self.clock.now)

    def done(self) -> bool:
        """Whether nothing is left to do."""
        return self.payments <= 0 and not self.in_flight

    def _ask_at(self, instant: float) -> None:
        if instant < self.asks_at:
            self.asks_at = instant
            self.clock.at(instant, self._ask)

    async def _ask(self) -> None:
        if self.clock.now < self.asks_at - 1e-9:
            return  # it was put off
        self.asks_at = float("inf")
        while self.payments > 0 and self.in_flight < self.most_in_flight and not self.probing:
            permit = await self.limiter.acquire(PORTAL, self.limits)
            if not permit.granted:
                # No lane polls more seldom than it naps; a process that is a little late is the rule.
                self._ask_at(self.clock.now + min(permit.wait_s, 2.0) + self.chance.uniform(0, 0.01))
                return
            commands = int(min(permit.commands, self.payments))
            self.payments -= commands
            self.in_flight += 1
            self.probing = permit.command_s is None
            self.tally.requests += 1
            self.tally.sizes.append(commands)
            Request(self, permit, commands).send()

    def landed(self) -> None:
        """A request came back."""
        self.in_flight -= 1
        self.probing = False
        self._ask_at(self.clock.now)


@dataclass
class Request:
    """One batch on its way."""

    lane: Lane
    permit: Permit
    commands: int
    ran: int = 0
    hit: Hit = field(default_factory=Hit)
    account: tuple[float, float] | None = None
    sent_at: float = 0.0

    def send(self) -> None:
        """Let it fly."""
        self.sent_at = self.lane.clock.now
        self._later(LINE_S, self._arrive)

    def _later(self, seconds: float, step: Step) -> None:
        self.lane.clock.at(self.lane.clock.now + seconds, step)

    async def _arrive(self) -> None:
        if not self.lane.portal.takes():
            self.lane.tally.refused += 1
            self._later(LINE_S, self._refused)
            return
        self.lane.tally.passed_at.append(self.lane.clock.now)
        self._later(self.lane.portal.base_s, self._command)

    async def _command(self) -> None:
        portal = self.lane.portal
        if self.ran == self.commands or portal.blocked(self.hit):
            portal.operating.write(self.hit, portal.now())
            self._later(LINE_S, self._answered)
            return
        began, cost_s = portal.now(), portal.pay_s

        async def ends() -> None:
            self.ran += 1
            self.hit.add(KEY, began, cost_s)
            self.account = portal.account(self.hit, began)
            self.lane.tally.spent_s += cost_s
            await self._command()

        self._later(cost_s, ends)

    async def _refused(self) -> None:
        lane = self.lane
        lane.payments += self.commands
        await lane.limiter.give_back(PORTAL, lane.limits, reserved_s=self.permit.reserved_s, made=True)
        await lane.limiter.refused(PORTAL, lane.limits)
        lane.landed()

    async def _answered(self) -> None:
        lane, took_s = self.lane, self.lane.clock.now - self.sent_at
        used_s, reset_at = self.account or (None, None)
        told_s = self.ran * lane.portal.pay_s if lane.portal.tells else None
        seen = Observation(self.ran, took_s, used_s, reset_at, self.permit.reserved_s, told_s)
        await lane.limiter.observed(PORTAL, lane.limits, seen)
        if self.ran < self.commands:
            lane.tally.stopped += 1
            lane.payments += self.commands - self.ran
            await lane.limiter.execution_spent(PORTAL, lane.limits, reset_at)
        lane.tally.paid += self.ran
        lane.tally.took_s.append(took_s)
        lane.landed()


class Foreigner:
    """Another client of the same address: so many requests a second, evenly or by chance; what is refused is sent
    again until it passes."""

    def __init__(self, portal: Portal, per_s: float, *, by_chance: bool = False, seed: int = 2) -> None:
        self._portal, self._per_s, self._by_chance = portal, per_s, by_chance
        self._chance = random.Random(seed)
        self.passed = 0
        self._next()

    def _next(self) -> None:
        gap_s = self._chance.expovariate(self._per_s) if self._by_chance else 1 / self._per_s
        self._portal.clock.at(self._portal.clock.now + gap_s, self._begin)

    async def _begin(self) -> None:
        self._next()
        await self._ask()

    async def _ask(self) -> None:
        if self._portal.takes():
            self.passed += 1
        else:
            self._portal.clock.at(self._portal.clock.now + self._chance.uniform(0.2, 0.8), self._ask)
