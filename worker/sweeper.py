"""What nobody waits for any more: results that were not delivered. Every worker sweeps; doing it twice is harmless."""

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


class Sweeper:
    """Delivers what was left in the outbox."""

    def __init__(self, ledger: Ledger, results: Results) -> None:
        self._ledger = ledger
        self._results = results

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, not a secret
            try:
                while await self.run_once() == AT_ONCE:
                    pass
            except (RedisError, OSError) as error:
                log.warning("ledger.unavailable", error=type(error).__name__)
            except Exception as error:
                log.exception("sweeper.stumbled", error=type(error).__name__)

    async def run_once(self) -> int:
        """Deliver one round of left results; how many were delivered."""
        left = await self._ledger.undelivered(AT_ONCE, OLDER_THAN_S)
        if not left or not await self._results.deliver(left):
            return 0
        log.info("results.delivered_late", results=len(left))
        return len(left)
