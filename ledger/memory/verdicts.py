"""Writing verdicts into the book (the twin of lua/settle.lua)."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from ledger.history import code_in, entry, noted, sending
from ledger.memory.book import SUSPECT_DEATHS, Book, Lane, without_doubt
from ledger.payment import Payment, Refusal, State
from ledger.verdict import Decision, Failed, InDoubt, Paid, Requeue, Unpaid, Unreadable, Verdict

# Which verdicts may be written on which state, and where each may have led when it is repeated.
_OF_READS: frozenset[type[Verdict]] = frozenset({Paid, Failed, Unpaid, Unreadable})
_ON: dict[State, frozenset[type[Verdict]]] = {
    State.SENDING: frozenset({Paid, Failed, Requeue, InDoubt}),
    State.IN_DOUBT: _OF_READS,
    State.QUEUED: _OF_READS,
}
_LEADS_TO: dict[type[Verdict], frozenset[State]] = {
    Paid: frozenset({State.PAID}),
    Failed: frozenset({State.FAILED}),
    Requeue: frozenset({State.QUEUED}),
    InDoubt: frozenset({State.IN_DOUBT}),
    Unpaid: frozenset({State.QUEUED, State.FAILED, State.IN_DOUBT}),
    Unreadable: frozenset({State.IN_DOUBT, State.QUEUED}),
}


# After so many deaths of its drivers a payment is not sent again.
MOST_DEATHS = 3


class Verdicts:
    """One settle: the verdicts that go into one lane together."""

    def __init__(self, book: Book, lane: Lane, max_attempts: int) -> None:
        self._book = book
        self._lane = lane
        self._max_attempts = max_attempts
        self._again: list[Payment] = []
        self.answered = False  # a payment has ended by the answer to its call: the portal works

    def write(self, made: Decision) -> bool:
        """Write one verdict; False when the payment has moved on since it was decided on."""
        row, kind = self._book.rows.get(made.payment.id), type(made.verdict)
        if row is None or row.claim != made.payment.claim:
            return False
        if row.state is not made.payment.state:
            return row.state in _LEADS_TO[kind]
        if kind not in _ON.get(row.state, frozenset()):
            return False
        if row.state is State.QUEUED and row.id not in self._book.read_first:
            # It is decided on by a read only as long as it must be read first.
            return kind is Unpaid
        self.answered = self.answered or (row.state is State.SENDING and kind in {Paid, Failed})
        self._decide(row, made)
        return True

    def close(self) -> None:
        """Put what is to be sent again to the front in its old order; suspects wait apart."""
        self._lane.queue[:0] = [row.id for row in self._again if row.deaths < SUSPECT_DEATHS]
        self._lane.suspects[:0] = [row.id for row in self._again if row.deaths >= SUSPECT_DEATHS]

    def _decide(self, row: Payment, made: Decision) -> None:
        match made.verdict:
            case Paid(evidence, paid_at):
                # Found paid before anything was sent; a retried one was sent before, and it was that call that paid.
                duplicate = row.duplicate or (row.state is State.QUEUED and row.after is not None)
                paid = replace(without_doubt(row), evidence=evidence, paid_at=paid_at or self._book.now(), because=None)
                self._book.finish(replace(paid, duplicate=duplicate), State.PAID)
            case Failed(error):
                self._fail(row, error)
            case Requeue(spent):
                history = noted(row, sending(row), self._entry(row, "q", "S" if spent else "N"))
                self._requeue(replace(row, attempts=row.attempts - (not spent), history=history))
            case InDoubt(quiet_s, if_unpaid):
                why = code_in("C", if_unpaid.bounded().code) if if_unpaid and if_unpaid.code else "L"
                self._book.doubt(replace(row, error=if_unpaid.bounded() if if_unpaid else None), quiet_s, why)
            case Unpaid():
                self._unpaid(replace(row, last_read_error=None), made.payment.read_at or self._book.now())
            case Unreadable(error, retry_s):
                read = self._with_read(row, code_in("N", error.bounded().code))
                self._book.rows[row.id] = replace(read, last_read_error=error.bounded())
                self._lane.doubts[row.id] = self._book.now() + timedelta(seconds=retry_s)
            case _ as never:
                assert_never(never)

    def _unpaid(self, row: Payment, asked_at: datetime) -> None:
        book, quiet_until = self._book, self._book.quiet_end(row, row.quiet_until)
        book.rows[row.id] = row
        if row.state is State.QUEUED:  # the read that had to come first: now it is a payment like any other
            del self._lane.doubts[row.id], book.read_first[row.id]
            book.rows[row.id] = replace(row, after=None, history=noted(row, self._entry(row, "r", "F")))
            self._lane.queue.append(row.id)
        elif asked_at < quiet_until:
            book.rows[row.id] = replace(self._with_read(row, "U"), quiet_until=quiet_until)
            self._lane.doubts[row.id] = quiet_until
        elif row.error is not None:
            self._fail(row, row.error)
        elif row.deaths >= MOST_DEATHS:
            self._fail(row, _died(row))
        elif row.attempts < self._max_attempts:
            if book.perhaps_sent(row):
                book.was_asked_about(row)
            self._requeue(replace(row, history=noted(row, self._entry(row, "q", "U"))))
        else:
            text = f"The portal gave no answer to {row.attempts} attempts; the invoice is unpaid."
            self._fail(row, Refusal("NO_ANSWER", text))

    def _entry(self, row: Payment, letter: str, why: str) -> str:
        return entry(row, letter, self._book.now(), why)

    def _with_read(self, row: Payment, why: str) -> Payment:
        """A read that left it in doubt; one that was written down already says so no second time."""
        if self._lane.doubts[row.id] > self._book.now():
            return row
        return replace(row, history=noted(row, self._entry(row, "r", why)))

    def _fail(self, row: Payment, error: Refusal) -> None:
        self._book.finish(replace(row, error=error.bounded()), State.FAILED)

    def _requeue(self, row: Payment) -> None:
        self._lane.lift(row.id)
        self._book.read_first.pop(row.id, None)
        self._again.append(self._book.move(replace(without_doubt(row), after=None), State.QUEUED))


def _died(row: Payment) -> Refusal:
    text = (
        f"Its worker died {row.deaths} times while paying it; the invoice is unpaid. "
        "Next step: look into the logs of the workers for the reason, then retry the payment."
    )
    return Refusal("WORKER_DIED", text)
