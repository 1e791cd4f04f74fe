"""A permit that payments can spare: a comparison is never in a hurry, and they always are."""

from typing import Final

from bitrix24.portal import Portal
from ledger.ledger import LaneView
from ledger.payment import OPEN, State
from limiter.limiter import Limiter, Limits, Pace

# Of what the portal admits at once, this part stays for payments that may come any moment. What is read beyond the
# rest goes at the rate at which the bucket drains.
SPARED: Final = 0.75
# While payments wait, another request must be free for them in the moment that one is taken.
BESIDE_PAYMENTS: Final = 2.0
LEAST_WAIT_S: Final = 0.05
LONGEST_WAIT_S: Final = 5.0  # then the bucket is looked at again
AFTER_OUTAGE_S: Final = 1.0


def limits_of(portal: Portal) -> Limits:
    """What the portal admits, in the limiter's terms."""
    limits = portal.limits
    return Limits(
        limits.requests_per_second, limits.burst, limits.execution_seconds_per_10_min, limits.execution_window_s
    )


async def spare_permit(limiter: Limiter, portal: Portal, lane: LaneView | None) -> float:
    """Take a permit for one request that pays nothing: 0.0, or in how many seconds to ask again."""
    limits, waiting = limits_of(portal), payments_wait(lane)
    wait_s = wait_for_room(await limiter.pace(portal.key, limits), limits, waiting=waiting)
    if wait_s:
        return wait_s
    permit = await limiter.acquire(portal.key, limits, commands=0)
    if not permit.granted:
        return min(max(permit.wait_s, LEAST_WAIT_S), LONGEST_WAIT_S)
    if permit.alone and lane is not None and lane.counts[State.SENDING]:
        # Nobody knows whether the portal answers: a payment is finding out, and nothing flies beside it.
        await limiter.give_back(portal.key, limits)
        return AFTER_OUTAGE_S
    return 0.0


def payments_wait(lane: LaneView | None) -> bool:
    """Whether the lane has, or may have any moment, something to send or to read back."""
    return lane is not None and lane.held is None and any(lane.counts[state] for state in OPEN)


def wait_for_room(pace: Pace, limits: Limits, *, waiting: bool) -> float:
    """How long until the bucket holds so little that a request can be spared; 0.0 for now."""
    if pace.pause_s > 0:
        return min(max(pace.pause_s, LEAST_WAIT_S), LONGEST_WAIT_S)
    kept = max(pace.burst * SPARED, BESIDE_PAYMENTS if waiting else 1.0)
    too_full = pace.level + kept - limits.burst
    if pace.burst < kept:
        return LONGEST_WAIT_S  # a bucket this small has nothing to spare while payments wait
    return 0.0 if too_full <= 0 else min(max(too_full / pace.rate, LEAST_WAIT_S), LONGEST_WAIT_S)
