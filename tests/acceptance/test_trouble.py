"""Trouble between a claim and a proven result: nothing lost, nothing paid twice, and a reason for everything."""

import uuid
from collections.abc import Sequence

import pytest
from celery import Celery
from celery.exceptions import TimeoutError as NotYet

from tests.eventually import eventually_sync
from tests.house import EmulatedPortal, House

WITHIN_S = 60
PAYMENTS = 120


def send_bulk(celery: Celery, portal: EmulatedPortal, count: int = PAYMENTS) -> list[str]:
    """Enqueue payments of invoices 1..count in one message; their task ids."""
    items = [{"invoice_id": n, "pay_system_id": 1, "task_id": str(uuid.uuid4())} for n in range(1, count + 1)]
    message = {"portal": portal.key, "payments": items}
    answer = celery.send_task("tasks.pay_invoices", kwargs=message, queue="payments").get(timeout=WITHIN_S)
    assert answer["accepted"] == count
    return [str(item["task_id"]) for item in items]


def assert_all_paid_once(celery: Celery, portal: EmulatedPortal, ids: Sequence[str]) -> None:
    """Both sides agree: each payment is proven, and each invoice was paid once."""
    for task_id in ids:
        assert celery.AsyncResult(task_id).get(timeout=WITHIN_S)["status"] == "paid"
    tally = portal.tally
    assert (tally.paid, tally.doubles, tally.overlaps) == (len(ids), 0, 0)
    assert tally.effects == len(ids)


SPOILT = [
    *("500_html", "500_json", "502_html", "503_html", "504_html", "empty", "truncated", "cut_body", "wrong_type"),
    *("list", "result_list", "numeric_code", "reset", "close", "wrong_encoding", "sql_error"),
]


@pytest.mark.parametrize("place", ["before", "after"])
def test_spoilt_answers_are_read_back(house: House, celery: Celery, place: str) -> None:
    """Whether the portal had worked or not, every payment ends paid, each once, and none is sent again blindly."""
    sent: dict[str, tuple[EmulatedPortal, list[str]]] = {}
    for kind in SPOILT:
        portal = house.add_portal()
        portal.fault(kind, place=place, method="batch", count=1)
        sent[kind] = portal, send_bulk(celery, portal, 20)
    for kind, (portal, ids) in sent.items():
        assert_all_paid_once(celery, portal, ids)
        assert portal.tally.repeats == 0, f"{kind}: an invoice that had been paid was sent again"


def test_a_portal_that_dies_in_the_middle_of_a_batch(house: House, celery: Celery) -> None:
    """What it had executed is proven by reading, the rest is sent again after the quiet time."""
    portal = house.add_portal()
    portal.fault("500_html", place="after_k", k=2, method="batch", count=1)
    assert_all_paid_once(celery, portal, send_bulk(celery, portal, 5))
    assert portal.tally.repeats == 0


def test_a_portal_that_works_on_after_its_answer_was_lost(house: House, celery: Celery) -> None:
    """The quiet time outlasts the work, so no second call overlaps it."""
    portal = house.add_portal()
    portal.fault("504_html", place="during", late_s=2, method="batch", count=1)
    assert_all_paid_once(celery, portal, send_bulk(celery, portal, 3))
    assert (portal.tally.repeats, portal.tally.late) == (0, 3)


def test_a_command_refused_in_a_batch_leaves_the_others_alone(house: House, celery: Celery) -> None:
    """48 neighbours are paid; the one that was refused says why."""
    portal = house.add_portal()
    portal.fault("refuse", place="command", invoice="7", code="ERROR_CHECK_FAILURE", text="no")
    ids = send_bulk(celery, portal, 49)
    with pytest.raises(Exception, match="no") as caught:
        celery.AsyncResult(ids[6]).get(timeout=WITHIN_S)
    assert list(caught.value.args) == ["ERROR_CHECK_FAILURE", "no"]
    for task_id in ids[:6] + ids[7:]:
        assert celery.AsyncResult(task_id).get(timeout=WITHIN_S)["status"] == "paid"


def test_spent_execution_time_in_the_middle_of_a_batch_requeues_what_did_not_run(house: House, celery: Celery) -> None:
    """Nothing fails and nothing is in doubt: the commands were refused before they ran."""
    portal = house.add_portal()
    portal.fault("refuse", place="command", invoice="2", code="OPERATION_TIME_LIMIT", text="blocked", count=1)
    ids = send_bulk(celery, portal, 3)
    for task_id in (ids[0], ids[2]):
        assert celery.AsyncResult(task_id).get(timeout=WITHIN_S)["status"] == "paid"
    assert celery.AsyncResult(ids[1]).state == "STARTED"
    assert portal.counters.requests <= 2, "the method was asked again before its time"


def test_a_portal_over_its_rate_is_asked_again_without_spending_an_attempt(house: House, celery: Celery) -> None:
    """QUERY_LIMIT_EXCEEDED says nothing about an invoice."""
    portal = house.add_portal()
    portal.fault("error", place="before", status=503, code="QUERY_LIMIT_EXCEEDED", text="Too many requests", count=3)
    for task_id in send_bulk(celery, portal, 20):
        assert celery.AsyncResult(task_id).get(timeout=WITHIN_S)["attempts"] == 1
    assert portal.tally.effects == 20


def test_a_method_that_may_not_be_batched_is_called_singly(house: House, celery: Celery) -> None:
    """ERROR_BATCH_METHOD_NOT_ALLOWED for each of three commands: they go one by one and are still proven."""
    portal = house.add_portal()
    portal.fault(
        "refuse",
        place="command",
        method="batch",
        command="sale.paysystem.pay.invoice",
        code="ERROR_BATCH_METHOD_NOT_ALLOWED",
        text="Method is not allowed for batch usage",
        count=3,
    )
    ids = send_bulk(celery, portal, 3)
    assert_all_paid_once(celery, portal, ids)
    assert celery.AsyncResult(ids[0]).result["evidence"] == "read_back"


def test_a_group_that_is_refused_as_a_whole_is_sent_one_by_one(house: House, celery: Celery) -> None:
    """Too large or of the wrong shape for the front end says nothing about a payment: each gets its own answer."""
    portal = house.add_portal()
    portal.fault("error", place="before", method="batch", status=400, code="ERROR_CHECK_FAILURE", text="too much")
    assert_all_paid_once(celery, portal, send_bulk(celery, portal, 5))
    assert portal.counters.requests <= 12


def test_a_revoked_webhook_holds_the_lane_and_loses_nothing(house: House, celery: Celery) -> None:
    """A handful of requests, no failed payment; after the credential is back and the lane resumed, all are paid."""
    portal = house.add_portal(webhooks={"1/another": {}})
    ids = send_bulk(celery, portal, 60)
    eventually_sync(lambda: portal.held() == "INVALID_CREDENTIALS")
    assert portal.counters.requests <= 5
    assert all(celery.AsyncResult(task_id).state in ("PENDING", "STARTED") for task_id in ids)
    portal.change(webhooks={"1/emulator-secret": {}})
    portal.resume()
    assert_all_paid_once(celery, portal, ids)


def test_a_portal_that_cannot_be_reached_keeps_its_payments_waiting(house: House, celery: Celery) -> None:
    """Nothing left this machine, so nothing is in doubt and no attempt is spent; the pause grows."""
    portal = house.add_unreachable_portal()
    ids = send_bulk(celery, portal, 3)
    with pytest.raises(NotYet):
        celery.AsyncResult(ids[0]).get(timeout=3)
    assert portal.counts()["queued"] + portal.counts()["sending"] == 3
    assert portal.counts()["in_doubt"] == 0
