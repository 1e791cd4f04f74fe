"""The numbers behind the pace of a portal, shared by both limiters so that they cannot drift apart."""

from dataclasses import dataclass
from typing import Final

from limiter.limiter import Limits

# What the portal may have drained within this time is not counted on. Two reasons: the documentation says "minus Y
# each second", so a portal may drain in whole-second steps; and a request that leaves earlier may arrive later, which
# squeezes two of ours together. Costs one second once per burst, never throughput.
RESERVE_S: Final = 1.0
# Of a very small bucket the reserve may take this part at most, or nothing would be left to burst with.
RESERVE_SHARE: Final = 0.1

# A spread keeps processes that were refused together from coming back together; it only shortens, so caps hold.
SPREAD: Final = 0.25
# After 2**30 every step is at its cap; a larger power would only overflow.
MOST_DOUBLINGS: Final = 30

# No request is in flight for longer: whoever asked may have died.
FLIGHT_S: Final = 90.0

# The portal says nothing about how long to wait after a 429; its own steps are minutes (`protocol.md` §5).
EXECUTION_STEP_S: Final = 60.0

# The state of a portal nobody asks any more goes away by itself. By then its bucket is empty and every row of
# refusals is forgotten; only the believed time of a command is learnt anew.
KEEP_S: Final = 86_400.0

# Below any request; absorbs the rounding of a bucket that is full to the brim.
ROUNDING: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Growth:
    """A pause that doubles with every step in a row: `first_s`, twice that, ... up to `most_s`."""

    first_s: float
    most_s: float

    def pause_s(self, steps_before: int, chance: float) -> float:
        """The pause after so many steps in a row; `chance` in [0, 1) spreads it."""
        step_s = min(self.most_s, self.first_s * 2.0 ** min(steps_before, MOST_DOUBLINGS))
        return step_s * spread(chance)


# The bucket itself already spaces requests out; this pause is for a bucket that somebody else fills too.
REFUSED: Final = Growth(first_s=0.5, most_s=30.0)
# A portal that is down: soon enough after a hiccup, seldom enough for an outage of hours.
BACKOFF: Final = Growth(first_s=1.0, most_s=60.0)


def spread(chance: float) -> float:
    """The factor, in (1 - SPREAD, 1], that a chance in [0, 1) makes of a pause."""
    return 1.0 - SPREAD * chance


def reserve(limits: Limits) -> float:
    """How many requests of drained room are not counted on while the bucket has been in use (see RESERVE_S)."""
    return min(limits.rate * RESERVE_S, (limits.burst - 1) * RESERVE_SHARE)
