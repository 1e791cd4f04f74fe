"""One change of all payments that match: what it would do, and then in bounded steps.

A run is made of requests of half a second: each takes up where the one before ended, and its page sends the next one.
So nothing runs on that nobody watches, a process that ends stops no more than one step, and whoever begins again goes
on with what is left. What matches is fixed when the preview is shown: what comes later is not touched.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from aiohttp import web

from ledger.payment import Payment, State
from ledger.redis import RedisLedger
from ledger.walks import Sought
from web import actions
from web.access import PRINCIPAL
from web.api.door import may_touch
from web.api.doubts import is_open_question
from web.api.listing import Listing, Search
from web.api.payments import make, not_now, was_made

# A row of the audit names so many payments, as the command line's do.
PORTION: Final = 100
STEP_S: Final = 0.5
# Rows of a preview that are looked at one by one, and for how long it may count.
SAMPLE: Final = 10
_COUNT_S: Final = 0.06
_COUNTED_AT_ONCE: Final = 500
_AT_ONCE: Final = 16  # connections that a step may use; others work too


class Verb(StrEnum):
    """What can be done to all that match."""

    RETRY = "retry"
    CANCEL = "cancel"
    VERIFY = "verify"


ACTIONS: Final = {Verb.RETRY: actions.RETRY, Verb.CANCEL: actions.CANCEL, Verb.VERIFY: actions.VERIFY}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Which payments, and what is to become of them."""

    verb: Verb
    portal: str | None
    code: str | None
    since: datetime | None
    until: datetime
    bounded: bool = False  # a moment was asked for; without one everything until now is meant

    @property
    def searches(self) -> Sequence[Search]:
        """What the ledger is asked for."""
        sought = Sought(code=self.code, since=self.since, until=self.until)
        if self.verb is Verb.RETRY:
            return [Search(State.FAILED, sought)]
        if self.verb is Verb.CANCEL:
            return [Search(State.QUEUED, sought)]
        unread = Sought(code=self.code, since=self.since, until=self.until, troubled=True)
        return [Search(State.IN_DOUBT, sought), Search(State.QUEUED, unread)]

    @property
    def words(self) -> str:
        """In words, for people and the audit."""
        which = {Verb.RETRY: "failed", Verb.CANCEL: "queued", Verb.VERIFY: "in doubt"}[self.verb]
        parts = [f"all {which}", f"of {self.portal}" if self.portal else "of all portals"]
        parts += [f"with code {self.code}"] if self.code else []
        parts += [f"since {self.since:%Y-%m-%d %H:%M:%S} UTC"] if self.since else []
        return " ".join([*parts, f"until {self.until:%Y-%m-%d %H:%M:%S} UTC"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a run would meet. `count` is a lower bound unless `exact`."""

    count: int
    exact: bool
    sample: Sequence[Payment]
    sent_before: int  # of the sample: read back before they are sent

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to do."""
        return self.exact and self.count == 0


@dataclass(slots=True)
class Tally:
    """How far a run has come."""

    changed: int = 0
    left: Counter[str] = field(default_factory=Counter)  # why payments stayed as they were
    cursor: str | None = None

    @property
    def looked(self) -> int:
        """Payments that were met."""
        return self.changed + sum(self.left.values())


@dataclass(frozen=True, slots=True)
class Run:
    """A kind of payments, and whoever wants to change all of them."""

    request: web.Request
    ledger: RedisLedger
    kind: Kind

    async def preview(self) -> Preview:
        """Look at what matches, without changing anything; it counts no longer than a page may take."""
        known = None if self.kind.bounded else await self._of_counts()
        rows, cursor = await self._page(SAMPLE, None)
        count, ends_at = len(rows), time.monotonic() + _COUNT_S
        while known is None and cursor is not None and time.monotonic() < ends_at:
            more, cursor = await self._page(_COUNTED_AT_ONCE, cursor)
            count += len(more)
        sent = sum(row.sent_at is not None for row in rows)
        exact = cursor is None or known is not None
        return Preview(count=max(count, known or 0), exact=exact, sample=rows, sent_before=sent)

    async def step(self, tally: Tally, why: str) -> None:
        """Go on for half a second; `tally.cursor` is None at the end. Each hundred is written down before and after."""
        ends_at = time.monotonic() + STEP_S
        while True:
            rows, tally.cursor = await self._page(PORTION, tally.cursor)
            if rows:
                await self._portion(rows, tally, why)
            if tally.cursor is None or time.monotonic() >= ends_at:
                return

    async def _page(self, limit: int, cursor: str | None) -> tuple[list[Payment], str | None]:
        return await Listing(self.request, self.ledger, self.kind.searches, limit, self.kind.portal).page(cursor)

    async def _of_counts(self) -> int | None:
        """What the ledger counts anyway, where the kind is one that it counts."""
        kind, allowed = self.kind, self.request[PRINCIPAL].portals
        portals = [kind.portal] if kind.portal else sorted(allowed) if allowed is not None else None
        if kind.portal and not may_touch(self.request, kind.portal):
            return 0
        if kind.verb is Verb.RETRY:
            rows = await self.ledger.figures.failures(portals)
            named = all(row.code is not None for row in rows)
            if kind.code is None or named:
                return sum(row.count for row in rows if kind.code in (None, row.code))
        if kind.verb is Verb.CANCEL and kind.code is None and portals is not None:
            return sum(lane.counts[State.QUEUED] for lane in await self.ledger.lanes(portals))
        return None

    async def _portion(self, rows: Sequence[Payment], tally: Tally, why: str) -> None:
        verb = self.kind.verb
        async with actions.portion(self.request, ACTIONS[verb], [row.id for row in rows], why) as made:
            read = verb is Verb.VERIFY
            after = await (_read_again(self.ledger, rows) if read else _changed(self.ledger, verb, rows))
            for before, now in zip(rows, after, strict=True):
                reason = _reason(verb, before, now)
                made.note(before.id, before.state, now.state if now else "unknown", changed=reason is None)
                tally.changed += reason is None
                if reason is not None:
                    tally.left[reason] += 1


async def _changed(ledger: RedisLedger, verb: Verb, rows: Sequence[Payment]) -> Sequence[Payment | None]:
    after: list[Payment | None] = []
    for first in range(0, len(rows), _AT_ONCE):
        part = rows[first : first + _AT_ONCE]
        after += await asyncio.gather(*(make(ledger, ACTIONS[verb], row) for row in part))
    return after


async def _read_again(ledger: RedisLedger, rows: Sequence[Payment]) -> Sequence[Payment | None]:
    return await ledger.read_again([row.id for row in rows])


def _reason(verb: Verb, before: Payment, after: Payment | None) -> str | None:
    """Why a payment stayed as it was; None where the change was made."""
    if after is None:
        return "It is not known any more."
    if verb is Verb.VERIFY:
        return None if is_open_question(after) else "It was decided meanwhile."
    action = ACTIONS[verb]
    return None if was_made(action, before, after) else not_now(action, after, before).cause
