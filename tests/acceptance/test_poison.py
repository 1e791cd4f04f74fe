"""A payment that kills its process: it ends, and it takes no other payment with it."""

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from tests.acceptance.test_trouble import send_bulk
from tests.eventually import eventually_sync
from tests.failpoints import Listener
from tests.house import EmulatedPortal, House, a_house

POISON = 13


class Poisoned:
    """Kills every process that has just claimed the poisonous invoice of a portal that has it; others go on."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.company: list[int] = []  # how many payments were claimed with it, death by death
        self._thread.start()

    def _watch(self) -> None:
        while True:
            try:
                stop = self._listener.next(within_s=120)
            except TimeoutError:
                return
            if POISON in stop.about:
                self.company.append(len(stop.about))
                os.kill(stop.pid, signal.SIGKILL)
            stop.go_on()


@pytest.fixture
def house() -> Iterator[House]:
    """A house without workers."""
    with a_house() as house:
        yield house


def invoices_in(portal: EmulatedPortal, state: str) -> list[int]:
    """The invoices whose payments stand in a state."""
    return sorted(row.invoice_id for row in portal.ledger(lambda ledger: ledger.payments(portal.key, state, 0, 1000)))


def test_a_payment_that_kills_its_process_fails_after_three_deaths(house: House) -> None:
    """Two lanes of one worker, and one payment among 42 is poisonous: the others are paid, it has failed."""
    with Listener("lane.claimed") as listener:
        poisoned = Poisoned(listener)
        sick, well = house.add_portal(latency_s=0.2), house.add_portal(latency_s=0.2, pay_s=0.02)
        celery = house.celery()
        house.start_worker(**listener.environment)
        send_bulk(celery, well, POISON - 1)
        send_bulk(celery, sick, 30)
        eventually_sync(lambda: invoices_in(sick, "failed") == [POISON], within_s=90)
        eventually_sync(lambda: sick.counts()["paid"] == 29 and well.counts()["paid"] == POISON - 1, within_s=30)
    assert len(poisoned.company) == 3
    assert poisoned.company[-1] == 1
    [failed] = sick.ledger(lambda ledger: ledger.payments(sick.key, "failed", 0, 10))
    assert failed.error.code == "WORKER_DIED"
    assert failed.deaths == 3
    assert sick.tally.doubles + well.tally.doubles + sick.tally.repeats + well.tally.repeats == 0
