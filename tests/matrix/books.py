"""Both sides of a case, compared: what the ledger and the producers' results say, and what the portal has done."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from celery import states

from emulator.farm import Effects
from emulator.journal import RequestEntry
from ledger.payment import Evidence, Payment, State

PAY = "sale.paysystem.pay.invoice"
READ = "crm.invoice.list"


@dataclass(frozen=True, slots=True)
class Books:
    """Everything that is known about one case when it is over."""

    payments: Sequence[Payment | None]
    results: dict[str, object]  # handle -> Celery's stored form, None where there is none
    effects: Effects
    requests: Sequence[RequestEntry]
    invoices: Sequence[int] = field(default=())

    def complaints(self) -> list[str]:
        """What is wrong; nothing when each payment was paid once, is proven, and its producer knows."""
        return [*self._in_the_ledger(), *self._in_the_results(), *self._at_the_portal(), *self._on_the_way()]

    def _in_the_ledger(self) -> Iterable[str]:
        for payment in self.payments:
            if payment is None:
                yield "the ledger has forgotten a payment"
            elif payment.state is not State.PAID:
                yield f"invoice {payment.invoice_id} is {payment.state} in the ledger ({payment.error})"
            elif payment.evidence is not Evidence.READ_BACK:
                yield f"invoice {payment.invoice_id} is called paid by {payment.evidence}"

    def _in_the_results(self) -> Iterable[str]:
        for handle, stored in self.results.items():
            told = json.loads(stored) if isinstance(stored, str | bytes) else {}
            result = told.get("result")
            paid = isinstance(result, dict) and (result.get("status"), result.get("evidence")) == ("paid", "read_back")
            if told.get("status") != "SUCCESS" or not paid:
                yield f"the producer of {handle} reads {told or 'nothing'}"

    def _at_the_portal(self) -> Iterable[str]:
        tally = self.effects.tally
        for name in ("doubles", "repeats", "overlaps", "swallowed", "no_ops"):
            if number := getattr(tally, name):
                yield f"the portal counts {number} {name}"
        for invoice in self.invoices:
            if (times := self.effects.counts.get(invoice, 0)) != 1:
                yield f"invoice {invoice} was paid {times} times at the portal"

    def _on_the_way(self) -> Iterable[str]:
        for invoice in blindly_repeated(self.requests):
            yield f"the call for invoice {invoice} was repeated before the portal was asked"


def is_final(stored: object) -> bool:
    """Whether a stored result is an end; `STARTED` is none."""
    return isinstance(stored, str) and json.loads(stored)["status"] in states.READY_STATES


def blindly_repeated(requests: Sequence[RequestEntry]) -> list[int]:
    """Invoices whose pay call came again without a read between the two; a batch's own read is no such read."""
    unread: set[int] = set()
    blindly: list[int] = []
    for request in sorted(requests, key=lambda each: each.seq):
        if request.method == READ and request.status == 200 and not (request.fault or request.client_gone):
            unread.clear()  # a lane of the tests has fewer payments than one read shows
        for _, method, record in request.commands:
            if method == PAY:
                invoice = int(record)
                if invoice in unread:
                    blindly.append(invoice)
                unread.add(invoice)
    return blindly


def how_it_ended(
    requests: Sequence[RequestEntry], attempt: int, since: float, until: float, invoices: Iterable[int]
) -> str:
    """What came of the payments that were struck in this attempt, in a few words, as the portal saw it."""
    requests = [each for each in requests if each.t <= until]
    own = {str(invoice) for invoice in invoices}
    pays = [each for each in requests if any(method == PAY and record in own for _, method, record in each.commands)]
    later = pays[attempt - 1 :]  # those before were the lost attempts
    first = later[0].seq if later else 0
    reads = [each for each in requests if each.method == READ and (each.t >= since or each.seq > first)]
    if any(read.seq < pay.seq for read in reads for pay in later):
        return "read back as unpaid, sent again"
    if reads:
        return "read back as paid"
    return "sent, paid as answered" if later and later[0].t >= since else "paid as answered"
