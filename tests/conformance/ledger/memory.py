"""A ledger in memory whose clock stands still until a test moves it."""

from datetime import UTC, datetime, timedelta

from ledger.memory import MemoryLedger
from tests.conformance.ledger.world import LEASE_S, MAX_ATTEMPTS, QUIET_S, RETENTION_S


class MemoryWorld:
    """Time is a variable."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 24, tzinfo=UTC)
        self.ledger = MemoryLedger(
            lease_s=LEASE_S,
            retention_s=RETENTION_S,
            max_attempts=MAX_ATTEMPTS,
            quiet_s=QUIET_S,
            clock=lambda: self.time,
        )

    async def pass_time(self, seconds: float) -> None:
        """Move the clock."""
        self.time += timedelta(seconds=seconds)
