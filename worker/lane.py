"""One portal's lane while this process drives it: the lease as this process believes it, and what is in flight."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import structlog

from bitrix24.credentials import Credential
from bitrix24.portal import Portal
from ledger.ledger import Lease
from limiter.limiter import MOST_COMMANDS, Limits
from worker.deps import CLAIM_TO_SEND_S
from worker.load import Load

log = structlog.get_logger(__name__)

MOST_LANES = 500  # lanes driven at once by one process; each costs a few kilobytes and its requests in flight
# While other lanes wait for room, or other processes may have more time than this one, a lane claims for this long and
# goes to the end of the line.
SLICE_S = 2.0
QUICK_S = 1.0
MOST_IN_FLIGHT = 64  # a whole standard burst (50) may be on its way at once
MOST_AT_ONCE = 4  # requests that one claim fills; more would keep the ledger from everybody for too long
# While a request is in flight, an unfilled batch waits this long for more payments: requests are what a portal counts.
LINGER_S = 0.1
# A lane with requests in flight looks for new work so often: soon at first, then rarely, for many lanes look.
FIRST_LOOK_S, LONGEST_LOOK_S = 0.05, 1.0
# Longer waits for a permit are spent in the due-set, where they cost nothing.
LONGEST_WAIT_S = 2.0


def limits_of(portal: Portal) -> Limits:
    """What the portal admits, in the limiter's terms."""
    limits = portal.limits
    return Limits(
        limits.requests_per_second, limits.burst, limits.execution_seconds_per_10_min, limits.execution_window_s
    )


@dataclass(slots=True)
class Lane:
    """A lane under way. It ends when its work, its slice or its lease does."""

    lease: Lease
    portal: Portal
    clock: Callable[[], float]
    load: Load
    neighbours: Callable[[], int]  # how many lanes this process drives
    believed_until: float  # monotonic; computed before the lease was asked for, so never later than the server's
    slice_until: float
    wait_s: float = 0.0  # when released, the queue is driven again after this long
    batch: int = MOST_COMMANDS  # payments that a request is worth, as the latest permit said
    singly: bool = False  # this portal wants no pays in batches
    probing: bool = False  # first contact, or the first after an outage: nothing flies beside it
    renewing: bool = False  # its tokens are being renewed: nothing is sent with the old ones
    unproven: Credential | None = None  # renewed here, and the portal has not accepted it yet
    in_vain: int = 0  # renewals in a row whose tokens had run out before the portal saw them
    next_renewal_at: float = 0.0  # monotonic; a token server that is out of order is not asked before
    moves: int = 0  # how often the portal has moved while we drove it
    reading: bool = False  # one read-back of doubts at a time
    closing: bool = False  # nothing more is claimed
    lost: bool = False  # somebody else has the lease, or nobody
    stopped: bool = False  # nor sent, of what is claimed already: the portal refuses everything
    look_s: float = FIRST_LOOK_S
    took_s: float = 0.0  # by the latest answered request
    lingers_until: float | None = None  # monotonic; an unfilled batch waits for more
    _in_flight: set[asyncio.Task[None]] = field(default_factory=set)
    _nudge: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def key(self) -> str:
        """The portal's key."""
        return self.lease.portal

    @property
    def limits(self) -> Limits:
        """What the portal admits, in the limiter's terms."""
        return limits_of(self.portal)

    @property
    def busy(self) -> bool:
        """Whether any request of this lane is in flight."""
        return bool(self._in_flight)

    def goes_on(self) -> bool:
        """Whether the lane may claim more."""
        if self.closing or self.clock() >= self.believed_until:
            return False
        # Handing back waits for what is in flight, and slow requests are not what strains a process.
        strains = self.load.is_strained and self.took_s < QUICK_S
        is_wanted = self.neighbours() >= MOST_LANES or strains
        return not is_wanted or self.clock() < self.slice_until

    def room(self) -> int:
        """How many more requests may be sent beside those in flight."""
        if self.renewing:
            return 0
        if self.load.is_full or ((self.probing or self.lease.trial) and self.busy):
            return 0 if self.busy else 1
        most = min(MOST_IN_FLIGHT, self.load.share(self.neighbours()))
        return max(0, min(most - len(self._in_flight), MOST_AT_ONCE))

    def is_worth_a_request(self, waiting: int) -> bool:
        """Whether so many payments are: any when none is in flight, else a full batch - unless an unfilled one has
        waited long enough."""
        lingered = self.lingers_until is not None and self.clock() >= self.lingers_until
        return waiting >= (1 if lingered or not self.busy else self.batch)

    async def linger(self, waiting: int) -> bool:
        """Rest until a request lands or it is time to look for new work; True when one has landed.

        An unfilled batch has some time to fill; it counts from the first call.
        """
        if waiting and self.lingers_until is None:
            self.lingers_until = self.clock() + LINGER_S
        landed = await self.nap(self.look_s)
        self.look_s = FIRST_LOOK_S if landed or waiting else min(2 * self.look_s, LONGEST_LOOK_S)
        return landed

    def may_send_until(self, claim_began: float, http_total_s: float) -> float | None:
        """The moment by which a call that starts now must be over: inside the lease, and begun soon after its claim.

        None: nothing may be sent. The moment travels with the call and is looked at again right before its first byte,
        because this process may be stopped at any point in between.
        """
        if self.stopped:
            return None
        now = self.clock()
        ends = now + http_total_s
        soon = now - claim_began <= CLAIM_TO_SEND_S
        return ends if soon and ends <= self.believed_until else None

    def launch(self, work: Coroutine[Any, Any, None]) -> None:
        """Let a request fly beside the others."""
        task = asyncio.create_task(work)
        self._in_flight.add(task)
        self.load.requests += 1
        task.add_done_callback(self._landed)

    async def nap(self, seconds: float) -> bool:
        """Rest until a request lands or the lane closes, at most so long; False when the time was over."""
        try:
            async with asyncio.timeout(seconds):
                await self._nudge.wait()
        except TimeoutError:
            return False
        self._nudge.clear()
        return True

    async def all_landed(self, within_s: float | None = None) -> None:
        """Wait for everything in flight. A failed request has logged its own failure."""
        ends = None if within_s is None else self.clock() + within_s
        while self._in_flight and (ends is None or self.clock() < ends):
            await asyncio.wait(self._in_flight, timeout=None if ends is None else ends - self.clock())

    def accepted(self, portal: Portal) -> None:
        """The portal has answered a request with this credential."""
        if portal.credential == self.unproven:
            self.unproven, self.in_vain = None, 0

    def close(self) -> None:
        """Claim nothing more; what is in flight lands."""
        self.closing = True
        self._nudge.set()

    def stop(self) -> None:
        """Claim and send nothing more; what has left lands, and what has not goes back to the queue."""
        self.stopped = True
        self.close()

    def renewed(self, until: float) -> None:
        """The lease holds until then (monotonic)."""
        self.believed_until = until

    def lose(self) -> None:
        """Somebody else has the lease: nothing more may be sent."""
        self.believed_until = float("-inf")
        self.lost = True
        self.close()

    def abandon(self) -> None:
        """Give up waiting for answers: what is in flight becomes in doubt."""
        for task in self._in_flight:
            task.cancel()

    def _landed(self, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        self.load.requests -= 1
        if not task.cancelled() and (error := task.exception()) is not None:
            # Its payments stay in `sending`; handed back and taken anew, the lane recovers them.
            log.error("request.crashed", portal=self.key, error=type(error).__name__, exc_info=error)
            self.closing = True
        self._nudge.set()
