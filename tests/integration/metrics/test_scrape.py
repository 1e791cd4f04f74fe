"""What is scraped while payments are made, against what was really paid."""

import json
import subprocess
import sys

import pytest
from celery import Celery

from ledger.payment import State
from tests.eventually import eventually_sync
from tests.house import ROOT, EmulatedPortal, House
from tests.integration.metrics.conftest import health, scrape
from tests.unit.metrics.test_watchers import OF_OTHERS, RULES, named_in, queries_of_dashboard

PAID, UNKNOWN_SYSTEM = 30, 4


@pytest.fixture(scope="module")
def portal(house: House, worker: str) -> EmulatedPortal:
    """A portal at which some invoices are paid, some are refused, and one answer was lost."""
    portal = house.add_portal(pay_s=0.02)  # so that execution time is used
    celery = house.celery()
    for invoice in range(1, PAID + 1):
        pay(celery, portal, invoice, pay_system_id=1)
    for invoice in range(PAID + 1, PAID + UNKNOWN_SYSTEM + 1):
        pay(celery, portal, invoice, pay_system_id=99)
    celery.send_task("tasks.nobody_knows_this", kwargs={}, queue="payments")
    eventually_sync(lambda: portal.counts()["paid"] + portal.counts()["failed"] == PAID + UNKNOWN_SYSTEM)
    eventually_sync(lambda: scrape(worker).sum("b24pay_deliveries_total", outcome="delivered") >= PAID + UNKNOWN_SYSTEM)
    return portal


def pay(celery: Celery, portal: EmulatedPortal, invoice: int, pay_system_id: int) -> None:
    """One message of a stock Celery client."""
    fields = {"portal": portal.key, "invoice_id": invoice, "pay_system_id": pay_system_id}
    celery.send_task("tasks.pay_invoice", kwargs=fields, queue="payments")


def test_a_worker_counts_what_was_paid(portal: EmulatedPortal, worker: str):
    """Ends by state and code, attempts, requests and results, as the portal and the ledger have them."""
    seen, counters = scrape(worker), portal.counters
    assert seen.sum("b24pay_payments_ended_total", state="paid") == portal.tally.effects == PAID
    assert seen.sum("b24pay_payments_ended_total", state="failed", code="ERROR_CHECK_FAILURE") == UNKNOWN_SYSTEM
    assert seen.sum("b24pay_attempts_total") == PAID + UNKNOWN_SYSTEM
    assert seen.sum("b24pay_batch_payments_sum") == PAID + UNKNOWN_SYSTEM
    assert seen.sum("b24pay_requests_total", outcome="answered") == counters.requests
    assert seen.sum("b24pay_permits_total") == counters.requests
    assert seen.sum("b24pay_request_duration_seconds_count") == counters.requests
    assert seen.sum("b24pay_deliveries_total", outcome="delivered") == PAID + UNKNOWN_SYSTEM
    assert seen.sum("b24pay_lanes_taken_total") >= 1
    assert seen.sum("b24pay_doubts_opened_total") == 0


def test_a_web_process_tells_what_the_ledger_has(portal: EmulatedPortal, web: str):
    """The same numbers, from the other side."""
    seen = scrape(web)
    assert seen.sum("b24pay_payments", portal=portal.key, state="paid") == PAID
    assert seen.sum("b24pay_payments", portal=portal.key, state="failed") == UNKNOWN_SYSTEM
    assert seen.sum("b24pay_payments", state="queued") == 0
    assert seen.sum("b24pay_waiting_oldest_seconds") == 0
    assert seen.sum("b24pay_results_undelivered") == 0
    assert seen.sum("b24pay_workers", condition="consuming") == 1
    assert seen.sum("b24pay_execution_used_seconds", portal=portal.key) > 0
    assert seen.sum("b24pay_redis_up") == 1
    eventually_sync(lambda: scrape(web).sum("b24pay_messages_parked_total") == 1)


def test_no_alarm_and_no_panel_asks_for_what_nobody_shows(portal: EmulatedPortal, worker: str, web: str):
    """Every name in rules and dashboard has a series that was really scraped."""
    portal.hold()
    try:
        eventually_sync(lambda: "b24pay_lanes_held" in scrape(web).names())
        shown = scrape(worker).names() | scrape(web).names() | {"up"}
    finally:
        portal.resume()
    asked = {name for rule in RULES for name in named_in(rule["expr"])}
    asked |= {name for query in queries_of_dashboard().values() for name in named_in(query)}
    assert asked >= OF_OTHERS
    assert asked - shown == set()


def test_a_scrape_names_no_payment_and_no_secret(portal: EmulatedPortal, worker: str, web: str):
    """A worker's names no portal either, because it asks nobody who they are."""
    [paid, *_] = portal.ledger(lambda ledger: ledger.payments(portal.key, State.PAID, 0, 1))
    for seen in (scrape(worker), scrape(web)):
        assert paid.id not in seen.text
        assert "emulator-secret" not in seen.text
    assert portal.key not in scrape(worker).text


def test_health_is_told_at_a_terminal(house: House, worker: str):
    """Exit code 0, and where the worker shows its metrics."""
    told = health(house)
    assert told.code == 0, told.error
    [row] = told.document["workers"]
    assert (row["worker"], row["condition"], row["metrics"]) == ("worker-0@house", "consuming", worker)
    assert health(house, "--worker", "worker-0@house").code == 0


def test_a_worker_that_nobody_knows_is_missed(house: House, worker: str):
    """Exit code 1 with a cause and a next step."""
    told = health(house, "--worker", "nobody@house")
    assert told.code == 1
    error = json.loads(told.error)
    assert "nobody@house" in error["error"]
    assert error["next_step"]


def test_health_asks_neither_celery_nor_pydantic(house: House):
    """A container's health check runs every few seconds."""
    code = "import sys; from cli.main import run; run(['health']); print(sorted(sys.modules), file=sys.stderr)"
    environ = {**house.environment, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environ, cwd=ROOT, check=False
    )
    loaded = {word.strip("[]',").partition(".")[0] for word in done.stderr.splitlines()[-1].split()}
    assert "redis" in loaded
    assert not loaded & {"celery", "kombu", "pydantic", "aiohttp", "prometheus_client", "structlog", "rich"}


def test_a_worker_that_stops_in_order_is_not_missed(house: House, worker: str):
    """A deploy rings no alarm."""
    going = house.start_worker()
    eventually_sync(lambda: len(health(house).document["workers"]) == 2)
    assert going.stop() == 0
    assert [row["worker"] for row in health(house).document["workers"]] == ["worker-0@house"]
