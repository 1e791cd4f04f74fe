"""A webhook that is revoked in the middle of many payments: few requests, nothing failed, everything paid later."""

import json
import subprocess
import sys
from collections.abc import Callable

import pytest
from celery import Celery

from tests.acceptance.test_trouble import assert_all_paid_once, send_bulk
from tests.eventually import eventually_sync
from tests.house import ROOT, EmulatedPortal, House, Worker, a_house

PAYMENTS = 500
MOST_REQUESTS = 10
OLD, NEW = {"1/emulator-secret": {}}, {"1/another": {}}


@pytest.fixture(scope="module")
def worker(house: House) -> Worker:
    """The house's only worker."""
    return house.workers[0]


def revoke_in_the_middle(celery: Celery, portal: EmulatedPortal) -> list[str]:
    """Payments of which some are paid when the webhook goes; the lane is held. Their task ids."""
    ids = send_bulk(celery, portal, PAYMENTS)
    eventually_sync(lambda: portal.tally.paid >= PAYMENTS / 5)
    portal.change(webhooks=NEW)
    eventually_sync(lambda: portal.held() == "INVALID_CREDENTIALS")
    eventually_sync(lambda: portal.counts()["sending"] == 0)
    counts = portal.counts()
    assert 0 < portal.counters.codes["INVALID_CREDENTIALS"] <= MOST_REQUESTS
    assert counts["queued"] > 0
    assert counts["queued"] + counts["in_doubt"] + counts["paid"] == PAYMENTS
    assert (counts["failed"], counts["cancelled"]) == (0, 0)
    return ids


def by_operator(portal: EmulatedPortal) -> None:
    """A person makes the old webhook again and says so."""
    portal.change(webhooks=OLD)
    command(portal.house, "portal", "resume", portal.key)


def by_new_credential(portal: EmulatedPortal) -> None:
    """A person stores a new webhook: nothing else is needed."""
    add(portal, "another")


def add(portal: EmulatedPortal, code: str, **limits: int) -> None:
    """Store a webhook, and how fast the portal is."""
    description = {"webhook": f"http://{portal.authority}/rest/1/{code}/", "limits": limits}
    command(portal.house, "portal", "add", portal.key, text=json.dumps(description))


def by_probe(portal: EmulatedPortal) -> None:
    """A person makes the old webhook again and tells nobody."""
    portal.change(webhooks=OLD)


def command(house: House, *arguments: str, text: str = "") -> None:
    """Give an operator's command."""
    run = [sys.executable, "-c", "from cli.main import main; main()", *arguments]
    environ = {**house.environment, "PYTHONPATH": str(ROOT)}
    subprocess.run(run, env=environ, input=text, text=True, check=True, capture_output=True, timeout=60)


@pytest.mark.parametrize("mend", [by_operator, by_new_credential, by_probe])
def test_a_webhook_that_is_revoked_in_the_middle(
    house: House, celery: Celery, worker: Worker, mend: Callable[[EmulatedPortal], None]
) -> None:
    """At most ten requests after it, none failed, and all are paid once when it is mended, whoever says so."""
    portal = house.add_portal()
    add(portal, "emulator-secret", burst=5, requests_per_second=3)
    ids = revoke_in_the_middle(celery, portal)
    mend(portal)
    assert_all_paid_once(celery, portal, ids)
    assert portal.held() is None
    resumed = [each for each in worker.events() if each["event"] == "lane.resumed" and each["portal"] == portal.key]
    assert len(resumed) == (mend is by_probe)


def test_an_operators_hold_outlasts_a_mended_portal(celery: Celery) -> None:
    """Who held the lane by hand resumes it by hand, although a look would find nothing wrong."""
    with a_house() as house:
        worker, portal = house.start_worker(B24PAY_LOG_LEVEL="DEBUG"), house.add_portal()
        other = house.add_portal()
        portal.change(webhooks=NEW)
        other.change(webhooks=NEW)
        ids = send_bulk(house.celery(), portal, 5), send_bulk(house.celery(), other, 5)
        eventually_sync(lambda: portal.held() and other.held())
        command(house, "portal", "hold", portal.key, "--because", "audit")
        portal.change(webhooks=OLD)
        other.change(webhooks=OLD)
        assert_all_paid_once(house.celery(), other, ids[1])
        assert portal.held() == "OPERATOR"
        assert portal.tally.effects == 0
        looked = [each for each in worker.events() if each["event"] in ("lane.still_held", "lane.resumed")]
        assert {each["portal"] for each in looked} == {other.key}
        portal.resume()
        assert_all_paid_once(house.celery(), portal, ids[0])
