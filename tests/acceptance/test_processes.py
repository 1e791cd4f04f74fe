"""Processes come and go: deploys, crashes and several workers on one ledger."""

from collections.abc import Iterator

import pytest

from tests.acceptance.test_trouble import assert_all_paid_once, send_bulk
from tests.eventually import eventually_sync
from tests.house import House, a_house


@pytest.fixture
def house() -> Iterator[House]:
    """A house without workers; each test starts its own."""
    with a_house() as house:
        yield house


def test_a_deploy_finishes_what_is_in_flight_and_hands_the_lane_back(house: House) -> None:
    """SIGTERM in the middle: exit code 0, nothing in doubt, and the next worker goes on at once."""
    first = house.start_worker()
    celery = house.celery()
    portal = house.add_portal(latency_s=0.3, pay_s=0.02)
    ids = send_bulk(celery, portal, 400)
    eventually_sync(lambda: portal.tally.effects)
    assert first.stop() == 0
    counts = portal.counts()
    assert (counts["sending"], counts["in_doubt"]) == (0, 0)
    house.start_worker()
    assert_all_paid_once(celery, portal, ids)
    assert portal.tally.repeats == 0


def test_a_killed_worker_leaves_doubts_that_are_read_back(house: House) -> None:
    """SIGKILL with batches in flight: another worker takes the lane over and sends nothing before it has read."""
    first = house.start_worker()
    celery = house.celery()
    portal = house.add_portal(latency_s=0.2, pay_s=0.05)
    ids = send_bulk(celery, portal, 200)
    eventually_sync(lambda: portal.tally.effects >= 20)
    first.kill()
    house.start_worker()
    assert_all_paid_once(celery, portal, ids)
    assert portal.tally.repeats == 0


def test_lanes_share_the_workers_and_one_worker_drives_a_lane(house: House) -> None:
    """Forty portals over two workers: every payment once, and never two calls for one invoice at a time."""
    workers = [house.start_worker() for _ in range(2)]
    celery = house.celery()
    portals = [house.add_portal(latency_s=0.05) for _ in range(40)]
    sent = [(portal, send_bulk(celery, portal, 25)) for portal in portals]
    for portal, ids in sent:
        assert_all_paid_once(celery, portal, ids)
    drove = [sum(event["event"] == "payment.settled" for event in worker.events()) for worker in workers]
    assert sum(drove) == 1000
    assert all(drove), "one worker did everything"


def test_a_restarted_ledger_is_worked_on_without_a_person(house: House) -> None:
    """SIGKILL of the server in the middle: the worker goes on when it is back, and both sides agree."""
    house.start_worker()
    celery = house.celery()
    portal = house.add_portal(latency_s=0.2, pay_s=0.02)
    ids = send_bulk(celery, portal, 300)
    eventually_sync(lambda: portal.tally.effects >= 20)
    house.server.restart()
    eventually_sync(lambda: portal.counts()["paid"] == 300, within_s=60)
    assert (portal.tally.paid, portal.tally.doubles, portal.tally.overlaps) == (len(ids), 0, 0)
    assert portal.tally.repeats == 0
