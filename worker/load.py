"""How many requests one process keeps in flight, so that its event loop stays quick.

A portal that answers faster than answers can be settled fills the loop with work, and a payment of another portal waits
behind all of it. So the loop's own lateness decides, as a network's delay decides how much a sender keeps on the line:
fewer at once while it is late, step by step more while it is not. Slow portals never come near it.
"""

import asyncio
from collections.abc import Callable
from math import ceil
from typing import Final

# Each holds its payments in memory.
MOST_REQUESTS: Final = 256
# A whole standard burst goes out at once; where much more comes up at once, it is first seen how that goes.
FIRST_REQUESTS: Final = 32
# So few keep one core busy, whatever the portals do.
LEAST_REQUESTS: Final = 4
PULSE_S: Final = 0.05
LATE_S: Final = 0.03
FEWER: Final = 0.7
# A late pulse is remembered for so many: meanwhile there are MORE requests a pulse, otherwise twice as many.
REMEMBERED: Final = 60
MORE: Final = 2


class Load:
    """Requests in flight of all lanes of a process, and how many may be."""

    def __init__(self, note: Callable[[float], None] = lambda late_s: None) -> None:
        self._note = note  # is told how late the loop was
        self.requests = 0
        self.most = float(FIRST_REQUESTS)
        self._strained = 0  # pulses for which a late one is remembered

    @property
    def is_full(self) -> bool:
        """Whether a lane that has a request in flight should wait with the next."""
        return self.requests >= self.most

    def share(self, lanes: int) -> int:
        """How many requests each of so many lanes may have in flight; once half is used, no lane takes it all."""
        return MOST_REQUESTS if 2 * self.requests < self.most else ceil(self.most / lanes)

    @property
    def is_strained(self) -> bool:
        """Whether the loop was late within the last seconds: another process may have time."""
        return self._strained > 0

    def felt(self, late_s: float) -> None:
        """The loop came back to us so much later than asked for."""
        if late_s > LATE_S:
            self.most = max(float(LEAST_REQUESTS), FEWER * min(self.most, self.requests))
            self._strained = REMEMBERED
            return
        more = self.most + MORE if self.is_strained else 2 * self.most
        # What is not used says nothing about what could be.
        self.most = min(more, max(FIRST_REQUESTS, 2.0 * self.requests), MOST_REQUESTS)
        self._strained = max(0, self._strained - 1)

    async def feel(self) -> None:
        """Feel the loop's pulse until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            expected = loop.time() + PULSE_S
            await asyncio.sleep(PULSE_S)
            late_s = loop.time() - expected
            self._note(late_s)
            self.felt(late_s)
