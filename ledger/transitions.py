"""The way of one payment, read from its row: each step with its moment, who made it, and what it rests on.

What the row does not tell is said to be unknown instead of being guessed: a version that keeps no history may have
worked on it, and of a very long history the middle is left out.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from ledger.history import knows_sending
from ledger.payment import ARROWS, Evidence, Payment, State


class Cause(StrEnum):
    """Why a payment came into a state, or what else happened to it."""

    ACCEPTED = "accepted"
    JOINED = "joined"  # another request asked for the same
    CLAIMED = "claimed"  # the pay command may leave from here on
    NO_ANSWER = "no_answer"
    ANSWER_IN_DOUBT = "answer_in_doubt"  # the portal said something that leaves it open; `code` says what
    WORKER_DIED = "worker_died"
    HISTORY_LOST = "history_lost"  # the server lost what may have sent it
    NOT_EXECUTED = "not_executed"  # certainly not: it is sent again
    READ_UNPAID = "read_unpaid"
    READ_TOO_EARLY = "read_too_early"  # unpaid, but its call could still run
    UNREADABLE = "unreadable"  # the read-back gave no answer
    RETRIED = "retried"  # a person had it queued again
    PROVEN = "proven"  # read back as paid
    CLAIMED_PAID = "claimed_paid"  # the portal said so, and it may not be read
    FAILED = "failed"  # refused, or given up after read-backs; `code` says why
    DECIDED = "decided"  # a person said what became of it
    WITHDRAWN = "withdrawn"
    NOT_RECORDED = "not_recorded"  # what happened here is not known
    LEFT_OUT = "left_out"  # `times` entries of a long history


class By(StrEnum):
    """Who made a step."""

    PRODUCER = "producer"
    WORKER = "worker"
    LEDGER = "ledger"
    PERSON = "person"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One step of a payment's way."""

    at: datetime | None  # None: when is not known
    state: State | None  # that it came into; None: it stayed as it was, or that is not known
    cause: Cause
    by: By | None = None
    evidence: str  # in words
    code: str | None = None  # of a refusal or a read error; in the middle of a way cut to 32 plain letters
    attempt: int | None = None  # of a sending
    fence: int | None = None  # of the lease that it was sent under
    times: int = 1  # so many of the kind in a row; `at` is that of the latest


_STATES: Final = {"s": State.SENDING, "d": State.IN_DOUBT, "q": State.QUEUED, "f": State.FAILED}
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_ENTRY = re.compile(r"([a-z])(-?[0-9a-z]+):([A-Z]|[0-9.]+)?\.?([^*]*)(?:\*(\d+))?")
# What an entry means: letter and reason -> cause, who, in words.
_MEANINGS: Final = {
    "dL": (Cause.NO_ANSWER, By.WORKER, "sent, and no trustworthy answer came"),
    "dC": (Cause.ANSWER_IN_DOUBT, By.WORKER, "the portal's answer leaves open whether it was paid"),
    "dX": (Cause.WORKER_DIED, By.WORKER, "its worker died, or lost its lane, while it was being sent"),
    "dG": (Cause.HISTORY_LOST, By.LEDGER, "Redis was restarted or replaced: a history that is lost may have sent it"),
    "qN": (Cause.NOT_EXECUTED, By.WORKER, "certainly not executed; the attempt does not count"),
    "qS": (Cause.NOT_EXECUTED, By.WORKER, "certainly not executed; the attempt counts"),
    "qU": (Cause.READ_UNPAID, By.WORKER, "read back: unpaid, so it is sent again"),
    "qO": (Cause.RETRIED, By.PERSON, "queued again"),
    "fP": (Cause.FAILED, By.WORKER, "failed for good"),
    "fO": (Cause.DECIDED, By.PERSON, "a person found it unpaid"),
    "rU": (Cause.READ_TOO_EARLY, By.WORKER, "read back: unpaid, which did not count yet: its call could still run"),
    "rN": (Cause.UNREADABLE, By.WORKER, "read back: no answer about this invoice"),
    "rF": (Cause.READ_UNPAID, By.WORKER, "read back first: unpaid, so it may be sent"),
    "jH": (Cause.JOINED, By.PRODUCER, "another request asked for the same"),
}


def transitions_of(payment: Payment) -> list[Transition]:
    """All steps in their order. At least one; those that cannot be told have the cause NOT_RECORDED."""
    accepted = Transition(
        at=payment.enqueued_at, state=State.QUEUED, cause=Cause.ACCEPTED, by=By.PRODUCER, evidence=_accepted(payment)
    )
    noted = list(_noted(payment))
    if payment.sent_at is not None and not knows_sending(payment):
        noted.append(_sending(payment, payment.sent_at))
    if payment.finished_at is not None:
        noted.append(_end(payment, payment.finished_at))
    return list(_with_gaps(payment, _in_order([accepted, *noted])))


def _in_order(steps: list[Transition]) -> list[Transition]:
    """By their moments; what has none stays behind what stood before it."""
    moment, moments = _LONG_AGO, list[datetime]()
    for step in steps:
        moment = step.at or moment
        moments.append(moment)
    return [steps[place] for place in sorted(range(len(steps)), key=lambda place: moments[place])]


def _noted(payment: Payment) -> Iterator[Transition]:
    for text in payment.history.split():
        if text.startswith("+"):
            yield Transition(
                at=None,
                state=None,
                cause=Cause.LEFT_OUT,
                times=int(text),
                evidence=f"{int(text)} more steps, not kept one by one",
            )
        elif found := _ENTRY.fullmatch(text):
            yield _read(payment, found)
        else:
            yield _unknown(f"an entry of a newer version: {text}")


def _read(payment: Payment, found: re.Match[str]) -> Transition:
    letter, since, why, code, times = found.groups("")
    at = payment.enqueued_at + int(since, 36) * _MS
    if letter == "s":
        fence, number, attempt = found.group(0).partition(":")[2].split(".")
        return _claimed(at, fence, number, int(attempt))
    if letter + why not in _MEANINGS:
        return replace(_unknown(f"an entry of a newer version: {found.group(0)}"), at=at)
    cause, by, told = _MEANINGS[letter + why]
    return Transition(
        at=at,
        state=_STATES.get(letter),
        cause=cause,
        by=by,
        evidence=f"{told}: {code}" if code else told,
        code=code or None,
        times=int(times or 1),
    )


def _claimed(at: datetime, fence: str, number: str, attempt: int) -> Transition:
    known = f"attempt {attempt}, " if attempt else ""
    return Transition(
        at=at,
        state=State.SENDING,
        cause=Cause.CLAIMED,
        by=By.WORKER,
        attempt=attempt or None,
        fence=int(fence),
        evidence=f"{known}claim {fence}.{number}",
    )


def _sending(payment: Payment, at: datetime) -> Transition:
    fence, _, number = payment.claim.partition(".")
    return _claimed(at, fence or "0", number, payment.attempts)


def _accepted(payment: Payment) -> str:
    if payment.after is not None:
        return f"accepted, to be read first: the invoice was paid by {payment.after}"
    return "accepted"


def _end(payment: Payment, at: datetime) -> Transition:
    cause, by, told, code = _meaning_of_end(payment)
    evidence = ": ".join(filter(None, (told, payment.because)))
    return Transition(at=at, state=payment.state, cause=cause, by=by, evidence=evidence, code=code)


def _meaning_of_end(payment: Payment) -> tuple[Cause, By, str, str | None]:
    code = payment.error.code if payment.error else None
    if payment.state is State.CANCELLED:
        return Cause.WITHDRAWN, By.PERSON, "withdrawn before it was sent", None
    if payment.because is not None:
        return Cause.DECIDED, By.PERSON, code or Evidence.OPERATOR.value, code
    if payment.state is State.PAID:
        proven = payment.evidence is Evidence.READ_BACK
        return Cause.PROVEN if proven else Cause.CLAIMED_PAID, By.WORKER, payment.evidence or "not told", None
    told = ": ".join(filter(None, (code, payment.error.text if payment.error else None)))
    return Cause.FAILED, By.WORKER, told or "not told", code


def _unknown(evidence: str) -> Transition:
    return Transition(at=None, state=None, cause=Cause.NOT_RECORDED, evidence=evidence)


def _with_gaps(payment: Payment, steps: list[Transition]) -> Iterator[Transition]:
    """The steps, and where one cannot have followed the other, that something is missing between them."""
    stands: State | None = None
    attempts: int | None = 0
    for step in steps:
        if step.cause in (Cause.LEFT_OUT, Cause.NOT_RECORDED):
            stands = attempts = None
        elif _jumps(step, stands, attempts):
            yield _unknown(_OLDER)
        if step.state is not None:
            stands = step.state
        attempts = 0 if step.cause is Cause.RETRIED else step.attempt or attempts
        yield step
    if stands is not payment.state:
        yield replace(_unknown(_OLDER), state=payment.state)


def _jumps(step: Transition, stands: State | None, attempts: int | None) -> bool:
    """Whether it cannot have come next."""
    skips = step.attempt is not None and attempts is not None and step.attempt > attempts + 1
    return skips or (step.state is not None and stands is not None and step.state not in ARROWS[stands])


_OLDER: Final = "not recorded: a worker of an older version was at work"
