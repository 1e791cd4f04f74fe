"""Reading doubts again because a person asked for it: what became of each, as far as one can wait for it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final, assert_never

from cli.holds import how_to_go_on, told_held
from cli.questions import lanes_of, now_of
from cli.showing import told

if TYPE_CHECKING:
    from cli.session import Session
    from ledger.ledger import LaneView
    from ledger.payment import Payment

_LOOK_S: Final = 0.2
# A worker looks at the due lanes every half second; one that is not taken for so long has nobody who would.
NOBODY_AFTER_S: Final = 10.0
# After its quiet time has ended a doubt is read within a few seconds.
_READ_WITHIN_S: Final = 5.0
_AT_ONCE: Final = 200  # ids per step of the ledger


class Outcome(StrEnum):
    """How far a reading came."""

    DECIDED = "decided"  # the portal's word, or a person's, has moved the payment on
    QUIET = "quiet"  # read as unpaid, which does not count yet
    UNREADABLE = "unreadable"  # read, without an answer about the invoice
    HELD = "held"  # not read: its lane waits for a person
    NOBODY = "nobody"  # not read: no worker took the lane
    PENDING = "pending"  # not read yet, or its lane is still being driven


@dataclass(frozen=True, slots=True)
class Reading:
    """One payment as it stands now, its lane, and how far its reading came."""

    payment: "Payment"
    lane: "LaneView | None"
    outcome: Outcome


async def make_due(session: "Session", ids: Sequence[str]) -> None:
    """Have payments read now."""
    for first in range(0, len(ids), _AT_ONCE):
        await session.ledger.read_again(ids[first : first + _AT_ONCE])


async def wait_for_readings(session: "Session", payments: "Sequence[Payment]", timeout_s: float) -> list[Reading]:
    """Wait for what the readings of due payments decide, as long as waiting is not in vain."""
    from asyncio import sleep

    readings = [Reading(each, None, Outcome.PENDING) for each in payments]
    began, taken = time.monotonic(), set[str]()
    while True:
        left_s = timeout_s - (time.monotonic() - began)
        now = await now_of(session)
        readings = await _looked(session, readings, now)
        taken |= {reading.payment.portal for reading in readings if reading.lane and _was_taken(reading.lane, now)}
        if left_s <= 0 or timeout_s - left_s >= NOBODY_AFTER_S:
            readings = [_without_worker(reading, taken) for reading in readings]
        if left_s <= 0 or not any(_is_worth_waiting(reading, now, left_s) for reading in readings):
            return readings
        await sleep(min(_LOOK_S, left_s))


async def _looked(session: "Session", readings: Sequence[Reading], now: datetime) -> list[Reading]:
    """The same payments as they stand now; what is decided is not asked for again."""
    waiting = [reading.payment.id for reading in readings if reading.outcome is not Outcome.DECIDED]
    found: dict[str, Payment] = {}
    for first in range(0, len(waiting), _AT_ONCE):
        rows = await session.ledger.find(waiting[first : first + _AT_ONCE])
        found |= {row.id: row for row in rows if row is not None}
    lanes = await lanes_of(session, list(found.values()))
    return [_judged(reading, found.get(reading.payment.id), lanes, now) for reading in readings]


def _judged(reading: Reading, row: "Payment | None", lanes: "Mapping[str, LaneView]", now: datetime) -> Reading:
    if row is None:  # decided before, or ended and forgotten meanwhile
        return Reading(reading.payment, reading.lane, Outcome.DECIDED)
    lane = lanes.get(row.portal)
    return Reading(row, lane, _outcome(row, lane, now))


def _outcome(payment: "Payment", lane: "LaneView | None", now: datetime) -> Outcome:
    from ledger.payment import State

    if payment.state not in (State.QUEUED, State.IN_DOUBT):
        return Outcome.DECIDED
    if lane is None or lane.held is not None:
        return Outcome.HELD
    if lane.owner is not None or not _was_taken(lane, now):
        return Outcome.PENDING
    if payment.last_read_error is not None:
        return Outcome.UNREADABLE
    return Outcome.DECIDED if payment.state is State.QUEUED else Outcome.QUIET


def _was_taken(lane: "LaneView", now: datetime) -> bool:
    """Whether a driver has the lane, or had it since its payments were made due."""
    return lane.owner is not None or lane.due_at is None or lane.due_at > now


def _without_worker(reading: Reading, taken: set[str]) -> Reading:
    if reading.outcome is Outcome.PENDING and reading.payment.portal not in taken:
        return Reading(reading.payment, reading.lane, Outcome.NOBODY)
    return reading


def _is_worth_waiting(reading: Reading, now: datetime, left_s: float) -> bool:
    if reading.outcome is Outcome.QUIET and reading.payment.quiet_until is not None:
        return (reading.payment.quiet_until - now).total_seconds() + _READ_WITHIN_S <= left_s
    return reading.outcome is Outcome.PENDING


def text_of(reading: Reading) -> str:
    """What became of a reading, in a few words."""
    payment = reading.payment
    match reading.outcome:
        case Outcome.DECIDED:
            return _decided(payment)
        case Outcome.QUIET:
            return f"not paid so far; unpaid counts from {payment.quiet_until:%H:%M:%S} UTC on"
        case Outcome.UNREADABLE:
            return f"could not be read: {told(payment.last_read_error)}"
        case Outcome.HELD:
            return "not read: the lane is held"
        case Outcome.NOBODY:
            return "not read: no worker"
        case Outcome.PENDING:
            return "not read yet"
    assert_never(reading.outcome)


def hindrance(reading: Reading) -> str | None:
    """What keeps a lane from being read, and the next step; None where nothing does."""
    portal, lane = reading.payment.portal, reading.lane
    if reading.outcome is Outcome.NOBODY:
        return "No worker took the lane. Next step: start one as the Procfile says; it reads what is due by itself."
    if reading.outcome is not Outcome.HELD:
        return None
    if lane is None or lane.held is None:
        return f"There is no lane {portal}. Next step: b24pay portal add {portal}"
    return f"The lane is held: {told_held(lane.held)}. Next step: {how_to_go_on(lane.held, portal)}"


def _decided(payment: "Payment") -> str:
    from ledger.payment import State

    match payment.state:
        case State.PAID:
            return f"paid ({payment.evidence})"
        case State.FAILED:
            return f"failed: {told(payment.error)}"
        case State.CANCELLED:
            return "withdrawn"
        case State.QUEUED | State.SENDING:
            return "read as unpaid: it is sent again"
        case State.IN_DOUBT:
            return "in doubt"
    assert_never(payment.state)
