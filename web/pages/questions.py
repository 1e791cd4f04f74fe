"""Payments of which nobody knows whether they were paid, each with what an operator has to know to decide."""

from dataclasses import dataclass
from datetime import datetime

from ledger.ledger import LaneView
from ledger.payment import Payment, State
from web.pages.meanings import Meaning, meaning_of_hold, meaning_of_reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """One doubt. `unpaid_from`: before this moment nobody may call it unpaid; None where it may be said now."""

    payment: Payment
    since: datetime
    why: str
    unpaid_from: datetime | None
    next_read: str
    reading: Meaning | None  # why the latest read-back gave no answer
    hold: Meaning | None
    to_do: str

    @property
    def may_be_resolved(self) -> bool:
        """What is queued is read first and then sent or not; only what was sent is a person's to decide."""
        return self.payment.state is State.IN_DOUBT


def doubt_of(payment: Payment, lane: LaneView | None, now: datetime) -> Doubt:
    """One doubt as it stands now; `now` is the ledger's clock."""
    error, held = payment.last_read_error, lane.held if lane else None
    reading = meaning_of_reading(error) if error else None
    hold = meaning_of_hold(held.code, held.remedy) if held else None
    quiet = payment.quiet_until
    return Doubt(
        payment=payment,
        since=payment.sent_at or payment.enqueued_at,
        why=_why(payment),
        unpaid_from=quiet if quiet is not None and quiet > now else None,
        next_read=_next_read(lane, now),
        reading=reading,
        hold=hold,
        to_do=_to_do(lane, reading, hold),
    )


def _why(payment: Payment) -> str:
    if payment.state is State.QUEUED:
        return "It must be read before it is sent, and could not be read so far."
    if payment.error is not None and payment.error.code == "ACCEPTED_NOT_PAID":
        return "The portal said true, and nobody has seen yet that the invoice is paid."
    if payment.error is not None:
        return f"The portal refused with {payment.error.code}, and something may have been saved before it did."
    if payment.deaths:
        return "A worker died while it was sent."
    return "It was sent, and no trustworthy answer came back."


def _next_read(lane: LaneView | None, now: datetime) -> str:
    if lane is None:
        return "never: the portal was removed"
    if lane.held is not None:
        return "when the lane goes on"
    if lane.owner is not None or lane.due_at is None or lane.due_at <= now:
        return "now"
    return f"at {lane.due_at:%H:%M:%S} UTC, or later"


def _to_do(lane: LaneView | None, reading: Meaning | None, hold: Meaning | None) -> str:
    if lane is None:
        return "Add the portal again with `b24pay portal add`; then it is read."
    if hold is not None:
        return f"Its lane is held ({hold.code}). {hold.to_do}"
    if reading is not None:
        return reading.to_do
    return "Nothing: it is read back by itself."


def next_of(payment: Payment, lane: LaneView | None) -> str:
    """What happens to a payment from here on, and who makes it happen."""
    waits = payment.state in (State.QUEUED, State.IN_DOUBT)
    if waits and lane is None:
        return "It waits: its portal was removed."
    if waits and lane is not None and lane.held is not None:
        by_itself = "is found mended, or resumed" if lane.held.probe_at else "is resumed by a person"
        return f"It waits until its portal {by_itself}."
    if waits and payment.last_read_error is not None:
        return "The invoice is read again by itself; so far it could not be read."
    if payment.state is State.QUEUED and (payment.after is not None or payment.sent_at is not None):
        return "The invoice is read first, or was read as unpaid; it is sent only if it is unpaid."
    return {
        State.QUEUED: "It is sent as soon as the portal admits a request.",
        State.SENDING: "Its answer is awaited; a lost one is read back at the portal.",
        State.IN_DOUBT: "The invoice is read back at the portal by itself; nothing is sent before that.",
        State.PAID: "Done: there is nothing to do.",
        State.FAILED: "Nothing happens by itself. Mend the cause, then retry.",
        State.CANCELLED: "Nothing: it was withdrawn before anything was sent.",
    }[payment.state]
