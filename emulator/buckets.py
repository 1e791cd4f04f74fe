"""The two limits of a portal: requests per second (a leaky bucket) and operating time per method."""

from dataclasses import dataclass, field

WINDOW_S = 600.0
PARTS = 10  # the portal forgets by whole minutes of its ten
# A hit shorter than this leaves no trace in the operating counters.
FLOOR_S = 0.1

OperatingKey = tuple[str, str | None, str]  # auth type, credential (None: shared by all webhooks), method


@dataclass(slots=True)
class LeakyBucket:
    """Counts requests of one address on one portal; drains by itself."""

    level: float = 0.0
    at: float = 0.0

    def drain(self, now: float, rate: float) -> None:
        """Let go of what has passed until now."""
        self.level = max(0.0, self.level - max(0.0, now - self.at) * rate)
        self.at = now

    def take(self, now: float, *, burst: int, rate: float, count_rejected: bool = False) -> bool:
        """Add one request; False when the counter would exceed `burst`."""
        self.drain(now, rate)
        if self.level + 1 > burst:
            # Never more than one over, or a stubborn client would lock itself out for hours.
            self.level = min(self.level + 1, burst + 1.0) if count_rejected else self.level
            return False
        self.level += 1
        return True


@dataclass(slots=True)
class _Minute:
    number: int
    first_start: float
    total_s: float


@dataclass(slots=True)
class Hit:
    """Operating time of one request, per counter, before it is written down at the request's end."""

    sums: dict[OperatingKey, tuple[float, float]] = field(default_factory=dict)

    def add(self, key: OperatingKey, start: float, seconds: float) -> None:
        """Count one finished call."""
        first, total = self.sums.get(key, (start, 0.0))
        self.sums[key] = (first, total + seconds)

    def total(self, key: OperatingKey) -> float:
        """Seconds this request has spent on a counter so far."""
        return self.sums.get(key, (0.0, 0.0))[1]


class Operating:
    """Operating seconds of the last ten minutes per (credential, method), in ten buckets of a minute.

    A test that cannot wait for ten minutes makes them shorter: `window_s`.
    """

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self.window_s = window_s
        self._minute_s = window_s / PARTS
        self._minutes: dict[OperatingKey, list[_Minute]] = {}

    def spent(self, key: OperatingKey, now: float) -> float:
        """Seconds written down for a counter and not yet expired."""
        return sum(minute.total_s for minute in self._alive(key, now))

    def reset_at(self, key: OperatingKey, now: float, start: float) -> float:
        """When the oldest bucket's first call is ten minutes old; `start` stands in for an empty counter."""
        alive = self._alive(key, now)
        return (alive[0].first_start if alive else start) + self.window_s

    def write(self, hit: Hit, now: float) -> float:
        """Add a finished request's sums to the current minute; short ones are forgotten. Returns what was added."""
        written = {key: (start, total) for key, (start, total) in hit.sums.items() if total > FLOOR_S}
        for key, (start, total) in written.items():
            self._add(key, now, start, total)
        return sum(total for _, total in written.values())

    def _add(self, key: OperatingKey, now: float, start: float, seconds: float) -> None:
        alive = self._alive(key, now)
        number = int(now // self._minute_s)
        if alive and alive[-1].number == number:
            alive[-1].total_s += seconds
        else:
            alive.append(_Minute(number, start, seconds))
        self._minutes[key] = alive

    def _alive(self, key: OperatingKey, now: float) -> list[_Minute]:
        minutes = self._minutes.get(key)
        if not minutes:
            return []
        # By number, or the rounding of a short minute would keep an eleventh.
        oldest = int(now // self._minute_s) - PARTS + 1
        if minutes[0].number < oldest:
            minutes = [minute for minute in minutes if minute.number >= oldest]
            self._minutes[key] = minutes
        return minutes
