"""A producer's process: it asks through one door until it is told something, whatever happens to Redis meanwhile.

`python -m chaos.producing` reads one JSON request per line and answers each with one line. It knows nothing of the
storm, and has nothing of ours but the public doors: `tasks.enqueue_many`, and messages of a stock Celery.
"""

import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

PAY_SYSTEM: Final = 1
_PAUSE_S: Final = 0.1

Wanted = Sequence[tuple[int, str]]  # (invoice, idempotency key or task id)
# (invoice, handle or None, why it was refused, when it was told: epoch seconds)
Told = list[tuple[int, str | None, str, float]]


def ask_ledger(portal: str, wanted: Wanted) -> tuple[Told, int]:
    """Ask through `tasks.enqueue_many`; the same keys again until it answers. Also: how often it was asked."""
    from tasks import enqueue_many
    from tasks.errors import InvalidPayment, LedgerUnavailable

    items = [
        {"portal": portal, "invoice_id": number, "pay_system_id": PAY_SYSTEM, "idempotency_key": key}
        for number, key in wanted
    ]
    tries = 1
    while True:
        try:
            outcomes = enqueue_many(items)
        except LedgerUnavailable:
            tries += 1
            time.sleep(_PAUSE_S)
            continue
        told: Told = []
        at = time.time()
        for (number, _), outcome in zip(wanted, outcomes, strict=True):
            if isinstance(outcome, InvalidPayment):
                told.append((number, None, str(outcome), at))
            else:
                told.append((number, outcome.id, "", at))
        return told, tries


class StockCelery:
    """A producer's Celery application that has none of our code."""

    def __init__(self) -> None:
        self._app = self._fresh()

    @staticmethod
    def _fresh() -> Any:
        from celery import Celery

        url = os.environ["CELERY_URL"]
        return Celery("somebody-else", broker=url, backend=url, set_as_current=False)

    def ask(self, portal: str, wanted: Wanted, *, bulk: bool) -> tuple[Told, int]:
        """Send messages, each again under the same id until the broker takes it."""
        items = [{"invoice_id": number, "pay_system_id": PAY_SYSTEM, "task_id": handle} for number, handle in wanted]
        if bulk:
            tries = self._send("tasks.pay_invoices", {"portal": portal, "payments": items}, None)
            return [(number, handle, "", time.time()) for number, handle in wanted], tries
        tries = 0
        told: Told = []
        for (number, handle), item in zip(wanted, items, strict=True):
            del item["task_id"]
            tries += self._send("tasks.pay_invoice", {"portal": portal, **item}, handle)
            # Each message is accepted on its own; a power loss may come between two.
            told.append((number, handle, "", time.time()))
        return told, tries

    def _send(self, task: str, kwargs: dict[str, Any], task_id: str | None) -> int:
        tries = 1
        while True:
            try:
                self._app.send_task(task, kwargs=kwargs, task_id=task_id, queue="payments", ignore_result=True)
            except Exception:  # noqa: BLE001 - in an outage kombu raises what it trips over, an AttributeError among them
                tries += 1
                time.sleep(_PAUSE_S)
                # Its connection may be of no use any more.
                self._app = self._fresh()
            else:
                return tries


def main() -> None:
    """Answer requests until stdin ends."""
    celery: StockCelery | None = None
    for line in sys.stdin:
        request = json.loads(line)
        wanted = [(int(number), str(key)) for number, key in request["wanted"]]
        if request["door"] == "ledger":
            told, tries = ask_ledger(request["portal"], wanted)
        else:
            celery = celery or StockCelery()
            told, tries = celery.ask(request["portal"], wanted, bulk=request["door"] == "bulk")
        answer = {"number": request["number"], "tries": tries, "told": told}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
