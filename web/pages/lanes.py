"""One portal as its page shows it: the lane, the pace it is asked at, and how long its backlog will take."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bitrix24.registry import StoredPortal
from ledger.ledger import LaneView
from ledger.payment import OPEN, State
from limiter.limiter import Limits, Pace
from web.pages.meanings import Meaning, meaning_of_hold

# Fewer ends than this in the minutes that were looked at are no rate.
FEWEST_ENDS: Final = 5
_NOTHING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Rate:
    """How many payments ended (paid or failed) in the last minutes."""

    ended: int
    over_s: float

    @property
    def per_s(self) -> float:
        """Payments a second."""
        return self.ended / self.over_s if self.over_s > 0 else 0.0


@dataclass(frozen=True, slots=True)
class TimeLeft:
    """How long a backlog takes, as far as one can tell; `how` says what that rests on."""

    seconds: float | None
    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """How much of something is used; `share` between 0 and 1 draws a bar."""

    used: float
    limit: float

    @property
    def share(self) -> float:
        """The used part."""
        return min(1.0, max(0.0, self.used / self.limit)) if self.limit > 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PortalCard:
    """One portal."""

    key: str
    lane: LaneView
    hold: Meaning | None
    stored: StoredPortal | None
    pace: Pace | None
    bucket: Level | None  # requests
    execution: Level | None  # seconds in the window; None where the portal does not say
    slower: bool  # it is asked slower than it was configured, because it refused
    time_left: TimeLeft
    rate: Rate | None

    @property
    def waiting(self) -> int:
        """Payments that have not ended."""
        return sum(self.lane.counts[state] for state in OPEN)

    @property
    def in_flight(self) -> int:
        """Payments that may be on their way now."""
        return self.lane.counts[State.SENDING]

    @property
    def batches(self) -> int | None:
        """About how many requests they are in."""
        if self.pace is None:
            return None
        return -(-self.in_flight // max(1, self.pace.commands))

    @property
    def credential(self) -> str | None:
        """Its kind; the secret is sealed and is nobody's business here."""
        if self.stored is None:
            return None
        return "application (OAuth)" if self.stored.user_id is None else "inbound webhook"


def card(lane: LaneView, stored: StoredPortal | None, pace: Pace | None, rate: Rate | None) -> PortalCard:
    """What is to be seen of one portal."""
    held = lane.held
    limits = limits_of(stored) if stored else Limits()
    execution = None
    if pace is not None and pace.execution_used_s is not None:
        execution = Level(used=pace.execution_used_s, limit=pace.execution_limit_s)
    return PortalCard(
        key=lane.portal,
        lane=lane,
        hold=meaning_of_hold(held.code, held.remedy) if held else None,
        stored=stored,
        pace=pace,
        bucket=Level(used=pace.level, limit=limits.burst) if pace else None,
        execution=execution,
        slower=pace is not None and pace.rate < limits.rate * (1 - _NOTHING),
        time_left=time_left(lane, limits, pace, rate),
        rate=rate,
    )


def limits_of(stored: StoredPortal) -> Limits:
    """What the limiter is told of a portal."""
    told = stored.limits
    return Limits(told.requests_per_second, told.burst, told.execution_seconds_per_10_min, told.execution_window_s)


def time_left(lane: LaneView, limits: Limits, pace: Pace | None, rate: Rate | None) -> TimeLeft:
    """How long until everything that waits has been sent, and how we know."""
    waiting = lane.counts[State.QUEUED] + lane.counts[State.SENDING]
    if not waiting:
        return TimeLeft(0.0, "Nothing waits to be sent.")
    if lane.held is not None:
        return TimeLeft(None, "The lane is held: nothing is sent until it is resumed.")
    if rate is not None and rate.ended >= FEWEST_ENDS:
        minutes = max(1, round(rate.over_s / 60))
        how = f"{waiting:,} waiting, at the {rate.per_s:,.1f} payments/s that ended in the last {minutes} min."
        return TimeLeft(waiting / rate.per_s, how)
    possible = possible_per_s(limits, pace) if pace else None
    if possible is None:
        return TimeLeft(None, "Nothing has ended in the last minutes, and the portal was not asked yet.")
    how = f"Hardly anything has ended in the last minutes; at most {possible:,.1f} payments/s go by its limits."
    return TimeLeft(waiting / possible, how)


def possible_per_s(limits: Limits, pace: Pace) -> float | None:
    """The most payments a second that a portal's limits admit: by its requests, and by its execution time."""
    if pace.command_s is None:
        return None
    by_requests = pace.rate * pace.commands
    if pace.execution_used_s is None or pace.command_s <= _NOTHING:
        return by_requests
    return min(by_requests, pace.execution_limit_s / limits.execution_window_s / pace.command_s)


def by_key(stored: Sequence[StoredPortal]) -> Mapping[str, StoredPortal]:
    """Stored portals by their keys."""
    return {each.key: each for each in stored}
