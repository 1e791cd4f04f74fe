"""What nobody would come back to: results that were not delivered, lanes with work that no driver would be given.

Every worker sweeps, without a leader; doing it twice is harmless. Leases that ran out and doubts that are due need no
sweep: both stand in the due-set, and retention is expiry by the server.
"""

import asyncio
import random

import structlog
from redis.exceptions import RedisError

from ledger.ledger import Ledger
from worker.results import Results

log = structlog.get_logger(__name__)

EVERY_S = 5.0  # with jitter, so that many workers do not sweep in step
OLDER_THAN_S = 5.0  # younger results are still on their way from whoever settled them
AT_ONCE = 500
LANES_AT_ONCE = 1000  # a sweep of ten thousand lanes takes ten rounds
# Steps in which failures are counted that an older version left uncounted: a million in a minute or two, and between
# two steps the server is everybody's.
TALLIES_AT_ONCE = 200
TALLY_PAUSE_S = 0.02


class Sweeper:
    """Delivers what was left in the outbox, and makes forgotten lanes due."""

    def __init__(self, ledger: Ledger, results: Results) -> None:
        self._ledger = ledger
        self._results = results

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, not a secret
            try:
                while await self.deliver_left() == AT_ONCE:
                    pass
                await self.find_forgotten()
                await self.count_failures()
            except (RedisError, OSError) as error:
                log.warning("ledger.unavailable", error=type(error).__name__)
            except Exception as error:
                log.exception("sweeper.stumbled", error=type(error).__name__)

    async def deliver_left(self) -> int:
        """Deliver one round of left results; how many were delivered."""
        left = await self._ledger.undelivered(AT_ONCE, OLDER_THAN_S)
        if not left or not await self._results.deliver(left):
            return 0
        log.info("results.delivered_late", results=len(left))
        return len(left)

    async def find_forgotten(self) -> None:
        """Put lanes back whose work is not in the due-set: no step leaves one, but a server's repair tool may."""
        for portal in await self._ledger.sweep(LANES_AT_ONCE):
            log.warning("lane.found", portal=portal)

    async def count_failures(self) -> None:
        """Put the counts of failures by code right that a version that knows none has left, a part at a time."""
        for _ in range(TALLIES_AT_ONCE):
            if not await self._ledger.figures.tally():
                break
            await asyncio.sleep(TALLY_PAUSE_S)
