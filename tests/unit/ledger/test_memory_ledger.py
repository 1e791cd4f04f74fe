"""The memory ledger: the conformance suite on a clock that a test moves."""

from datetime import UTC, datetime, timedelta

import pytest

from ledger.memory import MemoryLedger
from tests.conformance.ledger.suite import LedgerSuite
from tests.conformance.ledger.world import LEASE_S, MAX_ATTEMPTS, RETENTION_S


class MemoryWorld:
    """Time is a variable."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 24, tzinfo=UTC)
        self.ledger = MemoryLedger(
            lease_s=LEASE_S, retention_s=RETENTION_S, max_attempts=MAX_ATTEMPTS, clock=lambda: self.time
        )

    async def pass_time(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


@pytest.fixture
def world() -> MemoryWorld:
    """An empty ledger in memory."""
    return MemoryWorld()


class TestMemory(LedgerSuite):
    """Every claim of the suite holds in memory."""
