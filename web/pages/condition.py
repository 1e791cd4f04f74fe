"""What a person at 3 a.m. is told: the whole in one sentence, what is well and what is not, and what is safe to do."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ledger.ledger import LaneView
from ledger.payment import OPEN, State
from metrics.glances import Glance
from metrics.life import Condition
from metrics.standing import Standing
from web.pages.wording import counted, duration, number, size

_LONG_WAIT_S: Final = 300.0
# What others are owed goes out within seconds.
_LATE_S: Final = 60.0
_FULL: Final = 0.85


@dataclass(frozen=True, slots=True)
class Verdict:
    """The whole in one sentence, and what to do about it."""

    kind: str  # ok, warn, bad, idle
    text: str
    more: str


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that is well or not."""

    name: str
    kind: str
    text: str
    more: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """Something that may be done without risk, and where."""

    text: str
    path: str = ""
    link: str = ""


@dataclass(frozen=True, slots=True)
class Figures:
    """What the verdict is made of, for everything or for the portals of a token. None: not known of some alone."""

    counts: Mapping[State, int]
    lanes: int
    held: int
    waiting_s: float | None
    in_doubt_s: float | None
    paid_per_s: float | None
    consuming: int
    workers: int

    @property
    def open(self) -> int:
        """Payments that have not ended."""
        return sum(self.counts[state] for state in OPEN)


def of_all(glance: Glance) -> Figures:
    """Of everything."""
    return Figures(
        counts=glance.counts,
        lanes=glance.lanes.lanes,
        held=sum(glance.lanes.held.values()),
        waiting_s=glance.waiting_s or None,
        in_doubt_s=glance.in_doubt_s or None,
        paid_per_s=glance.paid_per_s,
        consuming=_consuming(glance),
        workers=len(glance.signs),
    )


def of_some(lanes: Sequence[LaneView], glance: Glance) -> Figures:
    """Of the portals of a token."""
    return Figures(
        counts={state: sum(lane.counts[state] for lane in lanes) for state in State},
        lanes=len(lanes),
        held=sum(lane.held is not None for lane in lanes),
        waiting_s=None,
        in_doubt_s=None,
        paid_per_s=None,
        consuming=_consuming(glance),
        workers=len(glance.signs),
    )


def verdict(figures: Figures) -> Verdict:
    """Is money moving? The gravest answer comes first."""
    waiting = figures.open
    if figures.lanes == 0:
        return Verdict("idle", "No portal yet", "Add the first one: b24pay portal add KEY.")
    if not figures.consuming:
        return _without_workers(figures)
    if figures.held == figures.lanes and waiting:
        more = "Reasons and remedies are below. Nothing fails by waiting."
        return Verdict("bad", f"Nothing moves: every lane is held, {_payments_wait(waiting)}", more)
    troubles = _troubles(figures)
    if not waiting:
        return Verdict("warn" if troubles else "idle", "Nothing waits: all payments have ended", troubles)
    rate = figures.paid_per_s
    if rate == 0:
        more = troubles or "Lanes may be waiting for their portals: see where the work is."
        return Verdict("warn", f"{_payments_wait(waiting).capitalize()}, none was paid in the last ten seconds", more)
    shown = f": {number(float(rate))} payments a second" if rate else ""
    more = troubles or f"{counted(waiting, 'payment')} open, nothing is stuck."
    return Verdict("warn" if troubles else "ok", f"Money is moving{shown}", more)


def _without_workers(figures: Figures) -> Verdict:
    told = "No worker consumes" if figures.workers else "No worker has given a sign of life"
    more = "Start one (python -m worker); any number may run. What is accepted waits safely in the ledger."
    if not figures.open:
        return Verdict("warn", f"{told}, and nothing waits", more)
    return Verdict("bad", f"Nothing moves: {told[0].lower()}{told[1:]}, {_payments_wait(figures.open)}", more)


def _payments_wait(waiting: int) -> str:
    return f"{counted(waiting, 'payment')} {'waits' if waiting == 1 else 'wait'}"


def _troubles(figures: Figures) -> str:
    told = []
    if figures.held:
        told.append(f"{counted(figures.held, 'lane')} held")
    if figures.counts[State.IN_DOUBT]:
        told.append(f"{counted(figures.counts[State.IN_DOUBT], 'payment')} in doubt")
    if figures.waiting_s and figures.waiting_s > _LONG_WAIT_S:
        told.append(f"the oldest waits {duration(figures.waiting_s)}")
    text = ", ".join(told)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def safe_steps(figures: Figures) -> list[Step]:
    """What may be done now, whatever else goes on; nothing here can pay twice."""
    return list(_safe_steps(figures)) or [Step("Nothing needs a hand.")]


def _safe_steps(figures: Figures) -> Iterator[Step]:
    if not figures.consuming:
        yield Step("Start a worker: any number may run, on any machine.", "/workers", "Workers")
    if figures.held:
        text = "Mend a held lane's cause, then resume it: it goes on with one payment alone until an answer is good."
        yield Step(text, "/portals", "Portals")
    if figures.counts[State.IN_DOUBT]:
        text = "Have doubts read back: that asks the portal and sends nothing."
        yield Step(text, "/doubts", "Doubts")
    if figures.counts[State.FAILED]:
        text = "Re-drive what failed for a cause that is mended: what was ever sent is read before it is sent again."
        yield Step(text, "/failures", "Failures")


def facts(glance: Glance, standing: Standing | None) -> list[Fact]:
    """What is well and what is not. Without a standing: what concerns everybody."""
    return [_of_workers(glance), *(_of_servers(glance, standing) if standing else ())]


def _of_workers(glance: Glance) -> Fact:
    consuming, workers = _consuming(glance), len(glance.signs)
    if not consuming:
        return Fact("Workers", "bad", "none consumes")
    if consuming < workers:
        return Fact("Workers", "warn", f"{consuming} of {workers} consume")
    return Fact("Workers", "ok", f"{consuming} consuming")


def _of_servers(glance: Glance, standing: Standing) -> Iterator[Fact]:
    server, owed, messages = standing.server, glance.owed, standing.messages
    if server is None:
        yield Fact("Redis", "ok", "answers")
    elif server.writes_failing:
        yield Fact("Redis", "bad", "cannot write to its disk", "Nothing new is durable: mend it first.")
    elif server.memory_max and server.memory_used > _FULL * server.memory_max:
        more = f"{size(server.memory_used)} of {size(server.memory_max)}; when it is full, nothing new is accepted."
        yield Fact("Redis", "warn", "nearly full", more)
    else:
        whole = f" of {size(server.memory_max)}" if server.memory_max else ""
        yield Fact("Redis", "ok", "answers", f"{size(server.memory_used)}{whole}")
    if messages is not None:
        late = "warn" if messages.waiting and not _consuming(glance) else "ok"
        text = counted(messages.waiting, "message") + " waiting" if messages.waiting else "none waiting"
        yield Fact("Queue", late, text, f"{messages.unacknowledged:,} with workers" if messages.unacknowledged else "")
    yield _owed("Results", owed.results, owed.oldest_s)
    yield _owed("Callbacks", owed.callbacks, owed.callbacks_oldest_s)
    if owed.callbacks_failed:
        yield Fact("Given up", "bad", counted(owed.callbacks_failed, "callback"), "b24pay callback list --state failed")
    if glance.parked:
        yield Fact("Parked", "warn", counted(glance.parked, "message"), "Unusable; see b24pay parked.")


def _owed(name: str, count: int, oldest_s: float) -> Fact:
    if not count:
        return Fact(name, "ok", "all told")
    kind = "warn" if oldest_s > _LATE_S else "ok"
    return Fact(name, kind, f"{count:,} to tell", f"oldest {duration(oldest_s)}")


def _consuming(glance: Glance) -> int:
    return sum(sign.condition is Condition.CONSUMING for sign in glance.signs)
