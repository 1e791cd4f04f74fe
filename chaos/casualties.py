"""What dead workers left behind, and how long it took until somebody had decided about it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from redis.exceptions import RedisError

from chaos.history import History
from ledger.payment import Payment, PaymentId, State
from ledger.redis import RedisLedger

_LOOK_EVERY_S: Final = 0.25


@dataclass(slots=True)
class Casualties:
    """Follows payments that were in `sending` when their worker died, until they have a verdict.

    A verdict: paid, failed, or back in the queue because the portal said "not paid". A payment that is in `sending`
    again under a newer claim has been in the queue between two looks.
    """

    ledger: RedisLedger
    history: History
    decided_s: list[float] = field(default_factory=list)  # from a death to each verdict
    hits: int = 0  # deaths that left something
    left: int = 0  # payments that were left, once for each death
    _open: dict[PaymentId, tuple[float, str]] = field(default_factory=dict)  # moment of death, claim

    def note(self, at_s: float, left: Sequence[Payment]) -> None:
        """A worker has died and left these."""
        self.hits += bool(left)
        self.left += len(left)
        for payment in left:
            self._open.setdefault(payment.id, (at_s, payment.claim))

    @property
    def undecided(self) -> int:
        """How many still wait for a verdict."""
        return len(self._open)

    async def follow(self) -> None:
        """Look after them until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            try:
                await self.look()
            except (RedisError, OSError):
                continue

    async def look(self) -> None:
        """Find out who has a verdict now."""
        wanted = list(self._open)
        if not wanted:
            return
        for number, payment in zip(wanted, await self.ledger.find(wanted), strict=True):
            died_at_s, claim = self._open[number]
            # A payment that a power loss took has no verdict of its own any more.
            if payment is None:
                del self._open[number]
            elif payment.state not in (State.SENDING, State.IN_DOUBT) or payment.claim != claim:
                del self._open[number]
                self.decided_s.append(round(self.history.now_s - died_at_s, 3))
