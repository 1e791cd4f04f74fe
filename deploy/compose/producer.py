"""A producer that hands payments in all the time, as a service does that lives beside b24pay."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from threading import Event, Lock, Thread
from typing import Any

from service import Door, Failed

AT_ONCE = 5
EVERY_S = 0.25
GIVES_UP_S = 120


class Producer:
    """Posts arrays of payments, each with a key of its own, and asks again until they are accepted."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._stopping = Event()
        self._lock = Lock()
        self._accepted: dict[int, float] = {}  # invoice: when its acceptance came
        self._trouble: list[str] = []

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """New payments come in as long as the block lasts."""
        thread = Thread(target=self._work, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.stop()
            thread.join(GIVES_UP_S)
        if self._trouble:
            raise Failed(self._trouble[0])

    def stop(self) -> None:
        """No new payments from now on."""
        self._stopping.set()

    def accepted(self) -> list[int]:
        """The invoices of which the door has said that they are accepted."""
        with self._lock:
            return list(self._accepted)

    def number_accepted(self) -> int:
        """How many they are."""
        with self._lock:
            return len(self._accepted)

    def longest_silence(self, since: float) -> float:
        """The longest time between two acceptances, from a moment on; seconds."""
        with self._lock:
            moments = [since, *sorted(moment for moment in self._accepted.values() if moment >= since)]
        return max((after - before for before, after in pairwise(moments)), default=0.0)

    def ask_again(self) -> None:
        """Hand in everything that was ever accepted once more, with the same keys; raises Failed if one is refused."""
        invoices = sorted(self.accepted())
        for start in range(0, len(invoices), 500):
            if problem := self._hand_in(invoices[start : start + 500]):
                raise Failed(problem)

    def _work(self) -> None:
        invoice = 1
        while not self._stopping.wait(EVERY_S):
            if problem := self._hand_in(list(range(invoice, invoice + AT_ONCE))):
                self._trouble.append(problem)
                return
            invoice += AT_ONCE

    def _hand_in(self, invoices: list[int]) -> str | None:
        """One array until it is accepted; what is wrong, if it is refused."""
        body = [
            {"portal": "acme", "invoice_id": each, "pay_system_id": 1, "idempotency_key": f"order-{each}"}
            for each in invoices
        ]
        end = time.monotonic() + GIVES_UP_S
        while time.monotonic() < end:
            status, answer = self._door.ask("POST", "/v1/payments", body)
            if status in (200, 202):
                return self._note(invoices, answer["results"])
            if status not in (0, 429, 500, 502, 503):
                return f"payments were refused with {status}: {answer}"
            time.sleep(0.2)
            if status == 0:
                self._door.look_again()
        return f"payments were not accepted for {GIVES_UP_S} s"

    def _note(self, invoices: list[int], results: list[dict[str, Any]]) -> str | None:
        refused = [each for each in results if "error" in each]
        if refused or len(results) != len(invoices):
            return f"payments were refused: {refused[:3]}"
        now = time.time()
        with self._lock:
            for invoice in invoices:
                self._accepted.setdefault(invoice, now)
        return None
