"""The farm's time: the machine's clock plus whatever a test has skipped."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from functools import lru_cache


class Clock:
    """One clock for all portals; it can be moved forward but never back."""

    def __init__(self, source: Callable[[], float] = time.time) -> None:
        self._source = source
        self.skipped_s = 0.0

    def now(self) -> float:
        """Seconds since the epoch in the farm's time."""
        return self._source() + self.skipped_s

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass at once: request buckets drain and operating minutes expire."""
        if seconds < 0:
            raise ValueError("the clock cannot go back")
        self.skipped_s += seconds


def iso(at: float, utc_offset_s: int) -> str:
    """PHP's `date('c')` in a zone that many seconds east of Greenwich."""
    return _iso(int(at), utc_offset_s)


# Every reply shows the current second several times.
@lru_cache(maxsize=1024)
def _iso(at: int, utc_offset_s: int) -> str:
    return datetime.fromtimestamp(at, timezone(timedelta(seconds=utc_offset_s))).isoformat(timespec="seconds")


def midnight(at: float, utc_offset_s: int) -> float:
    """The start of the local day that `at` falls in."""
    return at - (at + utc_offset_s) % 86400
