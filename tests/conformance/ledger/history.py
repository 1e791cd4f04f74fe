"""What a ledger must keep through any history: one look at it after each step, and the checks on what is seen."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from ledger.ledger import Claimed, LaneView, Ledger, Settled, Undelivered
from ledger.payment import ARROWS, OPEN, Payment, PaymentId, State
from ledger.verdict import Decision, Unpaid
from tests.conformance.ledger.world import MAX_ATTEMPTS, QUIET_S

# What the guard of an epoch covers: requests until four days after the change.
GUARDED = timedelta(hours=96)


@dataclass(frozen=True, slots=True)
class Sight:
    """A ledger as it is seen between two steps."""

    found: list[Payment | None]
    lanes: list[LaneView]
    owed: list[Undelivered]

    @property
    def payments(self) -> dict[PaymentId, Payment]:
        """Each payment once, without what only one of its handles is told."""
        return {row.id: replace(row, duplicate=False) for row in self.found if row is not None}


async def look(ledger: Ledger, handles: Sequence[str]) -> Sight:
    """See everything that these handles lead to, all lanes, and what is owed."""
    return Sight(await ledger.find(handles), await ledger.lanes(), await ledger.undelivered(100, 0))


@dataclass(slots=True)
class History:
    """What has happened so far, as far as the checks must remember it."""

    before: dict[PaymentId, Payment] = field(default_factory=dict)
    taken: bool = False  # whether the ledger has seen its server: before that there is nothing to guard
    changed_at: datetime | None = None  # when the server was last replaced
    read_as_unpaid: dict[PaymentId, datetime] = field(default_factory=dict)  # when the portal was asked last
    overlooked: set[str] = field(default_factory=set)  # lanes that the due-set was made to forget

    def server_changed(self, now: datetime) -> None:
        """Another server from now on."""
        if self.taken:
            self.changed_at = now

    def emptied(self) -> None:
        """Nothing is known any more; who remembers what is told by the suite, not here."""
        self.before, self.taken, self.changed_at = {}, False, None
        self.overlooked.clear()

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

    def seen(self, sight: Sight) -> None:
        """Check everything that must hold between two steps."""
        rows = sight.payments
        self._moved_along_the_arrows(rows)
        self._no_invoice_is_open_twice(rows)
        self._counts_are_exact_and_no_work_is_forgotten(rows, sight.lanes)
        self._what_is_owed_is_final(sight.owed)
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

    def _what_is_owed_is_final(self, owed: Sequence[Undelivered]) -> None:
        for entry in owed:
            assert entry.payment.state not in OPEN
            assert isinstance(entry.payment.finished_at, datetime)
