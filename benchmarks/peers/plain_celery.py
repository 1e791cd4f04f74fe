"""Plain Celery as most people write it: a task that calls the portal with requests and retries by itself.

As a program it is the producer, which waits for the results; `celery -A benchmarks.peers.plain_celery` is the worker.
"""

import os
import time
from typing import Any

import requests
from celery import Celery

from benchmarks.peers.asking import serve

app = Celery("plain", broker=os.environ["CELERY_URL"], backend=os.environ["CELERY_URL"], set_as_current=False)
app.conf.update(task_default_queue="plain", task_acks_late=True, broker_connection_retry_on_startup=True)


@app.task(  # type: ignore[untyped-decorator]  # Celery has no types
    name="plain.pay",
    autoretry_for=(requests.RequestException,),
    retry_backoff=True,
    retry_backoff_max=30,
    retry_jitter=True,
    max_retries=None,
)
def pay(webhook: str, invoice: int) -> object:
    """Pay one invoice with one call."""
    call = {"INVOICE_ID": invoice, "PAY_SYSTEM_ID": 1}
    reply = requests.post(f"{webhook}sale.paysystem.pay.invoice", json=call, timeout=60)
    reply.raise_for_status()
    return reply.json()["result"]


def work(task: dict[str, Any]) -> None:
    """Send everything and wait, for as long as the benchmark has."""
    end = time.monotonic() + float(task["within_s"])
    sent = [pay.delay(task["webhook"], n) for n in range(1, task["count"] + 1)]
    for result in sent:
        result.get(timeout=max(0.1, end - time.monotonic()))


if __name__ == "__main__":
    serve(work)
