"""What a book counts for people (the twin of lua/{marks,failures,minutes}.lua)."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from ledger.figures import MINUTES_KEPT_S, MOST_CODES, Failures, Minute, in_order
from ledger.payment import Payment, PaymentId, PortalKey, State

if TYPE_CHECKING:
    from ledger.memory.book import Book

_KINDS: Mapping[State, str] = {State.PAID: "paid", State.FAILED: "failed", State.IN_DOUBT: "in_doubt"}
OTHERS = ""  # the list of all codes without one of their own


class Tallies:
    """What the steps of one book write."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self.ticks = Counter[tuple[datetime, str]]()
        self.coded: dict[str, dict[str, list[PaymentId]]] = {}  # portal -> code -> failed ones, oldest first

    def accepted(self) -> None:
        """A payment of its own was written down."""
        self._tick("accepted")

    def moved(self, to: State) -> None:
        """A payment came into a state."""
        if to in _KINDS:
            self._tick(_KINDS[to])

    def _tick(self, kind: str) -> None:
        self.ticks[self._now().replace(second=0, microsecond=0), kind] += 1

    def add_failure(self, row: Payment) -> None:
        """Into the list of its code."""
        lists, code = self.coded.setdefault(row.portal, {}), row.error.code if row.error else OTHERS
        full = OTHERS in lists or len(lists) >= MOST_CODES
        lists.setdefault(OTHERS if code not in lists and full else code, []).append(row.id)

    def drop_failure(self, row: Payment) -> None:
        """Out of whichever list it is in."""
        lists = self.coded.get(row.portal, {})
        for code in [code for code, ids in lists.items() if row.id in ids]:
            lists[code].remove(row.id)
            if not lists[code]:
                del lists[code]


class MemoryFigures:
    """The counts of one book; nothing is ever left uncounted."""

    def __init__(self, book: "Book") -> None:
        self._book = book

    async def failures(self, portals: Sequence[str] | None = None) -> list[Failures]:
        """Failed payments by portal and code, the most first within a portal."""
        self._book.forget_expired()
        names = [name for name in self._book.lanes if self._book.is_lane(name)] if portals is None else portals
        return [row for portal in sorted(set(names)) for row in self._of_lane(portal)]

    def _of_lane(self, portal: str) -> list[Failures]:
        lists = self._book.tallies.coded.get(portal, {}).items()
        latest = {code: self._book.rows[ids[-1]].finished_at for code, ids in lists}
        return in_order([Failures(PortalKey(portal), code or None, len(ids), latest[code]) for code, ids in lists])

    async def minutes(self, since: datetime) -> list[Minute]:
        """Minutes in which anything happened, oldest first."""
        first = max(since, self._book.now() - timedelta(seconds=MINUTES_KEPT_S)).replace(second=0, microsecond=0)
        ticks = self._book.tallies.ticks
        moments = sorted({at for at, _ in ticks if at >= first})
        return [Minute(at, **{kind: ticks[at, kind] for when, kind in ticks if when == at}) for at in moments]

    async def tally(self, looks: int = 500) -> bool:
        """Nothing is left to do."""
        return False
