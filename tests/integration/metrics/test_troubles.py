"""What goes wrong is counted as what it is: lost replies, full buckets, tokens that ran out."""

from celery import Celery

from tests.eventually import eventually_sync
from tests.house import EmulatedPortal, House
from tests.integration.metrics.conftest import Scrape, scrape


def send(celery: Celery, portal: EmulatedPortal, invoices: int) -> None:
    """Messages of a stock client."""
    for invoice in range(1, invoices + 1):
        fields = {"portal": portal.key, "invoice_id": invoice, "pay_system_id": 1}
        celery.send_task("tasks.pay_invoice", kwargs=fields, queue="payments")


def pay(celery: Celery, portal: EmulatedPortal, invoices: int) -> None:
    """Messages, and the end of all of them."""
    send(celery, portal, invoices)
    eventually_sync(lambda: portal.counts()["paid"] == invoices)


def rise(before: Scrape, worker: str, name: str, **labels: str) -> float:
    """By how much a figure has risen."""
    return scrape(worker).sum(name, **labels) - before.sum(name, **labels)


def test_a_reply_that_is_lost_opens_doubts_that_are_read(house: House, worker: str):
    """The portal had paid them: each is read back as paid, and none is sent again."""
    portal, before = house.add_portal(), scrape(worker)
    portal.fault("504_html", place="after", method="batch", count=1)
    pay(house.celery(), portal, 3)
    opened = rise(before, worker, "b24pay_doubts_opened_total", cause="unanswered")
    assert opened >= 1
    assert rise(before, worker, "b24pay_requests_total", kind="pay", outcome="unanswered") == 1
    assert rise(before, worker, "b24pay_requests_total", kind="read_back", outcome="answered") >= 1
    assert rise(before, worker, "b24pay_read_backs_total", outcome="paid") == opened
    assert rise(before, worker, "b24pay_payments_ended_total", state="paid") == portal.tally.effects == 3


def test_a_full_bucket_sends_claims_back_and_slows_its_lane(house: House, worker: str):
    """What was refused was no failure of a payment."""
    portal, before = house.add_portal(), scrape(worker)
    portal.fault("error", place="before", status=503, code="QUERY_LIMIT_EXCEEDED", text="Too many requests", count=1)
    send(house.celery(), portal, 2)
    eventually_sync(lambda: rise(before, worker, "b24pay_claims_requeued_total") >= 1)
    eventually_sync(lambda: rise(before, worker, "b24pay_permit_wait_seconds_total") > 0)
    assert rise(before, worker, "b24pay_lane_effects_total", effect="rate") == 1
    assert rise(before, worker, "b24pay_payments_ended_total", state="failed") == 0


def test_tokens_that_ran_out_are_renewed_once(house: House, worker: str):
    """The refusal that told so is an effect, and the renewal has its outcome."""
    portal, before = house.add_application(), scrape(worker)
    portal.ask(lambda emulator, name: emulator.expire(name))
    pay(house.celery(), portal, 1)
    assert rise(before, worker, "b24pay_token_renewals_total", outcome="renewed") == 1
    assert rise(before, worker, "b24pay_lane_effects_total", effect="refresh") == 1
