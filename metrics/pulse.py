"""Whether this worker really works: its two loops turn, and Redis hears its signs of life.

A worker has Celery's loop, which consumes messages, and the payments' loop, which drives lanes. Each feeds its pulse
as it turns; whoever asks compares that with the clock, from a thread that neither of them can stop.
"""

import time
from collections.abc import Callable
from enum import StrEnum
from typing import Final

# A loop that has not turned for so long hangs. Both turn every second or two, and the slowest turn that is none is a
# step of the ledger that goes unanswered (three tries of 2.5 s), which is Redis' trouble and told as such.
STILL_S: Final = 9.0


class Beat(StrEnum):
    """What has to go on."""

    PAYMENTS = "payments"  # the payments' loop itself, whatever is done on it
    CONSUMER = "consumer"  # Celery's loop, with the broker connected
    DISPATCHER = "dispatcher"  # lanes are looked for
    REDIS = "redis"  # the ledger's server has taken a sign of life


# What stands first stops those behind it, so it is told first.
_STANDSTILLS: Final = {
    Beat.PAYMENTS: "the payments' loop has not turned",
    Beat.REDIS: "Redis has taken no sign of life",
    Beat.DISPATCHER: "the dispatcher has not turned",
    Beat.CONSUMER: "the consumer has not turned, or has no broker",
}


class Pulse:
    """When each part last showed life; any thread may feed and ask."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._latest: dict[Beat, float] = {}
        self.stopping = False

    def feed(self, beat: Beat) -> None:
        """This part has just turned."""
        self._latest[beat] = self._clock()

    def age_s(self, beat: Beat) -> float:
        """How long ago it turned last; since the start, where it has not yet."""
        return self._clock() - self._latest.get(beat, self._began)

    def hindrance(self, *, but: Beat | None = None) -> str | None:
        """Why this worker does not consume now; None where it does. `but`: one that is not asked about."""
        if self.stopping:
            return "it is stopping"
        for beat in _STANDSTILLS:
            if beat is but:
                continue
            if beat not in self._latest:
                return f"it is starting: {_STANDSTILLS[beat]} yet"
            if self.age_s(beat) > STILL_S:
                return f"{_STANDSTILLS[beat]} for {self.age_s(beat):.0f} s"
        return None
