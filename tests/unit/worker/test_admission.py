"""Admission: a message is acknowledged when the ledger has its payment, and not a moment earlier."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from ledger.ledger import Opened
from ledger.memory import MemoryLedger
from ledger.payment import Handle, NewPayment, Payment, PortalKey, State
from tests.conformance.ledger.world import LEASE_S, MAX_ATTEMPTS, PORTAL, QUIET_S, RETENTION_S
from worker.admission import Admission, Request
from worker.results import Meta, Results


class Ledger(MemoryLedger):
    """A ledger that may be away."""

    def __init__(self) -> None:
        super().__init__(lease_s=LEASE_S, retention_s=RETENTION_S, max_attempts=MAX_ATTEMPTS, quiet_s=QUIET_S)
        self.away = False
        self.was_asked = asyncio.Event()

    async def open(self, requests: Sequence[NewPayment]) -> list[Opened]:
        """Write requests down, or break like a server that has gone."""
        self.was_asked.set()
        if self.away:
            raise ConnectionError
        return await super().open(requests)


class Nobody:
    """A result backend that nobody reads."""

    async def put(self, metas: Sequence[Meta], *, only_new: bool) -> None:
        """Keep nothing."""


@pytest.fixture
async def ledger() -> Ledger:
    """An empty ledger with one lane."""
    ledger = Ledger()
    await ledger.add_lane(PORTAL)
    return ledger


@pytest.fixture
async def admission(ledger: Ledger) -> AsyncIterator[Admission]:
    """An admission at work."""
    admission = Admission(ledger, Results(Nobody(), ledger), asyncio.get_running_loop())
    running = asyncio.create_task(admission.run())
    yield admission
    running.cancel()


def a_request(acked: asyncio.Event, ledger: Ledger, seen: list[Payment | None]) -> Request:
    """A message; when it is acknowledged it notes what the ledger knew."""

    def ack() -> None:
        seen.append(ledger._book.rows.get(Handle("h1")))  # type: ignore[call-overload]  # looked at in that very moment
        acked.set()

    wanted = NewPayment(id=Handle("h1"), portal=PortalKey(PORTAL), invoice_id=1, pay_system_id=31)
    return Request(Handle("h1"), wanted, ack)


async def test_a_message_is_acknowledged_when_the_ledger_has_it(ledger: Ledger, admission: Admission) -> None:
    """In the moment of the acknowledgement the payment is on record."""
    acked, seen = asyncio.Event(), list[Payment | None]()
    admission.admit([a_request(acked, ledger, seen)])
    await acked.wait()
    assert [row and row.state for row in seen] == [State.QUEUED]


async def test_a_message_that_the_ledger_does_not_have_is_not_acknowledged(
    ledger: Ledger, admission: Admission
) -> None:
    """The broker keeps it while the ledger is away."""
    acked, seen = asyncio.Event(), list[Payment | None]()
    ledger.away = True
    admission.admit([a_request(acked, ledger, seen)])
    await ledger.was_asked.wait()
    for _ in range(10):
        await asyncio.sleep(0)
    assert not acked.is_set()
