"""What dead workers left behind, and how long it took until somebody had decided about it."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from redis.exceptions import RedisError

from ledger.ledger import Ledger
from ledger.payment import Payment, PaymentId, State

_LOOK_EVERY_S: Final = 0.25


@dataclass(slots=True)
class _Case:
    died_at_s: float
    claim: str
    portal: str
    disturbed: bool = False


@dataclass(slots=True)
class Casualties:
    """Follows payments that were in `sending` when their worker died, until they have a verdict.

    A verdict: paid, failed, or back in the queue because the portal said "not paid". A payment that is in `sending`
    again under a newer claim has been in the queue between two looks. What is promised about the time holds while
    nothing else happens: a case is disturbed when Redis went away meanwhile, or the lane's next driver died as well.
    """

    ledger: Ledger
    clock: Callable[[], float]  # seconds since the storm began
    undisturbed_s: list[float] = field(default_factory=list)  # from a death to each verdict
    disturbed_s: list[float] = field(default_factory=list)
    left: int = 0  # payments that were left, once for each death
    quiet_s: float = 0.0  # the shortest quiet time that the ledger gave one of them; a restart of Redis prolongs it
    _open: dict[PaymentId, _Case] = field(default_factory=dict)

    def worker_died(self, at_s: float, left: Sequence[Payment], portals: Iterable[str]) -> None:
        """A worker has died while it drove the lanes of these portals, and has left these payments in `sending`."""
        driven = set(portals)
        for case in self._open.values():
            case.disturbed |= case.portal in driven
        self.left += len(left)
        for payment in left:
            self._open.setdefault(payment.id, _Case(at_s, payment.claim, payment.portal))

    def redis_died(self) -> None:
        """Redis has gone away, and every quiet time begins anew."""
        for case in self._open.values():
            case.disturbed = True

    @property
    def undecided(self) -> int:
        """How many still wait for a verdict."""
        return len(self._open)

    async def follow(self) -> None:
        """Look after them until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            with suppress(RedisError, OSError):
                await self.look()

    async def look(self) -> None:
        """Find out who has a verdict now."""
        wanted = list(self._open)
        for number, payment in zip(wanted, await self.ledger.find(wanted), strict=True):
            case = self._open[number]
            if payment is None:  # a power loss took it: it has no verdict of its own any more
                del self._open[number]
            elif payment.state not in (State.SENDING, State.IN_DOUBT) or payment.claim != case.claim:
                del self._open[number]
                decided_s = self.disturbed_s if case.disturbed else self.undisturbed_s
                decided_s.append(round(self.clock() - case.died_at_s, 3))
            elif payment.quiet_until and payment.sent_at:
                quiet_s = (payment.quiet_until - payment.sent_at).total_seconds()
                self.quiet_s = min(self.quiet_s or quiet_s, quiet_s)
