"""A producer's process: it gets ready, waits for one line of JSON, asks for payments, and tells when.

Doors: `stock` (a Celery application without our code), `bulk` (`tasks.enqueue_many`), `single` (`tasks.enqueue`),
`import` (`b24pay import` of a CSV file, in a process of its own), `asking` (`stock`, and each caller waits for a result
before it sends the next).
"""

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

Wanted = list[tuple[str, int]]  # portal, invoice
PAY_SYSTEM = 1
AT_ONCE = 5000
B24PAY = (sys.executable, "-c", "import sys; from cli.main import main; sys.exit(main())")  # as the script does


def by_stock(wanted: Wanted) -> list[str]:
    """One Celery message each."""
    ids = []
    for portal, invoice in wanted:
        task_id = str(uuid.uuid4())
        kwargs = {"portal": portal, "invoice_id": invoice, "pay_system_id": PAY_SYSTEM}
        CELERY.send_task("tasks.pay_invoice", kwargs=kwargs, queue="payments", task_id=task_id, ignore_result=True)
        ids.append(task_id)
    return ids


def by_bulk(wanted: Wanted) -> list[str]:
    """Chunks straight into the ledger."""
    from tasks import enqueue_many

    ids = []
    for start in range(0, len(wanted), AT_ONCE):
        rows = [{"portal": p, "invoice_id": n, "pay_system_id": PAY_SYSTEM} for p, n in wanted[start : start + AT_ONCE]]
        ids += [payment.id for payment in enqueue_many(rows)]  # type: ignore[union-attr] # none is refused here
    return ids


def by_single(wanted: Wanted) -> list[str]:
    """One `enqueue` each."""
    from tasks import enqueue

    return [enqueue(portal=p, invoice_id=n, pay_system_id=PAY_SYSTEM).id for p, n in wanted]


def by_import(wanted: Wanted) -> list[str]:
    """The operator's command."""
    rows = "".join(f"{invoice},{PAY_SYSTEM},{portal}\n" for portal, invoice in wanted)
    command = [*B24PAY, "import", "-", "--json"]
    told = subprocess.run(  # noqa: S603 - our own command
        command, input="invoice_id,pay_system_id,portal\n" + rows, capture_output=True, text=True, check=False
    )
    if told.returncode:
        raise RuntimeError(told.stderr[-500:])
    return []


def by_asking(wanted: Wanted) -> list[str]:
    """Callers side by side, one per portal: a message, its result, the next message. Returns each wait in seconds."""
    callers: dict[str, list[int]] = {}
    for portal, invoice in wanted:
        callers.setdefault(portal, []).append(invoice)
    with ThreadPoolExecutor(len(callers)) as threads:
        return [wait for waits in threads.map(_ask, callers, callers.values()) for wait in waits]


def _ask(portal: str, invoices: list[int]) -> list[str]:
    waits = []
    for invoice in invoices:
        kwargs = {"portal": portal, "invoice_id": invoice, "pay_system_id": PAY_SYSTEM}
        began = time.perf_counter()
        asked = CELERY.send_task("tasks.pay_invoice", kwargs=kwargs, queue="payments")
        if asked.get(timeout=30)["status"] != "paid":
            raise RuntimeError(f"{portal} {invoice} was not paid")
        waits.append(f"{time.perf_counter() - began:.6f}")
    return waits


DOORS: dict[str, Callable[[Wanted], list[str]]] = {
    "stock": by_stock,
    "asking": by_asking,
    "bulk": by_bulk,
    "single": by_single,
    "import": by_import,
}


def _warm(door: str) -> Any:
    """Import and connect: a producer that starts now is not what is measured."""
    from celery import Celery

    app = Celery("somebody-else", broker=os.environ["CELERY_URL"], backend=os.environ["CELERY_URL"])
    if door in ("stock", "asking"):
        with app.connection_for_write() as connection:
            connection.ensure_connection()
    elif door in ("bulk", "single"):
        from tasks.producer import find_payment

        find_payment("nobody")
    return app


def main() -> None:
    """Serve one request per line."""
    door = sys.argv[1]
    global CELERY  # noqa: PLW0603 - one producer per process
    CELERY = _warm(door)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        task = json.loads(line)
        wanted = [(p, n) for p, first, count in task["ranges"] for n in range(first, first + count)]
        began, cpu = time.time(), time.process_time()
        ids = DOORS[door](wanted)
        told = {"began": began, "ended": time.time(), "cpu_s": time.process_time() - cpu}
        sys.stdout.write(json.dumps({**told, "ids": ids if len(ids) <= task.get("tell", 0) else []}) + "\n")
        sys.stdout.flush()


CELERY: Any = None

if __name__ == "__main__":
    main()
