"""What a ledger counts for people: failed payments by their codes, and what happened in each minute.

Both are written by the steps that move payments, so a step that is repeated counts nothing twice
(docs/decisions/0087-what-people-can-see.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from ledger.payment import PortalKey

# So many codes of a portal are counted one by one, as they come; a portal may invent thousands.
MOST_CODES: Final = 50
# How long minutes are kept.
MINUTES_KEPT_S: Final = 48 * 3600.0


@dataclass(frozen=True, slots=True)
class Failures:
    """The payments of one portal that are failed now, with one code or with several."""

    portal: PortalKey
    code: str | None  # None: all codes that are not counted one by one (and while `counting`, simply all)
    count: int
    latest_at: datetime | None  # when the latest of them failed
    counting: bool = False  # an older version was at work: workers still count the codes, the sum is right


@dataclass(frozen=True, slots=True)
class Minute:
    """How many payments came into a state in one minute of the ledger's clock."""

    at: datetime  # its beginning
    accepted: int = 0  # as payments of their own
    paid: int = 0
    failed: int = 0
    in_doubt: int = 0


def in_order(rows: Sequence[Failures]) -> list[Failures]:
    """The codes of one portal: the most first, and last what is not told one by one."""
    return sorted(rows, key=lambda row: (row.code is None, -row.count, row.code or ""))


class Figures(Protocol):
    """The counts of one ledger."""

    async def failures(self, portals: Sequence[str] | None = None) -> list[Failures]:
        """Failed payments by portal and code, the most first within a portal, portals in order of their keys; of all
        lanes without `portals`. At most 51 rows of a portal, in steps of 250 lanes."""

    async def minutes(self, since: datetime) -> list[Minute]:
        """Minutes in which anything happened, oldest first, the running one last; at most those of 48 hours."""

    async def tally(self, looks: int = 500) -> bool:
        """Count what an older version has left uncounted, looking at about so many records; False when nothing is left
        to do. `sweep` finds the lanes."""
