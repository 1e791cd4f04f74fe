"""What a ledger must keep through any history: one look at it after each step, and the checks on what is seen."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from ledger.figures import MINUTES_KEPT_S, Failures, Minute
from ledger.ledger import Claimed, LaneView, Ledger, Settled, Undelivered
from ledger.payment import ARROWS, OPEN, Payment, PaymentId, State
from ledger.verdict import Decision, Unpaid
from tests.conformance.ledger.world import MAX_ATTEMPTS, QUIET_S

# What the guard of an epoch covers: requests until four days after the change.
GUARDED = timedelta(hours=96)
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Sight:
    """A ledger as it is seen between two steps."""

    found: list[Payment | None]
    lanes: list[LaneView]
    owed: list[Undelivered]
    failures: list[Failures]
    minutes: list[Minute]

    @property
    def payments(self) -> dict[PaymentId, Payment]:
        """Each payment once, without what only one of its handles is told."""
        return {row.id: replace(row, duplicate=False) for row in self.found if row is not None}


async def look(ledger: Ledger, handles: Sequence[str]) -> Sight:
    """See everything that these handles lead to, all lanes, and what is owed."""
    figures = ledger.figures
    counted = await figures.failures(), await figures.minutes(LONG_AGO)
    return Sight(await ledger.find(handles), await ledger.lanes(), await ledger.undelivered(100, 0), *counted)


@dataclass(slots=True)
class Chronicle:
    """What has happened in each minute, as the rows show it."""

    counts: Counter[tuple[datetime, str]] = field(default_factory=Counter)
    doubts: Counter[tuple[PaymentId, datetime, str]] = field(default_factory=Counter)  # entries of each history

    def happened(self, at: datetime | None, kind: str) -> None:
        """Once more in its minute."""
        assert at is not None
        self.counts[at.replace(second=0, microsecond=0), kind] += 1

    def seen(self, row: Payment, before: Payment | None) -> None:
        """Whatever is new about a payment."""
        if before is None:
            self.happened(row.enqueued_at, "accepted")
        ended = row.finished_at is not None and (before is None or before.finished_at != row.finished_at)
        if ended and row.state in (State.PAID, State.FAILED):
            self.happened(row.finished_at, row.state.value)
        for text, times in Counter(each for each in row.history.split() if each.startswith("d")).items():
            at = row.enqueued_at + timedelta(milliseconds=int(text[1:].partition(":")[0], 36))
            name = (row.id, row.enqueued_at, text)
            for _ in range(times - self.doubts[name]):
                self.happened(at, "in_doubt")
            self.doubts[name] = max(times, self.doubts[name])

    def since(self, first: datetime) -> list[Minute]:
        """As the ledger tells it."""
        moments = sorted({at for at, _ in self.counts if at >= first})
        return [Minute(at, **{kind: n for (when, kind), n in self.counts.items() if when == at}) for at in moments]


@dataclass(slots=True)
class History:
    """What has happened so far, as far as the checks must remember it."""

    before: dict[PaymentId, Payment] = field(default_factory=dict)
    taken: bool = False  # whether the ledger has seen its server: before that there is nothing to guard
    changed_at: datetime | None = None  # when the server was last replaced
    read_as_unpaid: dict[PaymentId, datetime] = field(default_factory=dict)  # when the portal was asked last
    overlooked: set[str] = field(default_factory=set)  # lanes that the due-set was made to forget
    chronicle: Chronicle = field(default_factory=Chronicle)

    def server_changed(self, now: datetime) -> None:
        """Another server from now on."""
        if self.taken:
            self.changed_at = now

    def emptied(self) -> None:
        """Nothing is known any more; who remembers what is told by the suite, not here."""
        self.before, self.taken, self.changed_at = {}, False, None
        self.overlooked.clear()
        self.chronicle = Chronicle()

    def settled(self, made: Sequence[Decision], entries: Sequence[Settled]) -> None:
        """Remember which payments the portal called unpaid."""
        written = {entry.payment.id for entry in entries}
        for decision in made:
            row = decision.payment
            if isinstance(decision.verdict, Unpaid) and row.id in written and row.read_at is not None:
                self.read_as_unpaid[row.id] = max(row.read_at, self.read_as_unpaid.get(row.id, row.read_at))

    def claimed(self, claim: Claimed, *, suspect: bool) -> None:
        """A suspect is claimed alone, and nothing that a lost history may have sent is claimed unread."""
        self.taken = True
        if suspect:
            assert len(claim.payments) <= 1
        assert len(claim.payments) < 2 or all(row.attempts <= 2 for row in claim.payments), claim
        for row in claim.payments:
            assert (row.deaths >= 2) is suspect, row
            assert row.state is not State.SENDING or row.attempts <= MAX_ATTEMPTS
            if self.changed_at is not None and row.enqueued_at < self.changed_at + GUARDED:
                asked_at = self.read_as_unpaid.get(row.id)
                assert asked_at is not None, row
                assert asked_at >= self.changed_at + timedelta(seconds=QUIET_S), (row, asked_at)

    def seen(self, sight: Sight, now: datetime) -> None:
        """Check everything that must hold between two steps."""
        rows = sight.payments
        self._moved_along_the_arrows(rows)
        self._no_invoice_is_open_twice(rows)
        self._counts_are_exact_and_no_work_is_forgotten(rows, sight.lanes)
        self._what_is_owed_is_final(sight.owed)
        self._failures_are_what_a_walk_finds(rows, sight)
        self._minutes_tell_what_happened(rows, sight.minutes, now)
        self.before = rows

    def _moved_along_the_arrows(self, rows: dict[PaymentId, Payment]) -> None:
        for row in rows.values():
            before = self.before.get(row.id)
            if before is None or before.enqueued_at != row.enqueued_at:  # its handle was forgotten and used again
                assert row.state is State.QUEUED
                self.read_as_unpaid.pop(row.id, None)
            else:
                assert row.state in ARROWS[before.state] | {before.state}, (before, row)
                assert row.attempts <= MAX_ATTEMPTS

    def _no_invoice_is_open_twice(self, rows: dict[PaymentId, Payment]) -> None:
        opened = [(row.portal, row.invoice_id) for row in rows.values() if row.state in OPEN]
        assert len(opened) == len(set(opened))

    def _counts_are_exact_and_no_work_is_forgotten(
        self, rows: dict[PaymentId, Payment], lanes: Sequence[LaneView]
    ) -> None:
        for lane in lanes:
            states = [row.state for row in rows.values() if row.portal == lane.portal]
            assert lane.counts == {state: states.count(state) for state in State}
            if lane.due_at is not None:
                self.overlooked.discard(lane.portal)
            elif OPEN & set(states) and lane.held is None:
                assert lane.portal in self.overlooked

    def _failures_are_what_a_walk_finds(self, rows: dict[PaymentId, Payment], sight: Sight) -> None:
        lanes = {lane.portal for lane in sight.lanes}
        failed = [row for row in rows.values() if row.state is State.FAILED and row.portal in lanes]
        counts = Counter((row.portal, row.error.code) for row in failed if row.error)
        assert {(row.portal, row.code): row.count for row in sight.failures} == counts
        assert not any(row.counting for row in sight.failures)

    def _minutes_tell_what_happened(
        self, rows: dict[PaymentId, Payment], minutes: Sequence[Minute], now: datetime
    ) -> None:
        for row in rows.values():
            before = self.before.get(row.id)
            known = before is not None and before.enqueued_at == row.enqueued_at
            self.chronicle.seen(row, before if known else None)
        first = (now - timedelta(seconds=MINUTES_KEPT_S)).replace(second=0, microsecond=0)
        assert minutes == self.chronicle.since(first)

    def _what_is_owed_is_final(self, owed: Sequence[Undelivered]) -> None:
        for entry in owed:
            assert entry.payment.state not in OPEN
            assert isinstance(entry.payment.finished_at, datetime)
