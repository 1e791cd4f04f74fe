"""Pay one invoice with stock Celery and none of our code: pip install "celery[redis]".

    REDIS_URL=redis://:password@host:6379/0 python pay.py PORTAL INVOICE PAY_SYSTEM [ID]

Prints the payment's id at once and its result at the end. Exit code: 0 paid, 1 refused, 75 no result yet.
ID is yours to choose. Keep it before you send: the same id with the same content is the same payment, so a message may
be sent again whenever you do not know whether it has arrived.
"""

import json
import os
import sys
import uuid

from celery import Celery
from celery.exceptions import TimeoutError as NoResultYet

WAIT_S = 120


def main(portal: str, invoice: str, pay_system: str, task_id: str | None = None) -> int:
    """Send the message and wait for the result."""
    url = os.environ["REDIS_URL"]
    app = Celery(broker=url, backend=url)
    payment = {"portal": portal, "invoice_id": int(invoice), "pay_system_id": int(pay_system)}
    # Celery declares a queue that it has not been told of as "direct"; for Redis that is the list of this name.
    sent = app.send_task("tasks.pay_invoice", kwargs=payment, queue="payments", task_id=task_id or str(uuid.uuid4()))
    sys.stdout.write(f"{sent.id}\n")
    sys.stdout.flush()
    try:
        sys.stdout.write(f"{json.dumps(sent.get(timeout=WAIT_S))}\n")
    except NoResultYet:
        return 75
    except Exception as error:  # noqa: BLE001 - a worker's `PaymentFailed`, which Celery makes anew by its name
        sys.stdout.write(f"{json.dumps([type(error).__name__, *error.args])}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
