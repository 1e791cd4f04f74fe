"""Attacks that once went through; each names what it would have cost."""

import json
import uuid
from collections.abc import Iterator

import pytest
from celery import Celery

from bitrix24.portal import parse_portal
from config.connections import celery_url
from tests.acceptance.test_attacks import GOOD_HEADERS, put_raw
from tests.acceptance.test_trouble import send_bulk
from tests.eventually import eventually_sync
from tests.house import EmulatedPortal, House, a_house, open_ledger, wait_for
from tests.sinks import GuardedServer

WITHIN_S = 15


@pytest.fixture
def house() -> Iterator[House]:
    """A house without workers; each test starts its own."""
    with a_house() as house:
        yield house


def pay(celery: Celery, portal: EmulatedPortal, invoice_id: object, **options: object) -> object:
    kwargs = {"portal": portal.key, "invoice_id": invoice_id, "pay_system_id": 1}
    return celery.send_task("tasks.pay_invoice", kwargs=kwargs, queue="payments", **options)


@pytest.mark.parametrize("task_id", ["missing", None, 5, "", "\ud800", ["a"], {"a": 1}])
def test_a_message_without_a_usable_id_harms_nobody(house: House, task_id: object) -> None:
    """It is dropped with a line in the log: no result can be stored under such a name."""
    worker = house.start_worker()
    celery, portal = house.celery(), house.add_portal()
    headers = dict(GOOD_HEADERS) if task_id == "missing" else {**GOOD_HEADERS, "id": task_id}
    put_raw(house, headers, "[[], {}, {}]", "application/json")
    assert pay(celery, portal, 3).get(timeout=WITHIN_S)["status"] == "paid"
    assert worker.never_died()


@pytest.mark.parametrize("invoice_id", [3, "x"])
def test_a_message_under_a_taken_id_leaves_its_result_alone(house: House, invoice_id: object) -> None:
    """The id belongs to a paid payment; other content under it is refused in the log, not in that payment's result."""
    house.start_worker()
    celery, portal = house.celery(), house.add_portal()
    first = pay(celery, portal, 2)
    assert first.get(timeout=WITHIN_S)["status"] == "paid"
    pay(celery, portal, invoice_id, task_id=first.id)
    assert pay(celery, portal, 4).get(timeout=WITHIN_S)["status"] == "paid"
    assert celery.AsyncResult(first.id).state == "SUCCESS"


def test_a_ledger_that_is_away_turns_no_message_into_a_failure(house: House) -> None:
    """The bulk task and messages with an expiry wait for the ledger as others do; nothing the broker had is lost."""
    with_broker = GuardedServer()
    with_broker.start()
    try:
        house.start_worker(BROKER_URL=with_broker.url, RESULT_BACKEND_URL=with_broker.url)
        url = celery_url(with_broker.url)
        celery = Celery("somebody-else", broker=url, backend=url, set_as_current=False)
        portal = house.add_portal()
        house.server.kill()
        task_id = str(uuid.uuid4())
        items = [{"invoice_id": 2, "pay_system_id": 1, "task_id": task_id}]
        message = {"portal": portal.key, "payments": items}
        bulk = celery.send_task("tasks.pay_invoices", kwargs=message, queue="payments")
        expiring = pay(celery, portal, 3, expires=3600)
        with pytest.raises(Exception, match="timed out"):
            bulk.get(timeout=4)
        house.server.start()
        assert bulk.get(timeout=WITHIN_S)["accepted"] == 1
        assert expiring.get(timeout=WITHIN_S)["status"] == "paid"
        assert celery.AsyncResult(task_id).get(timeout=WITHIN_S)["status"] == "paid"
    finally:
        with_broker.stop()


def test_a_result_backend_that_is_away_keeps_no_payment_waiting(house: House) -> None:
    """A refusal that cannot be told yet does not hold up the messages behind it."""
    house.start_worker(RESULT_BACKEND_URL="redis://127.0.0.1:1/0")
    celery, portal = house.celery(), house.add_portal()
    celery.send_task("tasks.pay_invoice", kwargs={"portal": "nowhere"}, queue="payments")
    for n in range(1, 6):
        pay(celery, portal, n)
        eventually_sync(lambda n=n: portal.counts()["paid"] == n, within_s=WITHIN_S)


def test_a_corrected_address_is_used_at_once(house: House) -> None:
    """A busy lane asks the registry again: payments do not go on to the portal that was configured by mistake."""
    house.start_worker()
    celery = house.celery()
    wrong, right = house.add_portal(latency_s=2.5), house.add_portal()
    ids = send_bulk(celery, wrong, 200)
    # The first contact carries three; the others wait for its answer, longer than the registry remembers a portal.
    eventually_sync(lambda: wrong.counts()["sending"])

    async def move() -> None:
        async with open_ledger(house.server.url) as (_, registry):
            await registry.remove(right.key)
            webhook = f"http://{right.authority}/rest/1/emulator-secret/"
            await registry.put(parse_portal(wrong.key, {"webhook": webhook}, allow_insecure=True), moved=True)

    wait_for(move())
    for task_id in ids:
        celery.AsyncResult(task_id).get(timeout=60)
    assert (wrong.tally.effects, right.tally.effects) == (3, 197)


def answer(paid_at: str, time: object) -> str:
    """A batch reply: one claim, its proof, and the account."""
    rows = [{"ID": "2", "PAYED": "Y", "DATE_PAYED": paid_at}]
    inner = {"result": {"p0": True, "r": rows}, "result_error": [], "result_time": {"p0": time}}
    return json.dumps({"result": inner})


@pytest.mark.parametrize("paid_at", ["0001-01-01T00:00:00+03:00", "9999-12-31T23:59:59-05:00"])
def test_a_date_beyond_the_calendar_is_no_date(house: House, paid_at: str) -> None:
    """The payment is proven and told; one portal's nonsense neither hides it nor ends the delivery of others."""
    house.start_worker()
    celery, portal = house.celery(), house.add_portal()
    portal.fault("reply", place="before", method="batch", count=1, status=200, body=answer(paid_at, {}))
    assert pay(celery, portal, 2).get(timeout=WITHIN_S)["status"] == "paid"
    assert portal.ledger(lambda ledger: ledger.find_invoice(portal.key, 2)).paid_at


@pytest.mark.parametrize("reset_at", [1.8e12, 1e305])
def test_an_account_that_resets_in_the_far_future_stops_no_lane_for_ever(house: House, reset_at: float) -> None:
    """Ten minutes is the longest window a portal has; what it says beyond that is nonsense."""
    worker = house.start_worker()
    celery, portal = house.celery(), house.add_portal()
    body = answer("2026-01-01T00:00:00+03:00", {"operating": 500, "operating_reset_at": reset_at})
    portal.fault("reply", place="before", method="batch", count=1, status=200, body=body)
    assert pay(celery, portal, 2).get(timeout=WITHIN_S)["status"] == "paid"
    pay(celery, portal, 3)
    eventually_sync(lambda: portal.counts()["queued"])
    [lane] = portal.ledger(lambda ledger: ledger.lanes([portal.key]))
    assert lane.due_at is not None
    assert (
        lane.due_at - portal.ledger(lambda ledger: ledger.find_invoice(portal.key, 2)).finished_at
    ).total_seconds() < 900
    assert not [event for event in worker.events() if event["level"] == "error"]


def test_paid_in_the_read_back_wins_over_a_refusal(house: House) -> None:
    """An invoice that stands as paid behind the batch is not called failed, whatever its command was answered."""
    house.start_worker()
    celery, portal = house.celery(), house.add_portal(invoices={"exist": "lazy", "paid": [2]})
    portal.fault(
        "refuse", place="command", invoice="2", code="ERROR_CHECK_FAILURE", text="Pay system with ID=1 not found"
    )
    result = pay(celery, portal, 2)
    assert result.get(timeout=WITHIN_S)["status"] == "paid"
