"""Lists of payments, page by page: through lanes in the order of their keys, in each through one state after another.

The work of a page is bounded: it ends when it is full, or after some milliseconds with a cursor.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from aiohttp import web

from ledger.ledger import LaneView
from ledger.payment import Payment, State
from ledger.redis import RedisLedger
from ledger.walks import START, Sought
from web.access import PRINCIPAL
from web.api import cursors
from web.api.cursors import Cursor

# A page takes no longer than this to be begun; a step under way is finished.
_WITHIN_S: Final = 0.03
_LANES_AT_ONCE: Final = 50


@dataclass(frozen=True, slots=True)
class Search:
    """What is wanted of a lane: one state, and which of its payments."""

    state: State
    sought: Sought


@dataclass(slots=True)
class Listing:
    """One page of a list."""

    request: web.Request
    ledger: RedisLedger
    searches: Sequence[Search]
    limit: int
    portal: str | None
    invoice: int | None = None
    rows: list[Payment] = field(default_factory=list)
    ends_at: float = 0.0

    @property
    def filters(self) -> str:
        """A name for what is listed: a cursor of another list would lead astray."""
        parts = [repr(each) for each in (*self.searches, self.portal, self.invoice)]
        return sha256("\0".join(parts).encode()).hexdigest()[:8]

    async def page(self, cursor: str | None) -> tuple[list[Payment], str | None]:
        """The next payments, and where to go on."""
        self.ends_at = time.monotonic() + _WITHIN_S
        at = cursors.read(cursor, self.filters) if cursor else None
        goes_on = await self._walk(at)
        return self.rows, cursors.written(goes_on, self.filters) if goes_on else None

    def _is_over(self) -> bool:
        return len(self.rows) >= self.limit or time.monotonic() >= self.ends_at

    async def _walk(self, at: Cursor | None) -> Cursor | None:
        if at is not None:
            if self._is_listed(at.portal) and (goes_on := await self._lane(at, None)):
                return goes_on
            if self._is_over():
                return await self._behind(at.portal)
        after = at.portal if at else ""
        while names := await self._names(after):
            lanes: dict[str, LaneView] = {lane.portal: lane for lane in await self.ledger.lanes(names)}
            for name in names:
                if goes_on := await self._lane(Cursor(name), lanes.get(name)):
                    return goes_on
                after = name
                if self._is_over():
                    return await self._behind(after)
        return None

    async def _behind(self, portal: str) -> Cursor | None:
        """Where the list goes on when a lane has been read to its end."""
        names = await self._names(portal)
        return Cursor(names[0]) if names else None

    def _is_listed(self, portal: str) -> bool:
        """Somebody may have written a cursor: it opens no lane that the list would not."""
        return self.request[PRINCIPAL].may_touch(portal) and self.portal in (None, portal)

    async def _names(self, after: str) -> Sequence[str]:
        """The next lanes behind a key that the one who asks may see."""
        allowed = self.request[PRINCIPAL].portals
        if self.portal is not None:
            return [self.portal] if self.portal > after and self._is_listed(self.portal) else []
        if allowed is not None:
            return sorted(name for name in allowed if name > after)[:_LANES_AT_ONCE]
        states = {search.state for search in self.searches}
        names: list[str] = []
        goes_on: str | None = after
        while not names and goes_on is not None:
            found, goes_on = await self.ledger.portals(goes_on, _LANES_AT_ONCE, states)
            names += found
        return names

    async def _lane(self, at: Cursor, lane: LaneView | None) -> Cursor | None:
        """Read on in one lane; where it goes on there, None at its end."""
        if self.invoice is not None:
            await self._latest(at.portal, self.invoice)
            return None
        place = at.place
        for number, search in list(enumerate(self.searches))[at.search :]:
            if lane is not None and not lane.counts[search.state]:
                continue
            while True:
                if self._is_over():
                    return Cursor(at.portal, number, place)
                wanted = self.limit - len(self.rows)
                step = await self.ledger.walk(at.portal, search.state, search.sought, place, wanted)
                self.rows += step.payments
                if step.place is None:
                    break
                place = step.place
            place = START
        return None

    async def _latest(self, portal: str, invoice: int) -> None:
        row = await self.ledger.find_invoice(portal, invoice)
        if row is not None and any(fits(row, search) for search in self.searches):
            self.rows.append(row)


def fits(row: Payment, search: Search) -> bool:
    """Whether a payment that was found in another way is one of those that a search wants."""
    sought, moment = search.sought, row.finished_at or row.enqueued_at
    if row.state is not search.state:
        return False
    if (sought.since and moment < sought.since) or (sought.until and moment >= sought.until):
        return False
    codes = {error.code for error in (row.error, row.last_read_error) if error is not None}
    return sought.code in codes if sought.code else bool(codes) or not sought.troubled


async def lanes_of(ledger: RedisLedger, rows: Sequence[Payment]) -> Mapping[str, LaneView]:
    """The lanes of some payments by portal."""
    return {lane.portal: lane for lane in await ledger.lanes(sorted({row.portal for row in rows}))}
