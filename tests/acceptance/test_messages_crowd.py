"""A crowd of producers that ask for the same invoices in every way there is: one payment each, one answer for all."""

import random
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier
from typing import Any

import pytest
from celery import Celery

import tasks
from tests.house import EmulatedPortal, House

WITHIN_S = 60
PRODUCERS, INVOICES, AT_ONCE = 50, 200, 50
PAY_SYSTEM, ANOTHER = 1, 6
WAYS = ("enqueue_many", "enqueue", "message", "bulk")


@dataclass(frozen=True, slots=True)
class Asked:
    """One producer's request and what it read in the end."""

    invoice: int
    pay_system: int
    result: Any  # the result, or the exception


@pytest.fixture
def _settings(house: House, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Producers in this process find the house's ledger."""
    from tasks import producer

    monkeypatch.setenv("REDIS_URL", house.server.url)
    producer._ledger.cache_clear()
    yield
    producer._ledger.cache_clear()


@pytest.mark.usefixtures("_settings")
def test_a_crowd_pays_each_invoice_once(house: House, celery: Celery) -> None:
    """50 producers, 200 invoices, four ways in, every tenth request in conflict: all of them read the same."""
    portal = house.add_portal(plan="none", latency_s=0.2)
    start = Barrier(PRODUCERS)
    with ThreadPoolExecutor(PRODUCERS) as crowd:
        asked = [
            each
            for asks in crowd.map(lambda number: producer(number, start, celery, portal), range(PRODUCERS))
            for each in asks
        ]
    assert len(asked) == PRODUCERS * INVOICES
    assert any(not isinstance(each.result, dict) for each in asked), "there was no conflict"
    for invoice in range(1, INVOICES + 1):
        agree([each for each in asked if each.invoice == invoice])
    tally = portal.tally
    assert (tally.paid, tally.effects, tally.doubles, tally.repeats) == (INVOICES, INVOICES, 0, 0)


def agree(asked: list[Asked]) -> None:
    """One payment: who asked for its pay system has its result; everybody else was told of it, or came too late."""
    results = [each.result for each in asked if isinstance(each.result, dict)]
    payment = without_duplicate(results[0])
    assert payment["status"] == "paid"
    assert all(without_duplicate(each) == payment for each in results)
    for each in asked:
        if isinstance(each.result, dict):
            assert each.pay_system == payment["pay_system_id"] or each.result["duplicate"]
        else:
            assert each.pay_system != payment["pay_system_id"]
            assert f"has the open payment {payment['id']}" in str(each.result)


def without_duplicate(result: dict[str, Any]) -> dict[str, Any]:
    """A result's facts about the payment; whether this reader came late is its own."""
    return {name: value for name, value in result.items() if name != "duplicate"}


def producer(number: int, start: Barrier, celery: Celery, portal: EmulatedPortal) -> list[Asked]:
    """Ask for all invoices in an order of its own and read every answer."""
    luck = random.Random(number)
    wanted = [(invoice, ANOTHER if luck.random() < 0.1 else PAY_SYSTEM) for invoice in range(1, INVOICES + 1)]
    luck.shuffle(wanted)
    start.wait(WITHIN_S)
    way = WAYS[number % len(WAYS)]
    results = read_back(way, wanted, celery, portal)
    return [Asked(*each, result) for each, result in zip(wanted, results, strict=True)]


def read_back(way: str, wanted: list[tuple[int, int]], celery: Celery, portal: EmulatedPortal) -> list[Any]:
    """Send the requests one of four ways; the answers in their order."""
    items = [{"invoice_id": invoice, "pay_system_id": system} for invoice, system in wanted]
    match way:
        case "enqueue_many":
            return [of_payment(each) for each in tasks.enqueue_many([{**item, "portal": portal.key} for item in items])]
        case "enqueue":
            return [of_payment(each) for each in [enqueued(portal, item) for item in items]]
        case "message":
            sent = [
                celery.send_task("tasks.pay_invoice", kwargs={**item, "portal": portal.key}, queue="payments").id
                for item in items
            ]
            return [of_task(celery, task_id) for task_id in sent]
        case _:
            return in_bulk(items, celery, portal)


def enqueued(portal: EmulatedPortal, item: dict[str, int]) -> Any:
    """One call of `enqueue`, with what it raises as a value."""
    try:
        return tasks.enqueue(portal=portal.key, **item)
    except tasks.InvalidPayment as error:
        return error


def in_bulk(items: list[dict[str, int]], celery: Celery, portal: EmulatedPortal) -> list[Any]:
    """Messages of fifty; a rejected item has its answer in the message's own result."""
    ids = [str(uuid.uuid4()) for _ in items]
    rows = [{**item, "task_id": task_id} for item, task_id in zip(items, ids, strict=True)]
    rejected: dict[str, str] = {}
    for at in range(0, len(rows), AT_ONCE):
        chunk = rows[at : at + AT_ONCE]
        bulk = celery.send_task(
            "tasks.pay_invoices", kwargs={"portal": portal.key, "payments": chunk}, queue="payments"
        )
        answer = bulk.get(timeout=WITHIN_S)
        rejected |= {str(chunk[each["index"]]["task_id"]): each["error"] for each in answer["rejected"]}
    return [rejected[task_id] if task_id in rejected else of_task(celery, task_id) for task_id in ids]


def of_payment(payment: Any) -> Any:
    """What the library's producers read."""
    return payment.result(WITHIN_S) if isinstance(payment, tasks.Payment) else payment


def of_task(celery: Celery, task_id: str) -> Any:
    """What a stock producer reads."""
    try:
        return celery.AsyncResult(task_id).get(timeout=WITHIN_S)
    except Exception as error:  # noqa: BLE001 - whatever a producer reads
        return error
