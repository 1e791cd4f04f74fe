"""The request bucket of a portal, and what is believed of its limits once the portal has refused a request.

At every refusal the portal's own bucket is full. What was let through between two of them, over the time between, is
therefore the rate that was really left for us, whoever else used the portal. Both limiters count it like this:

    refusal -> start SWING below that bound -> rise evenly, reach it half way, end SWING above it after CALM requests
            -> if nobody refuses then, the bound must have moved: from there on it doubles every half of that time

One refusal in CALM requests is less than the one in a hundred that is allowed. The configured limits are never
exceeded.
"""

import math
from dataclasses import dataclass
from typing import Final

from limiter import pace
from limiter.limiter import Limits

# How far below and above the bound the rate swings. Below it the portal's bucket drains SWING * CALM / 4 = 7.5
# requests, which the rest of the swing uses up again: a bucket larger than that loses nothing.
SWING: Final = 0.2
CALM: Final = 150.0  # requests
# However few requests are left for us: after this long it is tried whether there are more.
CALM_MOST_S: Final = 300.0
# The first refusal says that there is less, not how much.
GUESS: Final = 0.5
# A bound that held for so many rises before the portal refused has changed, and what was let through tells nothing.
MEMORY: Final = 4.0
# So many requests at the old bound are mixed into a measurement, or a handful of requests would count as a rate.
PRIOR: Final = 10.0
# Right after a refusal the portal may be full of what had to wait meanwhile: no step down is larger than this.
STEADY: Final = 0.95
# Whoever shares the portal was refused too, and sends that first: so many requests of room are left to them, and twice
# as many each time the portal refuses in a row, up to this part of the burst.
BEHIND: Final = 5.0
BEHIND_SHARE: Final = 0.4
# The burst comes back in so long.
BURST_RISE_S: Final = 1800.0
MOST_DOUBLINGS: Final = 30.0


@dataclass(slots=True)
class Bucket:
    """What is known about one portal's request bucket; instants are seconds of the limiter's clock."""

    level: float = 0.0
    level_at: float = float("-inf")
    busy_at: float = 0.0  # since when the bucket has not been idle
    refusals: int = 0  # in a row
    cut_at: float | None = None  # the last refusal that was not part of another
    bound: float = 0.0  # requests per second left for us, as believed then
    cut_burst: float = 0.0
    granted: int = 0  # since then

    def rate(self, limits: Limits, now: float) -> float:
        """Requests per second that the portal is believed to admit from us."""
        if self.cut_at is None:
            return limits.rate
        parts = (now - self.cut_at) / self._rise_s()
        if parts <= 1:
            return min(limits.rate, self.bound * (1 - SWING + 2 * SWING * max(0.0, parts)))
        return min(limits.rate, self.bound * (1 + SWING) * math.pow(2.0, min(MOST_DOUBLINGS, 2 * (parts - 1))))

    def burst(self, limits: Limits, now: float) -> float:
        """Requests that the portal is believed to admit at once."""
        if self.cut_at is None:
            return float(limits.burst)
        risen = limits.burst * max(0.0, now - self.cut_at) / BURST_RISE_S
        return min(float(limits.burst), self.cut_burst + risen)

    def drained(self, limits: Limits, now: float) -> tuple[float, float]:
        """The level now, and since when the bucket has been busy: idle long enough, it starts afresh."""
        # A clock that was set back must not stop the draining until it has caught up.
        self.level_at = min(self.level_at, now)
        rate, empty = self.rate(limits, now), limits.burst - self.burst(limits, now)
        passed_s = now - self.level_at
        level = max(empty, self.level - rate * passed_s)
        idle_s = passed_s - (self.level - empty) / rate
        return level, now if idle_s >= pace.RESERVE_S else min(self.busy_at, now)

    def room(self, level: float, busy_s: float, limits: Limits, now: float) -> int:
        """How many requests may be made at once."""
        reserve = min(pace.reserve(limits), self.rate(limits, now) * busy_s)
        return max(0, math.floor(limits.burst + pace.ROUNDING - level - reserve))

    def wait_s(self, level: float, limits: Limits, now: float) -> float:
        """How long until there is room for one request, when there is none."""
        # The reserve will have grown to its whole by then.
        need = level + pace.reserve(limits) + 1 - limits.burst
        return max(pace.ROUNDING, need / self.rate(limits, now))

    def grant(self, requests: int, level: float, busy_at: float, now: float) -> None:
        """Count so many requests."""
        self.level, self.level_at, self.busy_at = level + requests, now, busy_at
        self.granted += requests

    def give_back(self, requests: int) -> None:
        """Take back so many that were not made."""
        self.level = max(0.0, self.level - requests)
        self.granted = max(0, self.granted - requests)

    def refuse(self, limits: Limits, now: float, *, anew: bool) -> None:
        """The portal's bucket is full. `anew`: not one more of those that were refused together."""
        level, _ = self.drained(limits, now)
        burst = self.burst(limits, now) - 1
        if anew:
            burst -= max(0.0, limits.burst - 1 - pace.reserve(limits) - level)
            self.bound = self._measured(limits, now)
            self.cut_at, self.granted = now, 0
            self.refusals += 1
        if self.cut_at is not None:
            # What it has risen since the cut rises again.
            burst -= limits.burst * max(0.0, now - self.cut_at) / BURST_RISE_S
            self.cut_burst = max(min(float(limits.burst), 1 + pace.reserve(limits)), burst)
        in_a_row = max(0, self.refusals - 1)
        behind = min(BEHIND * 2.0 ** min(MOST_DOUBLINGS, in_a_row), BEHIND_SHARE * limits.burst)
        self.level, self.level_at = limits.burst + behind, now
        self.busy_at = min(self.busy_at, now - pace.RESERVE_S)

    def answered(self, sent_at: float) -> None:
        """An answer to what was sent after the last refusal ends the row."""
        if self.cut_at is None or sent_at >= self.cut_at:
            self.refusals = 0

    def _rise_s(self) -> float:
        return min(CALM_MOST_S, CALM / self.bound)

    def _measured(self, limits: Limits, now: float) -> float:
        rate = self.rate(limits, now)
        if self.cut_at is None or now - self.cut_at > MEMORY * self._rise_s():
            return rate * GUESS
        passed = max(0, self.granted - 1)  # the one that was refused did not pass
        measured = (passed + PRIOR) / (max(0.0, now - self.cut_at) + PRIOR / self.bound)
        return max(rate * GUESS, STEADY * self.bound, min(rate, measured))
