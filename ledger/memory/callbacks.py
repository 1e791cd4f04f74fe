"""The steps of whoever tells others of a payment's end, on a book in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from ledger.callbacks import (
    DELIVERED_KEPT_S,
    REMARK_LIMIT,
    Callback,
    CallbackCounts,
    CallbackPage,
    CallbackState,
    Delivered,
    EventId,
    GivenUp,
    Outcome,
    TryAgain,
)
from ledger.memory.book import Book
from ledger.memory.wishes import FIRST_LOOK, LONGEST_LOOK, Entry
from ledger.payment import OPEN, State


class MemoryOutbox:
    """The callbacks of one book."""

    def __init__(self, book: Book) -> None:
        self._book = book

    async def take(
        self, limit: int, *, per_host: int, lease_s: float, rooms: Mapping[str, int]
    ) -> tuple[list[Callback], float | None]:
        """Lease due callbacks, and say in how many seconds the next is due (None: none is)."""
        now = self._book.now()
        taken: list[Callback] = []
        waiting = self._waiting()
        for _, host in sorted((entries[0][0], host) for host, entries in waiting.items()):
            free = min(limit - len(taken), rooms.get(host, per_host))
            due = [entry for at, _, entry in waiting[host] if at <= now]
            taken += [self._lease(entry, now + timedelta(seconds=lease_s)) for entry in due[: max(0, free)]]
        rest = [entries[0][0] for host, entries in self._waiting().items() if rooms.get(host, 1)]
        return taken, max(0.0, (min(rest) - now).total_seconds()) if rest else None

    def _waiting(self) -> dict[str, list[tuple[datetime, EventId, Entry]]]:
        """The pending ones of each host, those first that are due first."""
        hosts: dict[str, list[tuple[datetime, EventId, Entry]]] = {}
        pending = [each for each in self._entries() if each.told.state is CallbackState.PENDING]
        for at, event, entry in sorted(
            ((each.told.due_at or each.since, each.told.id, each) for each in pending), key=lambda row: row[:2]
        ):
            hosts.setdefault(entry.told.to.host, []).append((at, event, entry))
        return hosts

    def _lease(self, entry: Entry, until: datetime) -> Callback:
        entry.leased_until = until
        entry.told = replace(entry.told, attempt=entry.told.attempt + 1, tries=entry.told.tries + 1, due_at=until)
        return entry.told

    async def told(self, callback: Callback, outcome: Outcome) -> bool:
        """Write down what came of an attempt; False when it counts no more."""
        entry, now = self._entry(callback.id), self._book.now()
        if entry is None or entry.told.state is not CallbackState.PENDING or callback.attempt <= entry.before:
            return False
        if not isinstance(outcome, Delivered) and entry.told.attempt != callback.attempt:
            return False
        entry.leased_until = None
        entry.told = replace(entry.told, remark=outcome.remark[:REMARK_LIMIT], tried_at=now)
        match outcome:
            case Delivered():
                kept = min(timedelta(seconds=DELIVERED_KEPT_S), self._book.retention)
                self._put_away(entry, CallbackState.DELIVERED, now + kept)
            case TryAgain(_, wait_s):
                entry.told = replace(entry.told, due_at=now + timedelta(seconds=wait_s))
            case GivenUp():
                self._put_away(entry, CallbackState.FAILED, now + self._book.retention)
            case _ as never:
                assert_never(never)
        return True

    def _put_away(self, entry: Entry, state: CallbackState, expires_at: datetime) -> None:
        entry.since, entry.expires_at = self._book.now(), expires_at
        entry.told = replace(entry.told, state=state, due_at=None)

    async def find(self, ids: Sequence[str]) -> list[Callback | None]:
        """Read callbacks by their names."""
        found = [self._entry(EventId(event)) for event in ids]
        return [entry.told if entry else None for entry in found]

    async def page(
        self, state: CallbackState, *, host: str = "", since: datetime | None = None, offset: int = 0, limit: int = 100
    ) -> CallbackPage:
        """List callbacks in one state, newest first."""
        listed = [
            each for each in self._entries() if each.told.state is state and (since is None or each.since >= since)
        ]
        listed.sort(key=lambda each: (each.since, each.told.id), reverse=True)
        found: list[Callback] = []
        looked = 0
        for entry in listed[offset:]:
            if len(found) == limit:
                break
            looked += 1
            if host in ("", entry.told.to.host):
                found.append(entry.told)
        return CallbackPage(tuple(found), offset + looked if offset + looked < len(listed) else None)

    async def resend(self, ids: Sequence[str]) -> list[bool]:
        """Have callbacks sent now; False where unknown."""
        return [self._resend(self._entry(EventId(event))) for event in ids]

    def _resend(self, entry: Entry | None) -> bool:
        now = self._book.now()
        if entry is None:
            return False
        if entry.leased_until is None or entry.leased_until <= now:
            if entry.told.state is not CallbackState.PENDING:
                entry.since, entry.expires_at = now, None
            entry.before = entry.told.attempt
            entry.told = replace(entry.told, state=CallbackState.PENDING, tries=0, due_at=now)
        return True

    async def sweep(self, limit: int) -> tuple[int, int]:
        """Make callbacks due that an older version has left out: how many were looked at, and how many were found."""
        self._book.forget_expired()
        wishes, now, found = self._book.wishes, self._book.now(), 0
        due = sorted((at, payment_id) for payment_id, at in wishes.looks.items() if at <= now)[:limit]
        for _, payment_id in due:
            row = self._book.rows.get(payment_id)
            if row is None or payment_id not in wishes.told_at:
                del wishes.looks[payment_id]
                wishes.forget(payment_id)
            elif row.state in OPEN:
                wishes.looks[payment_id] = now + max(FIRST_LOOK, min((now - row.enqueued_at) / 2, LONGEST_LOOK))
            elif wishes.told_at[payment_id] != row.finished_at:
                wishes.announce(row)
                found += 1
            elif row.state is State.FAILED:
                wishes.looks[payment_id] = now + LONGEST_LOOK
            else:
                del wishes.looks[payment_id]
        return len(due), found

    async def counts(self) -> CallbackCounts:
        """How many there are."""
        entries = self._entries()
        pending, failed, delivered = [sum(each.told.state is state for each in entries) for state in CallbackState]
        since = [each.since for each in entries if each.told.state is CallbackState.PENDING]
        return CallbackCounts(pending, failed, delivered, min(since, default=None))

    def _entry(self, event: EventId) -> Entry | None:
        entry = self._book.wishes.entries.get(event)
        expired = entry is not None and entry.expires_at is not None and entry.expires_at <= self._book.now()
        return None if expired else entry

    def _entries(self) -> list[Entry]:
        """All that are remembered."""
        events = self._book.wishes.entries
        return [entry for event in list(events) if (entry := self._entry(event)) is not None]
