"""Who wished to be told of a payment's end, and the callbacks that have become due (twin of what lua/prelude.lua and
lua/open.lua do about them)."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ledger.callbacks import Callback, CallbackState, EventId
from ledger.payment import OPEN, Destination, Handle, NewPayment, Payment, PaymentId, State

# How long a payment with a callback is not looked at by a sweep: half of its age, within these bounds.
FIRST_LOOK, LONGEST_LOOK = timedelta(seconds=15), timedelta(minutes=10)
_BEGIN = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_LETTERS = {State.PAID: "p", State.FAILED: "f", State.CANCELLED: "c"}


@dataclass(slots=True)
class Entry:
    """One callback, and what only its steps look at."""

    told: Callback
    since: datetime  # when it came into its state
    expires_at: datetime | None = None
    leased_until: datetime | None = None
    before: int = 0  # attempts that were made before it was asked for again


class Wishes:
    """All of one book."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self.of: dict[PaymentId, dict[Handle, Destination]] = {}
        self.told_at: dict[PaymentId, datetime | None] = {}  # the end that was told of last
        self.looks: dict[PaymentId, datetime] = {}  # when a sweep looks at it
        self.entries: dict[EventId, Entry] = {}

    def has(self, row: Payment, wanted: Destination) -> bool:
        """Whether somebody wished for this already."""
        return wanted in self.of.get(row.id, {}).values()

    def want(self, row: Payment, ask: NewPayment, *, late: bool = False) -> None:
        """Its end is to be told under this handle; at once where it has ended. A repeated request changes nothing."""
        if ask.callback is None or ask.id in self.of.get(row.id, {}):
            return
        self.of.setdefault(row.id, {})[ask.id] = ask.callback
        self.told_at.setdefault(row.id, row.finished_at)
        if row.state not in OPEN:
            self._tell(replace(row, duplicate=True) if late else row, ask.id, ask.callback)
        if row.state in OPEN or row.state is State.FAILED:
            self.looks.setdefault(row.id, self._now() + FIRST_LOOK)

    def announce(self, row: Payment) -> None:
        """A payment has ended."""
        if row.id not in self.of:
            return
        for handle, to in self.of[row.id].items():
            self._tell(row, handle, to)
        self.told_at[row.id] = row.finished_at
        if row.state is State.FAILED:
            self.looks[row.id] = self._now() + LONGEST_LOOK
        else:
            self.looks.pop(row.id, None)

    def revive(self, row: Payment) -> None:
        """A failed payment is queued again."""
        if row.id in self.of:
            self.looks[row.id] = self._now() + FIRST_LOOK

    def forget(self, payment_id: PaymentId) -> None:
        """A payment's retention is over. What is still to be told of it is told all the same."""
        self.of.pop(payment_id, None)
        self.told_at.pop(payment_id, None)

    def _tell(self, row: Payment, handle: Handle, to: Destination) -> None:
        event = event_of(row, handle)
        if event in self.entries:
            return
        now = self._now()
        told = Callback(
            id=event,
            to=to,
            handle=handle,
            payment=replace(row, read_at=None),
            state=CallbackState.PENDING,
            created_at=now,
            attempt=0,
            tries=0,
            due_at=now,
            remark=None,
            tried_at=None,
        )
        self.entries[event] = Entry(told, now)


def event_of(row: Payment, handle: Handle) -> EventId:
    """The name of what is told: "paid" and "cancelled" happen once in a payment's life, failures may be several."""
    moment = row.finished_at if row.state is State.FAILED else row.enqueued_at
    if moment is None:
        raise RuntimeError("only an end is told")
    text = f"{handle} {_LETTERS[row.state]} {(moment - _BEGIN) // timedelta(milliseconds=1)}"
    return EventId("evt_" + hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()[:32])
