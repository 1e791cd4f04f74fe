"""A ledger in memory whose clock stands still until a test moves it."""

from datetime import UTC, datetime, timedelta

from ledger.memory import MemoryLedger
from ledger.memory.book import Book
from ledger.payment import PaymentId
from tests.conformance.ledger.world import LEASE_S, MAX_ATTEMPTS, QUIET_S, RETENTION_S


class MemoryWorld:
    """Time is a variable, and so is the server."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 24, tzinfo=UTC)
        self.server = 1
        self.book = Book(lambda: self.time, timedelta(seconds=RETENTION_S), lambda: f"server-{self.server}")
        self.ledger = self.another()

    def another(self) -> MemoryLedger:
        """The same ledger as another process has it."""
        return MemoryLedger(
            lease_s=LEASE_S, retention_s=RETENTION_S, max_attempts=MAX_ATTEMPTS, quiet_s=QUIET_S, book=self.book
        )

    async def pass_time(self, seconds: float) -> None:
        """Move the clock."""
        self.time += timedelta(seconds=seconds)

    async def restart_server(self) -> None:
        """Be another server."""
        self.server += 1

    async def empty(self) -> None:
        """Forget everything."""
        self.book.clear()

    async def lose_due(self, portal: str) -> None:
        """Forget when a lane is due."""
        self.book.lanes[portal].due = None

    async def forget_lease(self, portal: str) -> None:
        """End a lease before its time."""
        lane = self.book.lanes[portal]
        lane.until = lane.due = self.book.now()

    async def lose_record(self, handle: str) -> None:
        """Forget a row and leave its name wherever it waits."""
        del self.book.rows[PaymentId(handle)]
