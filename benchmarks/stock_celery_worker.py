"""The comparison's other side: a careful Celery task that pays one invoice by one HTTP call, on the stock transport.

Late acknowledgement, and messages of a dead worker back after five seconds: as safe as Celery's settings make it.
"""

import json
import os
import urllib.request

from celery import Celery

VISIBILITY_S = 5

app = Celery("stock", broker=os.environ["STOCK_URL"], set_as_current=False)
app.conf.update(
    task_default_queue="stock",
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        "visibility_timeout": VISIBILITY_S,
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
    },
)


@app.task(name="stock.pay")  # type: ignore[untyped-decorator]  # Celery has no types
def pay(authority: str, invoice_id: int) -> object:
    """Ask the portal to pay one invoice."""
    call = json.dumps({"INVOICE_ID": invoice_id, "PAY_SYSTEM_ID": 1}).encode()
    url = f"http://{authority}/rest/1/emulator-secret/sale.paysystem.pay.invoice"
    request = urllib.request.Request(url, call, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as reply:  # noqa: S310 - as above
        return json.load(reply)["result"]
