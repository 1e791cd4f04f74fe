"""What comes of an attempt: one table from the receiver's answer to what is written down.

2xx                      delivered
410                      given up: the receiver wants no more of it
anything else, nothing   tried again after a growing wait, or as late as Retry-After says; given up after 3 days
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from ledger.callbacks import Delivered, GivenUp, Outcome, TryAgain

# Seconds before the second attempt, the third, ...: 71.6 hours in all, before jitter.
WAITS_S: Final = (5, 60, 300, 1800, 7200, 18_000, 36_000, 50_400, 64_800, 79_200)
# Waits grow by up to a tenth, so that what failed together does not come back together.
JITTER: Final = 0.1
_LONGEST_RETRY_AFTER_S: Final = 86_400.0
_OK, _REDIRECTS, _ERRORS, _GONE = 200, 300, 400, 410


@dataclass(frozen=True, slots=True)
class Answer:
    """A receiver's answer, without its body."""

    status: int
    retry_after: str | None = None


@dataclass(frozen=True, slots=True)
class Silence:
    """There was no answer, or nothing could be sent."""

    reason: str


@dataclass(frozen=True, slots=True)
class Patience:
    """How long is waited between attempts; `luck` gives a number from 0 to 1."""

    luck: Callable[[], float]
    waits_s: Sequence[float] = WAITS_S

    def wait_s(self, tries: int) -> float | None:
        """The wait after so many tries; None when it was the last one."""
        if tries > len(self.waits_s):
            return None
        return self.waits_s[max(1, tries) - 1] * (1 + JITTER * self.luck())


def judge(came: Answer | Silence, tries: int, now: datetime, patience: Patience) -> Outcome:
    """What is written down after so many tries."""
    match came:
        case Silence(reason):
            return _again(reason, tries, 0.0, patience)
        case Answer(status) if _OK <= status < _REDIRECTS:
            return Delivered(str(status))
        case Answer(status) if status == _GONE:
            return GivenUp("410: the receiver wants no more of it")
        case Answer(status, retry_after):
            remark = f"{status}: redirects are not followed" if _REDIRECTS <= status < _ERRORS else str(status)
            return _again(remark, tries, asked_wait_s(retry_after, now), patience)


def _again(remark: str, tries: int, asked_s: float, patience: Patience) -> Outcome:
    wait_s = patience.wait_s(tries)
    return GivenUp(f"{remark}; {tries} attempts") if wait_s is None else TryAgain(remark, max(wait_s, asked_s))


def asked_wait_s(retry_after: str | None, now: datetime) -> float:
    """The seconds that a Retry-After asks for, as a number or a date; 0 where it says nothing, a day at most."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:10]), _LONGEST_RETRY_AFTER_S)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return 0.0
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return min(max(0.0, (aware - now).total_seconds()), _LONGEST_RETRY_AFTER_S)
