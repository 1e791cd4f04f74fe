"""How full a request is made: requests are what a portal counts, and seconds what a producer waits for."""

from collections.abc import Sequence
from itertools import pairwise
from math import ceil
from typing import Final, TypeVar

from limiter.limiter import Limits, Permit

T = TypeVar("T")

# What waits may use up so much of a bucket's room, so that what comes next finds some too.
SHARE: Final = 0.5
# Splitting what is done sooner than this only costs requests.
QUICK_S: Final = 0.25
LEAST_COMMAND_S: Final = 0.001


def worthwhile(permit: Permit, waiting: int, limits: Limits) -> int:
    """How many payments to put into each request.

    Full ones where more waits than the bucket has room for. The more room, the smaller - down to a half - and the more
    of them side by side: 1,000 payments at a fresh portal end in two thirds of the time, and a portal whose bucket is
    empty gets full ones only.
    """
    room = permit.requests + permit.free
    spread = ceil(waiting / max(1.0, room * SHARE))
    half_full = ceil(permit.commands * (1 - SHARE * min(1.0, room / limits.burst)))
    quick = permit.commands if permit.command_s is None else QUICK_S / max(permit.command_s, LEAST_COMMAND_S)
    return max(1, min(permit.commands, max(spread, half_full, int(quick))))


def evenly(payments: Sequence[T], most: int) -> list[Sequence[T]]:
    """Parts of about the same length, none longer than `most`: the longest is what is waited for."""
    parts = ceil(len(payments) / most)
    ends = [len(payments) * number // parts for number in range(1, parts + 1)]
    return [payments[begin:end] for begin, end in pairwise([0, *ends])]
