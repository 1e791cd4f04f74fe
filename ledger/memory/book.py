"""What the memory ledger holds, and the few moves that several of its steps share (the twin of lua/prelude.lua)."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from ledger.history import code_in, entry, knows_sending, noted, sending
from ledger.ledger import NOTHING, Backlog, Held, Lease, LeaseLost
from ledger.memory.figures import Tallies
from ledger.memory.guard import Epoch, Guard
from ledger.memory.wishes import Wishes
from ledger.payment import ARROWS, OPEN, Handle, NewPayment, Payment, PaymentId, State

# An "unpaid" does not count yet while the quiet time lasts, but a "paid" does: so a doubt is read once soon.
FIRST_READ = timedelta(seconds=2)
# A lane's pause may be about what sending costs, which reading does not: reads ask for themselves this soon.
READS_WAIT = timedelta(seconds=5)
# A payment whose driver died so often is claimed alone: the next death is its own doing and nobody else's.
SUSPECT_DEATHS = 2
BEGIN = datetime(1970, 1, 1, tzinfo=UTC)
OVER = frozenset({State.FAILED, State.CANCELLED})


@dataclass(slots=True)
class Lane:
    """One lane's order of things; the payments themselves stand in the book's rows."""

    portal: str
    known: bool = True
    owner: str | None = None
    fence: int = 0
    epoch: int = 0  # in which it was taken
    claims: int = 0
    until: datetime | None = None
    pause: datetime | None = None
    held: Held | None = None
    probe_wait: timedelta | None = None  # until the next probe
    eased: datetime | None = None  # when a probe resumed it
    trial: bool = False  # resumed, and no payment has had its answer since
    due: datetime | None = None
    queue: list[PaymentId] = field(default_factory=list)
    suspects: list[PaymentId] = field(default_factory=list)  # two of their drivers died: they are claimed alone
    sending: list[PaymentId] = field(default_factory=list)  # in the order of their claims
    doubts: dict[PaymentId, datetime] = field(default_factory=dict)  # when to read
    finished: list[PaymentId] = field(default_factory=list)  # oldest first
    order: dict[PaymentId, int] = field(default_factory=dict)  # of their claims and ends; grows for ever

    def lift(self, payment_id: PaymentId) -> None:
        """Take an open payment out of whatever it waits in."""
        for order in (self.queue, self.suspects, self.sending):
            if payment_id in order:
                order.remove(payment_id)
        self.doubts.pop(payment_id, None)

    def number(self, payment_id: PaymentId) -> None:
        """Give a payment the next number of this lane."""
        self.order[payment_id] = max(self.order.values(), default=0) + 1

    def backlog(self, now: datetime) -> Backlog:
        """What there is to do."""
        if self.held is not None:
            return NOTHING
        return Backlog(len(self.queue), len(self.suspects), sum(at <= now for at in self.doubts.values()))

    def has_work(self) -> bool:
        """Whether any payment is open."""
        return bool(self.queue or self.suspects or self.sending or self.doubts)


class Book:
    """All payments, lanes and names of one ledger, and its clock."""

    def __init__(self, clock: Callable[[], datetime], retention: timedelta, server: Callable[[], str]) -> None:
        self._clock = clock
        self.retention = retention
        self._guard = Guard(server)
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.rows: dict[PaymentId, Payment] = {}
        self.lanes: dict[str, Lane] = {}
        self.latest: dict[tuple[str, int], PaymentId] = {}
        self.aliases: dict[str, tuple[PaymentId, bool]] = {}  # handle -> payment, came after it was paid
        self.keys: dict[str, PaymentId] = {}
        # Must be read before anything is sent -> the paid payment it came after (None: a retry).
        self.read_first: dict[PaymentId, PaymentId | None] = {}
        self.screened: dict[PaymentId, int] = {}  # the epoch in which it was certain that no lost history had sent it
        self.outbox: dict[Handle, datetime] = {}
        self.wishes = Wishes(self.now)
        self.tallies = Tallies(self.now)
        self.fence = 0
        self.hint = asyncio.Event()
        self._guard.empty()

    def now(self) -> datetime:
        """The clock in whole milliseconds, as a server counts them."""
        moment = self._clock()
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000)

    def forget_expired(self) -> None:
        """Drop finished payments whose retention is over, and their names; an index entry without a row is absent."""
        horizon = self.now() - self.retention
        expired = {row.id for row in self.rows.values() if row.finished_at is not None and row.finished_at <= horizon}
        for payment_id in expired:
            row = self.rows.pop(payment_id)
            for handle in self.handles(row):
                self.outbox.pop(handle, None)
            self.lanes[row.portal].finished.remove(payment_id)
            self.tallies.drop_failure(row)
            self.read_first.pop(payment_id, None)
            self.screened.pop(payment_id, None)
            self.wishes.forget(payment_id)
        if expired:
            self.aliases = {handle: entry for handle, entry in self.aliases.items() if entry[0] not in expired}
            self.keys = {key: payment_id for key, payment_id in self.keys.items() if payment_id not in expired}

    def is_lane(self, portal: str) -> bool:
        """Whether the portal is known."""
        return portal in self.lanes and self.lanes[portal].known

    def resolve(self, handle: str) -> tuple[Payment | None, bool]:
        """The payment behind an id or a joined handle, and whether this handle came after it was paid."""
        payment_id, late = self.aliases.get(handle, (PaymentId(handle), False))
        own = self.rows.get(PaymentId(handle))
        return (own, False) if own is not None else (self.rows.get(payment_id), late)

    def known(self, ids: Iterable[PaymentId]) -> list[Payment]:
        """Their rows, in this order, without those that are gone: evicted, or deleted by somebody."""
        return [self.rows[payment_id] for payment_id in ids if payment_id in self.rows]

    def latest_of(self, portal: str, invoice_id: int) -> Payment | None:
        """The latest payment of an invoice."""
        payment_id = self.latest.get((portal, invoice_id))
        row = None if payment_id is None else self.rows.get(payment_id)
        # The name of a record that is gone may stand for another payment since.
        return row if row is not None and (row.portal, row.invoice_id) == (portal, invoice_id) else None

    def handles(self, row: Payment) -> tuple[Handle, ...]:
        """All handles whose result must be delivered."""
        joined = sorted(handle for handle, (payment_id, _) in self.aliases.items() if payment_id == row.id)
        return (Handle(row.id), *map(Handle, joined))

    def queue_up(self, row: Payment) -> None:
        """Behind all others, or to be read at once where that must come first."""
        lane = self.lanes[row.portal]
        if row.id in self.read_first:
            lane.doubts[row.id] = self.now()
        else:
            lane.queue.append(row.id)
        self.wake(lane)

    def guard(self, remembered: str, quiet_s: float) -> Epoch:
        """Notice another server or ledger. Fences of a lost history are not given again: its drivers may live."""
        if self._guard.look(remembered, self.now(), quiet_s):
            self.fence = max(self.fence, (self.now() - BEGIN) // timedelta(milliseconds=1))
        epoch = self._guard.epoch
        if epoch is None:
            raise RuntimeError("a guard that has looked knows its epoch")
        return epoch

    def perhaps_sent(self, row: Payment) -> bool:
        """Whether a history that is lost may have sent the payment, and nobody has asked the portal since."""
        epoch = self._guard.epoch
        if epoch is None or epoch.until is None or epoch.until <= row.enqueued_at <= self.now():
            return False
        # What was accepted in the future is older than the epoch: the clock is behind that of the server before it.
        return self.screened.get(row.id) != epoch.number

    def quiet_end(self, row: Payment, own: datetime | None) -> datetime:
        """Until when an "unpaid" does not count: its own quiet time, and that of what a lost history sent last."""
        epoch, end = self._guard.epoch, own or self.now()
        return max(end, epoch.quiet) if epoch and epoch.quiet and self.perhaps_sent(row) else end

    def screen(self, row: Payment) -> Payment:
        """Into doubt, because a lost history may have sent it; one read answers when that has ended."""
        lane, read_at = self.lanes[row.portal], self.quiet_end(row, self.now())
        self.was_asked_about(row)
        lane.lift(row.id)
        lane.doubts[row.id] = read_at
        history = noted(row, entry(row, "d", self.now(), "G"))
        return self.move(replace(row, quiet_until=read_at, history=history), State.IN_DOUBT)

    def was_asked_about(self, row: Payment) -> None:
        """From now on its own record says what was sent."""
        if self._guard.epoch is not None:
            self.screened[row.id] = self._guard.epoch.number

    def wake(self, lane: Lane) -> None:
        """New work: the lane is due now, or when its pause ends, unless it is held or leased."""
        if lane.held is not None or lane.owner is not None:
            return
        at = max(self.now(), lane.pause or self.now())
        if lane.due is None or at < lane.due:
            lane.due = at
            self.hint.set()

    def schedule(self, lane: Lane, wait: timedelta) -> None:
        """Nobody drives the lane (any more): when does it want to be driven next?"""
        wishes = [self.now() + wait] if lane.queue or lane.suspects or lane.sending else []
        if lane.doubts:
            read_at = min(lane.doubts.values())
            wishes.append(max(read_at, self.now() + min(wait, READS_WAIT)) if wait else read_at)
        lane.due = None if lane.held is not None or not wishes else min(wishes)
        if lane.due is not None and lane.due <= self.now():
            self.hint.set()

    def drives(self, lease: Lease) -> bool:
        """Whether nobody has taken the lane since."""
        lane = self.lanes.get(lease.portal)
        return lane is not None and (lane.owner, lane.fence) == (lease.owner, lease.fence)

    def driven(self, lease: Lease) -> Lane:
        """The lane of a lease. Raises LeaseLost when another has taken it."""
        if not self.drives(lease):
            raise LeaseLost(f"{lease.owner} does not drive the lane {lease.portal} under fence {lease.fence} any more.")
        return self.lanes[lease.portal]

    def driven_still(self, lease: Lease, remembered: str, quiet_s: float) -> Lane:
        """As `driven`, and the lease has not run out: nothing new may be begun under one that anybody can take, nor
        under one that was taken from another server."""
        lane = self.driven(lease)
        if lane.until is None or lane.until <= self.now() or lane.epoch != self.guard(remembered, quiet_s).number:
            raise LeaseLost(f"The lease of {lease.owner} on the lane {lease.portal} has run out.")
        return lane

    def move(self, row: Payment, to: State) -> Payment:
        """Write a row down in its next state."""
        if to not in ARROWS[row.state]:
            raise RuntimeError(f"a payment cannot go from {row.state} to {to}")
        self.tallies.moved(to)
        moved = self.rows[row.id] = replace(row, state=to)
        return moved

    def finish(self, row: Payment, to: State) -> Payment:
        """Into a final state, and its results into the outbox."""
        lane, now = self.lanes[row.portal], self.now()
        lane.lift(row.id)
        lane.finished.append(row.id)
        lane.number(row.id)
        before_id = self.read_first.get(row.id)
        before = self.rows.get(before_id) if before_id else None
        if before and (before.portal, before.invoice_id) == (row.portal, row.invoice_id) and to is not State.PAID:
            # It ended without having been read as unpaid: what is known is still that the invoice was paid before.
            self.latest[row.portal, row.invoice_id] = before.id
        moved = self.move(replace(row, finished_at=now, traceparent=None), to)
        self.outbox.update(dict.fromkeys(self.handles(row), now))
        if to is State.FAILED:
            self.tallies.add_failure(moved)
        self.wishes.announce(moved)
        return moved

    def doubt(self, row: Payment, quiet_s: float, why: str) -> Payment:
        """Sent without a trustworthy answer. The quiet time counts from the claim."""
        lane, now = self.lanes[row.portal], self.now()
        quiet_until = self.quiet_end(row, (row.sent_at or now) + timedelta(seconds=quiet_s))
        lane.lift(row.id)
        lane.doubts[row.id] = min(now + FIRST_READ, max(quiet_until, now))
        history = noted(row, sending(row), entry(row, "d", now, why))
        return self.move(replace(row, quiet_until=quiet_until, history=history), State.IN_DOUBT)

    def note_failure(self, row: Payment) -> Payment:
        """How it was sent and failed is what the next sending and end will overwrite."""
        if row.sent_at is not None and not knows_sending(row):
            row = replace(row, history=noted(row, sending(row)))
        failed = code_in("O" if row.because is not None else "P", row.error.code if row.error else "")
        ended = entry(row, "f", row.finished_at or self.now(), failed)
        return replace(row, history=noted(row, ended, entry(row, "q", self.now(), "O")))


def is_open(row: Payment) -> bool:
    """Whether the payment may still move by itself."""
    return row.state in OPEN


def without_doubt(row: Payment) -> Payment:
    """The row without what belonged to an answer or a doubt that is over."""
    return replace(row, quiet_until=None, error=None, last_read_error=None)


def same_content(row: Payment, ask: NewPayment) -> bool:
    """Whether a request asks for exactly what the payment does."""
    wanted = (ask.portal, ask.invoice_id, ask.pay_system_id, ask.bx_rest_handler or None)
    return (row.portal, row.invoice_id, row.pay_system_id, row.bx_rest_handler) == wanted


def new_row(ask: NewPayment, now: datetime) -> Payment:
    """A request as a payment of its own."""
    return Payment(
        id=PaymentId(ask.id),
        portal=ask.portal,
        invoice_id=ask.invoice_id,
        pay_system_id=ask.pay_system_id,
        bx_rest_handler=ask.bx_rest_handler or None,
        idempotency_key=ask.idempotency_key or None,
        state=State.QUEUED,
        attempts=0,
        deaths=0,
        enqueued_at=now,
        sent_at=None,
        finished_at=None,
        paid_at=None,
        evidence=None,
        error=None,
        duplicate=False,
        claim="",
        quiet_until=None,
        traceparent=ask.traceparent,
    )


def shown(row: Payment | None, late: bool) -> Payment | None:  # noqa: FBT001 - spreads what `resolve` answers
    """The row as its handle sees it: one that came after the payment was paid is a duplicate."""
    return replace(row, duplicate=True) if row is not None and late else row
