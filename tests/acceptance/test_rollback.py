"""A ledger that has forgotten: what its lost history may have sent is read at the portal before anything is sent."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from config.connections import redis_client
from ledger.ledger import Accepted
from ledger.payment import Handle, NewPayment, PortalKey
from tests.eventually import eventually_sync
from tests.house import EmulatedPortal, House, a_house

PAYMENTS = 120
WITHIN_S = 60


@pytest.fixture
def house() -> Iterator[House]:
    """A house without workers."""
    with a_house() as house:
        yield house


def accept(portal: EmulatedPortal, invoices: Sequence[int], name: str) -> None:
    """Write payments down without any worker or message."""
    asks = [
        NewPayment(id=Handle(f"{name}-{n}"), portal=PortalKey(portal.key), invoice_id=n, pay_system_id=1)
        for n in invoices
    ]
    answers = portal.ledger(lambda ledger: ledger.open(asks))
    assert all(isinstance(answer, Accepted) for answer in answers)


def all_paid(portal: EmulatedPortal, count: int) -> None:
    """Every payment of the ledger ends paid."""
    eventually_sync(lambda: portal.counts()["paid"] == count, within_s=WITHIN_S)


def test_an_old_copy_that_is_put_back_repeats_no_call(house: House, tmp_path: Path) -> None:
    """The file from before all sending comes back under living workers: each invoice was still paid by one call."""
    portal = house.add_portal(latency_s=0.1)
    accept(portal, range(1, PAYMENTS + 1), "first")
    shutil.copytree(house.server.directory / "appendonlydir", tmp_path / "old")
    house.start_worker()
    all_paid(portal, PAYMENTS)
    house.server.kill()
    shutil.rmtree(house.server.directory / "appendonlydir")
    shutil.copytree(tmp_path / "old", house.server.directory / "appendonlydir")
    house.server.start()
    assert portal.counts()["queued"] + portal.counts()["in_doubt"] == PAYMENTS
    requests_before = portal.counters.requests
    accept(portal, range(PAYMENTS + 1, PAYMENTS + 11), "later")
    all_paid(portal, PAYMENTS + 10)
    tally = portal.tally
    assert (tally.effects, tally.repeats, tally.overlaps) == (PAYMENTS + 10, 0, 0)
    # One list read per 50 that were there, one for the later ones, and one request that pays those.
    assert portal.counters.requests - requests_before <= 3 + 1 + 2
    [read] = portal.ledger(lambda ledger: ledger.find(["first-1"]))
    assert (read.evidence, read.duplicate) == ("read_back", False)


def test_a_ledger_that_was_emptied_by_mistake_repeats_no_call(house: House) -> None:
    """FLUSHALL under a living worker, and everything is asked for anew: no invoice is paid by a second call."""
    portal = house.add_portal(latency_s=0.1)
    accept(portal, range(1, PAYMENTS + 1), "first")
    house.start_worker()
    all_paid(portal, PAYMENTS)
    with redis_client(house.server.url, decode_responses=True) as client:
        client.flushall()
    portal.register_again()
    accept(portal, range(1, PAYMENTS + 1), "second")
    all_paid(portal, PAYMENTS)
    assert (portal.tally.effects, portal.tally.repeats) == (PAYMENTS, 0)
