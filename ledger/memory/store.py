"""The ledger's steps on a book in memory."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from ledger.ledger import (
    Backlog,
    Claimed,
    Held,
    LaneNotEmpty,
    LaneView,
    Lease,
    Opened,
    Probe,
    Settled,
    StillQuiet,
    Undelivered,
)
from ledger.memory import deliveries, holds, walks
from ledger.memory.book import OVER, Book, Lane, is_open, shown, without_doubt
from ledger.memory.callbacks import MemoryOutbox
from ledger.memory.figures import MemoryFigures
from ledger.memory.guard import Epoch
from ledger.memory.requests import open_one
from ledger.memory.verdicts import Verdicts
from ledger.payment import (
    CODE_LIMIT,
    TEXT_LIMIT,
    Evidence,
    NewPayment,
    Payment,
    PaymentId,
    PortalKey,
    Refusal,
    State,
)
from ledger.verdict import Decision, any_answered
from ledger.walks import Place, Sought, Walked

# So many attempts without an answer, and the next is made alone: what hangs its portal takes no others along.
ALONE_ATTEMPTS = 2


def _wall_clock() -> datetime:
    return datetime.now(UTC)


class MemoryLedger:
    """The durable record of payments and lanes, without the durability."""

    def __init__(
        self,
        *,
        lease_s: float,
        retention_s: float,
        max_attempts: int,
        quiet_s: float,
        clock: Callable[[], datetime] = _wall_clock,
        server: Callable[[], str] = lambda: "memory",
        book: Book | None = None,
    ) -> None:
        self._lease = timedelta(seconds=lease_s)
        self._max_attempts = max_attempts
        self._quiet_s = quiet_s
        # Two ledgers on one book are two processes on one server.
        self._book = book or Book(clock, timedelta(seconds=retention_s), server)
        self.callbacks = MemoryOutbox(self._book)
        self.figures = MemoryFigures(self._book)
        self.epoch = 0
        self._remembered = ""  # the ledger's id: another one means that the ledger was emptied under us

    # Producers and operators

    async def open(self, requests: Sequence[NewPayment]) -> list[Opened]:
        """Write requests down in order and make their lanes due; one answer per request, each decided atomically."""
        self._book.forget_expired()
        return [open_one(self._book, ask) for ask in requests]

    async def find(self, handles: Sequence[str]) -> list[Payment | None]:
        """Read payments by id or by any handle that joined them."""
        self._book.forget_expired()
        return [shown(*self._book.resolve(handle)) for handle in handles]

    async def find_invoice(self, portal: str, invoice_id: int) -> Payment | None:
        """Read the latest payment of an invoice."""
        self._book.forget_expired()
        return self._book.latest_of(portal, invoice_id)

    async def payments(self, portal: str, state: State, offset: int, limit: int) -> list[Payment]:
        """List a lane's payments in one state: open ones oldest first, finished ones newest first."""
        self._book.forget_expired()
        lane = self._book.lanes.get(portal)
        if lane is None:
            return []
        waiting = sorted(self._book.known(lane.doubts), key=lambda row: (row.enqueued_at, row.id))
        doubts = [row.id for row in waiting]
        listed = self._book.known([*doubts, *lane.queue, *lane.suspects, *lane.sending, *reversed(lane.finished)])
        return [row for row in listed if row.state is state][offset : offset + limit]

    async def walk(self, portal: str, state: State, sought: Sought, place: Place, limit: int) -> Walked:
        """The next payments of a lane in one state, of those that are sought, and where to go on."""
        return walks.Walk(self._book, portal, state).page(sought, place, limit)

    async def portals(
        self, after: str, limit: int, states: Collection[State] = ()
    ) -> tuple[list[PortalKey], str | None]:
        """Name the next lanes behind a key, and the key to go on behind, None at the end."""
        return walks.portals(self._book, after, limit, states)

    async def cancel(self, payment_id: str) -> Payment | None:
        """Withdraw a queued payment; the row afterwards, None when unknown."""
        self._book.forget_expired()
        row, late = self._book.resolve(payment_id)
        if row is not None:
            self._guard()
        if row is not None and row.state is State.QUEUED:
            lost = self._book.perhaps_sent(row)
            row = self._book.screen(row) if lost else self._book.finish(row, State.CANCELLED)
        return shown(row, late)

    async def retry(self, payment_id: str) -> Payment | None:
        """Queue a failed payment again with all its attempts; the row afterwards, None when unknown."""
        self._book.forget_expired()
        row, late = self._book.resolve(payment_id)
        if row is not None and row.state is State.FAILED and self._may_go_again(row):
            row = self._queue_again(row)
        return shown(row, late)

    def _may_go_again(self, row: Payment) -> bool:
        latest = self._book.latest_of(row.portal, row.invoice_id)
        alone = latest is None or latest.id == row.id or latest.state in OVER
        return alone and self._book.is_lane(row.portal)

    def _queue_again(self, row: Payment) -> Payment:
        self._book.tallies.drop_failure(row)
        row = self._book.note_failure(row)
        self._book.lanes[row.portal].finished.remove(row.id)
        for handle in self._book.handles(row):
            self._book.outbox.pop(handle, None)
        self._book.latest[row.portal, row.invoice_id] = row.id
        self._book.wishes.revive(row)
        if row.sent_at is not None or row.id in self._book.screened:
            self._book.read_first.setdefault(row.id, None)
        fresh = replace(without_doubt(row), finished_at=None, attempts=0, deaths=0, because=None)
        again = self._book.move(fresh, State.QUEUED)
        self._book.queue_up(again)
        return again

    async def decide(self, payment_id: str, *, paid: bool, because: str) -> Payment | None:
        """End a payment in doubt by a person's word; the row afterwards, None when unknown. Raises StillQuiet."""
        self._book.forget_expired()
        row, late = self._book.resolve(payment_id)
        if row is not None:
            self._guard()
        if row is not None and row.state is State.IN_DOUBT:
            row = self._end(row, paid=paid, because=because[:TEXT_LIMIT])
        return shown(row, late)

    def _end(self, row: Payment, *, paid: bool, because: str) -> Payment:
        book, said = self._book, replace(without_doubt(row), because=because)
        if paid:
            ended = replace(said, evidence=Evidence.OPERATOR, paid_at=book.now())
            return book.finish(ended, State.PAID)
        quiet_until = book.quiet_end(row, row.quiet_until)
        if book.now() < quiet_until:
            raise StillQuiet(quiet_until)
        return book.finish(replace(said, error=Refusal("RESOLVED_UNPAID", because)), State.FAILED)

    async def read_again(self, payment_ids: Sequence[str]) -> list[Payment | None]:
        """Have doubts read now instead of later; the rows, None where unknown."""
        self._book.forget_expired()
        return [self._read_again(*self._book.resolve(payment_id)) for payment_id in payment_ids]

    def _read_again(self, row: Payment | None, late: bool) -> Payment | None:  # noqa: FBT001 - as `shown`
        if row is not None:
            lane, now = self._book.lanes[row.portal], self._book.now()
            if row.id in lane.doubts and lane.doubts[row.id] > now:
                lane.doubts[row.id] = now
                self._book.wake(lane)
        return shown(row, late)

    async def sweep(self, limit: int = 1000) -> list[PortalKey]:
        """Put lanes back that have work and were forgotten; which they were."""
        forgotten = [lane for lane in self._book.lanes.values() if self._is_forgotten(lane)]
        for lane in forgotten:
            if lane.owner is not None:
                lane.due = self._book.now()  # its driver died; the next one recovers what it left
                self._book.hint.set()
            else:
                self._book.schedule(lane, max(timedelta(0), (lane.pause or self._book.now()) - self._book.now()))
        for lane in self._book.lanes.values():
            if lane.due is not None and lane.due > self._book.now():
                self._pull_in(lane, lane.due)
            holds.pull_in(self._book, lane)
        return sorted(PortalKey(lane.portal) for lane in forgotten)

    def _pull_in(self, lane: Lane, due: datetime) -> None:
        """Where the clock was set back, a lane waits no longer than it can have to."""
        latest = self._book.now() + self._lease
        if lane.owner is not None and max(due, lane.until or due) > latest:
            lane.due = lane.until = latest
        elif lane.owner is None and lane.pause is None and (lane.queue or lane.suspects or lane.sending):
            lane.due = self._book.now()
            self._book.hint.set()

    def _is_forgotten(self, lane: Lane) -> bool:
        leased = lane.until is not None and lane.until > self._book.now()
        return lane.known and lane.has_work() and lane.due is None and lane.held is None and not leased

    # Lanes

    async def add_lane(self, portal: str) -> None:
        """Make a portal known; repeating it changes nothing."""
        self._book.lanes.setdefault(portal, Lane(portal)).known = True

    async def remove_lane(self, portal: str) -> None:
        """Forget an empty lane; finished payments stay readable. Raises LaneNotEmpty."""
        lane = self._book.lanes.get(portal)
        if lane is None:
            return
        if lane.has_work():
            raise LaneNotEmpty(f"The lane {portal} has open payments. Next step: let them end, or cancel them.")
        self._book.lanes[portal] = Lane(portal, known=False, finished=lane.finished, order=lane.order)

    async def lanes(self, portals: Sequence[str] | None = None) -> list[LaneView]:
        """Look at the named lanes, or all of them, in order of their keys."""
        self._book.forget_expired()
        names = self._book.lanes if portals is None else portals
        return [self._view(self._book.lanes[name]) for name in sorted(names) if self._book.is_lane(name)]

    def _view(self, lane: Lane) -> LaneView:
        counts = dict.fromkeys(State, 0)
        ids = (*lane.queue, *lane.suspects, *lane.sending, *lane.doubts, *lane.finished)
        for row in self._book.known(ids):
            counts[row.state] += 1
        leased = lane.until is not None and lane.until > self._book.now()
        return LaneView(
            portal=PortalKey(lane.portal),
            counts=counts,
            held=lane.held,
            due_at=None if lane.held else lane.due,
            owner=lane.owner if leased else None,
        )

    async def hold(self, portal: str, code: str, text: str, *, remedy: str = "", probe: bool = False) -> bool:
        """Stop a lane until a person, or with `probe` a probe, resumes it; False when there is no such lane."""
        reason = Held(code[:CODE_LIMIT], text[:TEXT_LIMIT], self._book.now(), remedy[:TEXT_LIMIT])
        return holds.hold(self._book, portal, reason, probe=probe)

    async def take_probes(self, limit: int) -> list[Probe]:
        """Held lanes to look at now, longest due first; each is handed out once."""
        return holds.take_probes(self._book, limit)

    async def resume(self, portal: str, probe: Probe | None = None) -> bool:
        """Let a held lane go on, on trial; False when it was not held, or not as the probe says."""
        return holds.resume(self._book, portal, probe)

    # Drivers

    async def take(self, owner: str, limit: int) -> tuple[list[Lease], float | None]:
        """Lease up to `limit` due lanes, and say in how many seconds the next lane is due (None: none is)."""
        era = self._guard()
        self._remembered, self.epoch = era.id, era.number
        now, lanes = self._book.now(), self._book.lanes.values()
        due = sorted((lane.due, lane.portal) for lane in lanes if lane.due is not None and lane.due <= now)
        leases = [self._lease_to(owner, self._book.lanes[portal], era.number) for _, portal in due[:limit]]
        rest = min((lane.due for lane in lanes if lane.due is not None), default=None)
        return leases, None if rest is None else max(0.0, (rest - now).total_seconds())

    def _guard(self) -> Epoch:
        return self._book.guard(self._remembered, self._quiet_s)

    def _lease_to(self, owner: str, lane: Lane, epoch: int) -> Lease:
        self._book.fence += 1
        lane.epoch = epoch
        lane.owner, lane.fence, lane.claims, lane.pause = owner, self._book.fence, 0, None
        lane.due = lane.until = self._book.now() + self._lease
        todo = lane.backlog(self._book.now())
        return Lease(PortalKey(lane.portal), owner, lane.fence, left=len(lane.sending), trial=lane.trial, backlog=todo)

    async def renew(self, leases: Sequence[Lease]) -> list[bool]:
        """Prolong leases by the lease time from now; False where the lease was lost."""
        if not leases:
            return []
        epoch, lanes = self._guard().number, self._book.lanes
        kept = [self._book.drives(lease) and lanes[lease.portal].epoch == epoch for lease in leases]
        for lease, alive in zip(leases, kept, strict=True):
            if alive:
                lane = self._book.lanes[lease.portal]
                lane.due = lane.until = self._book.now() + self._lease
        return kept

    async def backlog(self, lease: Lease) -> Backlog:
        """What the lane has to do now. Raises LeaseLost."""
        lease.backlog = self._book.driven(lease).backlog(self._book.now())
        return lease.backlog

    async def recover(self, lease: Lease) -> int:
        """Put what an earlier driver left in `sending` in doubt; how many there were. Raises LeaseLost."""
        lane = self._book.driven(lease)
        rows = self._book.known(lane.sending)
        lane.sending = [row.id for row in rows]
        left = [row for row in rows if not row.claim.startswith(f"{lease.fence}.")]
        for row in left:
            self._book.doubt(replace(row, deaths=row.deaths + 1), self._quiet_s, "X")
        return len(left)

    async def claim(self, lease: Lease, limit: int, *, suspect: bool = False) -> Claimed:
        """Move the oldest payments from queued to sending. Raises LeaseLost."""
        lane, book = self._book.driven_still(lease, self._remembered, self._quiet_s), self._book
        lease.claims += 1
        name = f"{lease.fence}.{lease.claims}"
        if lease.claims > lane.claims and lane.held is None:
            lane.claims = lease.claims
            if suspect:
                self._send(lane, lane.suspects, min(limit, 1), name)
            else:
                self._send(lane, lane.queue, limit, name)
        claimed = tuple(row for row in book.known(lane.sending) if row.claim == name)
        lease.backlog = lane.backlog(book.now())
        return Claimed(claimed, lease.backlog)

    def _send(self, lane: Lane, queue: list[PaymentId], limit: int, name: str) -> None:
        """Move from this queue to sending, and what a lost history may have sent into doubt."""
        book, sent = self._book, 0
        while queue and sent < limit:
            row = book.rows.get(queue.pop(0))
            if row is None:
                continue
            if book.perhaps_sent(row):
                book.screen(row)
                continue
            alone = row.attempts >= ALONE_ATTEMPTS
            if alone and sent:
                queue.insert(0, row.id)
                break
            lane.sending.append(row.id)
            lane.number(row.id)
            book.move(replace(row, attempts=row.attempts + 1, sent_at=book.now(), claim=name), State.SENDING)
            sent = limit if alone else sent + 1

    async def doubts(self, lease: Lease, limit: int) -> list[Payment]:
        """Payments of this lane whose read-back is due now. Raises LeaseLost."""
        lane, now = self._book.driven_still(lease, self._remembered, self._quiet_s), self._book.now()
        due = sorted((at, payment_id) for payment_id, at in lane.doubts.items() if at <= now and lane.held is None)
        ids = [payment_id for _, payment_id in due[:limit]]
        rows = self._book.known(ids)
        for gone in set(ids) - {row.id for row in rows}:
            del lane.doubts[gone]
        return [replace(row, read_at=now) for row in rows]

    async def settle(self, lease: Lease, decisions: Sequence[Decision]) -> list[Settled]:
        """Write verdicts down in one step. Raises LeaseLost."""
        lane = self._book.driven(lease)
        self._book.forget_expired()
        verdicts = Verdicts(self._book, lane, self._max_attempts)
        written = [made.payment.id for made in decisions if verdicts.write(made)]
        verdicts.close()
        lane.trial = lane.trial and not verdicts.answered
        lease.trial = lease.trial and not any_answered(decisions)
        rows = [self._book.rows[payment_id] for payment_id in written]
        lease.backlog = lane.backlog(self._book.now())
        return [Settled(row, () if is_open(row) else self._book.handles(row)) for row in rows]

    async def release(self, lease: Lease, wait_s: float) -> None:
        """Hand the lane back; nothing happens when the lease is lost."""
        if not self._book.drives(lease):
            return
        lane, wait = self._book.lanes[lease.portal], timedelta(seconds=wait_s)
        lane.owner = lane.until = None
        lane.pause = self._book.now() + wait if wait else None
        self._book.schedule(lane, wait)

    # Results
    async def undelivered(self, limit: int, older_than_s: float) -> list[Undelivered]:
        """Final results that were not confirmed as delivered, oldest first."""
        return deliveries.owed(self._book, limit, older_than_s)

    async def delivered(self, confirmed: Sequence[Undelivered]) -> None:
        """Confirm that results reached the result backend; one that is out of date confirms nothing."""
        deliveries.confirm(self._book, confirmed)

    # Wake-up
    async def wait_for_work(self, timeout_s: float) -> None:
        """Return when a lane became due (a hint, may be early or missed) or after the timeout."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._book.hint.wait()
        except TimeoutError:
            return
        self._book.hint.clear()
