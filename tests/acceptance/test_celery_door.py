"""The Celery door, used by a producer that has none of our code (contract §2)."""

import uuid
from typing import Any

import pytest
from celery import Celery
from celery.result import AsyncResult

from emulator.records import Change
from tests.eventually import eventually_sync
from tests.house import House

WITHIN_S = 60


def send(celery: Celery, portal: str, invoice_id: object, **fields: object) -> AsyncResult:
    kwargs = {"portal": portal, "invoice_id": invoice_id, "pay_system_id": 1, **fields}
    return celery.send_task("tasks.pay_invoice", kwargs=kwargs, queue="payments")


def failure(result: AsyncResult) -> tuple[str, list[Any]]:
    """The name and the arguments of the exception that ended a task."""
    with pytest.raises(Exception, match=r".*") as caught:
        result.get(timeout=WITHIN_S)
    return type(caught.value).__name__, list(caught.value.args)


def test_a_payment_is_proven_and_its_result_is_complete(house: House, celery: Celery) -> None:
    """The result under the task's own id has every field of the contract, and the portal agrees."""
    portal = house.add_portal()
    result = send(celery, portal.key, "2")
    paid = result.get(timeout=WITHIN_S)
    assert paid["id"] == result.id
    assert (paid["portal"], paid["invoice_id"], paid["pay_system_id"], paid["bx_rest_handler"]) == (
        portal.key,
        2,
        1,
        None,
    )
    assert (paid["status"], paid["evidence"], paid["attempts"], paid["duplicate"]) == ("paid", "read_back", 1, False)
    assert set(paid) == {
        *("id", "portal", "invoice_id", "pay_system_id", "bx_rest_handler", "status", "evidence"),
        *("paid_at", "attempts", "duplicate", "enqueued_at", "finished_at"),
    }
    assert (portal.tally.paid, portal.tally.effects) == (1, 1)
    assert celery.AsyncResult(result.id).state == "SUCCESS"


def test_a_handler_code_pays_as_well(house: House, celery: Celery) -> None:
    """The pay system may be named by its REST handler."""
    portal = house.add_portal()
    result = send(celery, portal.key, 2, pay_system_id=None, bx_rest_handler="emulator_rest")
    assert result.get(timeout=WITHIN_S)["bx_rest_handler"] == "emulator_rest"


def test_a_thousand_payments_take_few_requests(house: House, celery: Celery) -> None:
    """Every payment has its own proven result, and none is refused. A burst of 50 has room for more than the 21 full
    requests that it takes, so they are smaller and fly side by side; a third of the burst is left to others."""
    portal = house.add_portal(latency_s=0.05, pay_s=0.03)
    items = [{"invoice_id": n, "pay_system_id": 1, "task_id": str(uuid.uuid4())} for n in range(1, 1001)]
    message = {"portal": portal.key, "payments": items}
    # All of them wait before the first is sent: how full batches are is then no matter of how busy the machine is.
    portal.hold()
    bulk = celery.send_task("tasks.pay_invoices", kwargs=message, queue="payments")
    assert bulk.get(timeout=WITHIN_S) == {"accepted": 1000, "joined": 0, "rejected": []}
    portal.resume()
    for item in items:
        paid = celery.AsyncResult(item["task_id"]).get(timeout=WITHIN_S)
        assert (paid["id"], paid["invoice_id"], paid["evidence"]) == (item["task_id"], item["invoice_id"], "read_back")
    counters = portal.counters
    assert 25 <= counters.requests <= 34
    assert counters.rate_limited == 0
    assert counters.max_depth >= 10, "the batches did not leave together"
    assert (portal.tally.effects, portal.tally.doubles, portal.tally.repeats) == (1000, 0, 0)


@pytest.mark.parametrize("invoice_id", [0, -4, "abc", 1.5, True, 2**60, None])
def test_a_wrong_invoice_is_refused(house: House, celery: Celery, invoice_id: object) -> None:
    """The task ends with InvalidPayment, and the text says what an invoice is."""
    portal = house.add_portal()
    name, [text] = failure(send(celery, portal.key, invoice_id))
    assert name == "InvalidPayment"
    assert "invoice_id" in text
    assert "whole number" in text
    assert portal.counters.requests == 0


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"pay_system_id": None}, "pay_system_id or bx_rest_handler is required"),
        ({"pay_system_id": "x"}, "pay_system_id is 'x'"),
        ({"portal": "nowhere"}, "portal 'nowhere' is not configured"),
        ({"amount": 5}, "unknown field 'amount'"),
        ({"idempotency_key": ""}, "idempotency_key"),
    ],
)
def test_wrong_fields_are_refused(house: House, celery: Celery, fields: dict[str, object], told: str) -> None:
    """Each with a text that names the field; nothing is accepted."""
    portal = house.add_portal()
    kwargs = {"portal": portal.key, "invoice_id": 2, "pay_system_id": 1, **fields}
    name, [text] = failure(celery.send_task("tasks.pay_invoice", kwargs=kwargs, queue="payments"))
    assert name == "InvalidPayment"
    assert told in text
    assert portal.counters.requests == 0


def test_positional_arguments_are_refused(house: House, celery: Celery) -> None:
    """The contract has keyword arguments only."""
    name, [text] = failure(celery.send_task("tasks.pay_invoice", args=["acme", 2, 1], queue="payments"))
    assert name == "InvalidPayment"
    assert "keyword arguments" in text


def test_a_refused_payment_fails_with_the_portals_words(house: House, celery: Celery) -> None:
    """The exception's arguments are the code and the description; its neighbours in the batch are paid."""
    portal = house.add_portal()
    good = [send(celery, portal.key, n) for n in range(1, 11)]
    bad = send(celery, portal.key, 11, pay_system_id=99)
    assert failure(bad) == ("PaymentFailed", ["ERROR_CHECK_FAILURE", "Pay system with ID=99 not found"])
    assert bad.state == "FAILURE"
    for result in good:
        assert result.get(timeout=WITHIN_S)["status"] == "paid"


def test_a_paper_pay_system_is_not_called_paid(house: House, celery: Celery) -> None:
    """`true` with PAYED='N' ends as ACCEPTED_NOT_PAID with the likely cause."""
    portal = house.add_portal()
    for pay_system in (2, 4):
        name, [code, text] = failure(send(celery, portal.key, pay_system, pay_system_id=pay_system))
        assert (name, code) == ("PaymentFailed", "ACCEPTED_NOT_PAID")
        assert "paper" in text
        assert "save" in text


def test_without_the_right_to_read_a_payment_is_claimed_only(house: House, celery: Celery) -> None:
    """The evidence says that the portal's word is all there is."""
    portal = house.add_portal(webhooks={"1/emulator-secret": {"scopes": ["pay_system"]}})
    assert send(celery, portal.key, 2).get(timeout=WITHIN_S)["evidence"] == "response"


def test_equal_requests_join_one_payment(house: House, celery: Celery) -> None:
    """The second request gets the same result under its own id; the portal is paid once."""
    portal = house.add_portal(latency_s=0.5)
    results = [send(celery, portal.key, 2) for _ in range(5)]
    answers = [result.get(timeout=WITHIN_S) for result in results]
    assert all(answer == answers[0] for answer in answers)
    assert portal.tally.pays == 1


def test_a_conflicting_request_names_the_payment_in_the_way(house: House, celery: Celery) -> None:
    """Another pay system for an invoice with an open payment is refused."""
    portal = house.add_portal(latency_s=0.5)
    first = send(celery, portal.key, 2)
    eventually_sync(lambda: portal.counters.requests)
    name, [text] = failure(send(celery, portal.key, 2, pay_system_id=6))
    assert name == "PaymentConflict"
    assert first.id in text
    assert first.get(timeout=WITHIN_S)["status"] == "paid"


def test_a_paid_invoice_answers_at_once_and_a_new_key_is_read_back_first(house: House, celery: Celery) -> None:
    """Without a key the known result comes back; a new key asks the portal, and pays only what was set back."""
    portal = house.add_portal()
    send(celery, portal.key, 2).get(timeout=WITHIN_S)
    assert send(celery, portal.key, 2).get(timeout=WITHIN_S)["duplicate"] is True
    assert send(celery, portal.key, 2, idempotency_key="k-1").get(timeout=WITHIN_S)["duplicate"] is True
    assert portal.tally.pays == 1
    portal.ask(lambda emulator, name: emulator.change(name, [2], Change.UNPAY))
    again = send(celery, portal.key, 2, idempotency_key="k-2").get(timeout=WITHIN_S)
    assert (again["status"], again["duplicate"]) == ("paid", False)
    assert portal.tally.pays == 2
    name, [text] = failure(send(celery, portal.key, 3, idempotency_key="k-2"))
    assert name == "PaymentConflict"
    assert "idempotency_key" in text


def test_a_bulk_message_tells_accepted_joined_and_rejected_apart(house: House, celery: Celery) -> None:
    """One bad item does not spoil the others; it is named by its index."""
    portal = house.add_portal()
    items = [
        {"invoice_id": 1, "pay_system_id": 1, "task_id": "bulk-1"},
        {"invoice_id": "x", "pay_system_id": 1},
        {"invoice_id": 1, "pay_system_id": 1, "task_id": "bulk-2"},
        {"invoice_id": 1, "pay_system_id": 6},
        "nonsense",
    ]
    message = {"portal": portal.key, "payments": items}
    answer = celery.send_task("tasks.pay_invoices", kwargs=message, queue="payments").get(timeout=WITHIN_S)
    assert (answer["accepted"], answer["joined"]) == (1, 1)
    assert [row["index"] for row in answer["rejected"]] == [1, 3, 4]
    assert celery.AsyncResult("bulk-1").get(timeout=WITHIN_S) == celery.AsyncResult("bulk-2").get(timeout=WITHIN_S)


def test_a_countdown_waits_in_celery_and_is_paid_once(house: House, celery: Celery) -> None:
    """A message with an ETA takes Celery's ordinary way through the task's body."""
    portal = house.add_portal()
    kwargs = {"portal": portal.key, "invoice_id": 2, "pay_system_id": 1}
    result = celery.send_task("tasks.pay_invoice", kwargs=kwargs, queue="payments", countdown=1)
    assert result.get(timeout=WITHIN_S)["status"] == "paid"
    assert portal.tally.pays == 1


def test_every_line_of_a_worker_is_json_and_tells_no_secret(house: House) -> None:
    """Celery, kombu and Python's warnings included; the webhook's code is in none of them."""
    worker = house.start_worker()
    assert worker.stop() == 0
    events = worker.events()
    assert {"runtime.started", "runtime.stopped"} <= {event["event"] for event in events}
    for each in house.workers:
        assert "emulator-secret" not in each.log.read_text()
