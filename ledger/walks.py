"""Reading a lane page by page while its payments move: what is wanted, where a walk stands, and what a step found.

A walk shows every payment that stays in its state from the first page to the last. What comes or goes meanwhile may be
shown or not, and what leaves and comes back may be shown twice (docs/decisions/0080-walks-through-lanes.md).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ledger.payment import Payment

# Where a walk has come to stands in a cursor that travels with a client, so it stays small: the names that the next
# page is looked for behind, the latest first. Several, because any of them may have left the lane by then.
MOST_NAMES: Final = 4


@dataclass(frozen=True, slots=True)
class Sought:
    """Which payments of a state are wanted. A payment's moment is when it ended, or was accepted while it is open."""

    code: str | None = None  # of its error, or of its latest read error
    since: datetime | None = None  # its moment is not before this
    until: datetime | None = None  # its moment is before this
    troubled: bool = False  # only what has an error


@dataclass(frozen=True, slots=True)
class Place:
    """How far a walk has come. Only the ledger that made it can read it."""

    stage: str = ""  # a state is kept in one to three lists
    at: str = ""  # a decimal number
    names: tuple[str, ...] = ()


START: Final = Place()


@dataclass(frozen=True, slots=True)
class Walked:
    """Some payments, at most as many as were asked for; none does not mean that there are no more."""

    payments: tuple[Payment, ...]
    place: Place | None  # where to go on, None at the end
