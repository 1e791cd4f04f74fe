"""The memory ledger: the conformance suite, and any sequence of steps."""

import asyncio

import pytest
from hypothesis import settings

from tests.conformance.ledger.machine import LedgerMachine
from tests.conformance.ledger.memory import MemoryWorld
from tests.conformance.ledger.suite import LedgerSuite


@pytest.fixture
def world() -> MemoryWorld:
    """An empty ledger in memory."""
    return MemoryWorld()


class TestMemory(LedgerSuite):
    """Every claim of the suite holds in memory."""


class MemoryMachine(LedgerMachine):
    """The memory ledger alone keeps every invariant."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self.worlds = [MemoryWorld()]
        super().__init__()

    def teardown(self) -> None:
        self.runner.close()


TestMachine = MemoryMachine.TestCase
TestMachine.settings = settings(max_examples=15, stateful_step_count=30, deadline=None, derandomize=True)
