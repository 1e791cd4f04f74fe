"""The ledger's steps on a book in memory."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from ledger.ledger import (
    Accepted,
    AlreadyPaid,
    Claimed,
    Conflict,
    Held,
    Joined,
    LaneNotEmpty,
    LaneView,
    Lease,
    Opened,
    Settled,
    Undelivered,
    UnknownPortal,
)
from ledger.memory.book import OVER, Book, Lane, is_open, new_row, same_content, without_doubt
from ledger.memory.verdicts import Verdicts
from ledger.payment import CODE_LIMIT, TEXT_LIMIT, Handle, NewPayment, Payment, PaymentId, PortalKey, State
from ledger.verdict import Decision


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
    ) -> None:
        self._lease = timedelta(seconds=lease_s)
        self._max_attempts = max_attempts
        self._quiet_s = quiet_s
        self._book = Book(clock, timedelta(seconds=retention_s))

    # Producers and operators

    async def open(self, requests: Sequence[NewPayment]) -> list[Opened]:
        """Write requests down in order and make their lanes due; one answer per request, each decided atomically."""
        self._book.forget_expired()
        return [self._open(ask) for ask in requests]

    def _open(self, ask: NewPayment) -> Opened:
        if answer := self._known(ask):
            return answer
        if not self._book.is_lane(ask.portal):
            return UnknownPortal(ask.portal)
        latest = self._book.latest_of(ask.portal, ask.invoice_id)
        if latest is None or latest.state in OVER:
            return self._write(ask, None)
        return self._open_again(ask, latest) if latest.state is State.PAID else self._open_beside(ask, latest)

    def _open_again(self, ask: NewPayment, paid: Payment) -> Opened:
        if ask.idempotency_key:
            return self._write(ask, paid.id)
        self._name(paid, ask.id, late=True)
        return AlreadyPaid(replace(paid, duplicate=True))

    def _open_beside(self, ask: NewPayment, latest: Payment) -> Opened:
        if not same_content(latest, ask):
            return Conflict(latest.id, "invoice")
        if ask.idempotency_key:
            self._book.keys[ask.idempotency_key] = latest.id
        return self._join(latest, ask)

    def _known(self, ask: NewPayment) -> Opened | None:
        """A handle or key that is known already decides alone."""
        row, late = self._book.resolve(ask.id)
        if row is not None and late and (row.portal, row.invoice_id) == (ask.portal, ask.invoice_id):
            return AlreadyPaid(replace(row, duplicate=True))
        if row is not None:
            return Joined(row) if same_content(row, ask) else Conflict(row.id, "handle")
        if not ask.idempotency_key or ask.idempotency_key not in self._book.keys:
            return None
        row = self._book.rows.get(self._book.keys[ask.idempotency_key])
        if row is None:
            return None
        return self._join(row, ask) if same_content(row, ask) else Conflict(row.id, "key")

    def _join(self, row: Payment, ask: NewPayment) -> Joined:
        self._name(row, ask.id, late=False)
        return Joined(row)

    def _name(self, row: Payment, handle: Handle, *, late: bool) -> None:
        self._book.aliases[handle] = (row.id, late)
        if not is_open(row):
            self._book.outbox[handle] = self._book.now()

    def _write(self, ask: NewPayment, paid_before: PaymentId | None) -> Accepted:
        book, row = self._book, new_row(ask, self._book.now())
        book.rows[row.id] = row
        book.latest[ask.portal, ask.invoice_id] = row.id
        if row.idempotency_key:
            book.keys[row.idempotency_key] = row.id
        if paid_before is not None:
            book.paid_before[row.id] = paid_before
        self._queue(row)
        return Accepted(row)

    def _queue(self, row: Payment) -> None:
        """Behind all others, or to be read at once where that must come first."""
        lane = self._book.lanes[row.portal]
        if row.id in self._book.paid_before:
            lane.doubts[row.id] = self._book.now()
        else:
            lane.queue.append(row.id)
        self._book.wake(lane)

    async def find(self, handles: Sequence[str]) -> list[Payment | None]:
        """Read payments by id or by any handle that joined them."""
        self._book.forget_expired()
        return [_shown(*self._book.resolve(handle)) for handle in handles]

    async def find_invoice(self, portal: str, invoice_id: int) -> Payment | None:
        """Read the latest payment of an invoice."""
        self._book.forget_expired()
        return self._book.latest_of(portal, invoice_id)

    async def payments(self, portal: str, state: State, offset: int, limit: int) -> list[Payment]:
        """List a lane's payments in one state: open ones oldest first, finished ones newest first."""
        self._book.forget_expired()
        lane, rows = self._book.lanes.get(portal), self._book.rows
        if lane is None:
            return []
        doubts = sorted(lane.doubts, key=lambda payment_id: (rows[payment_id].enqueued_at, payment_id))
        ids = [*doubts, *lane.queue, *lane.sending, *reversed(lane.finished)]
        return [rows[payment_id] for payment_id in ids if rows[payment_id].state is state][offset : offset + limit]

    async def cancel(self, payment_id: str) -> Payment | None:
        """Withdraw a queued payment; the row afterwards, None when unknown."""
        self._book.forget_expired()
        row, late = self._book.resolve(payment_id)
        if row is not None and row.state is State.QUEUED:
            row = self._book.finish(row, State.CANCELLED)
        return _shown(row, late)

    async def retry(self, payment_id: str) -> Payment | None:
        """Queue a failed payment again with all its attempts; the row afterwards, None when unknown."""
        self._book.forget_expired()
        row, late = self._book.resolve(payment_id)
        if row is not None and row.state is State.FAILED and self._may_go_again(row):
            row = self._queue_again(row)
        return _shown(row, late)

    def _may_go_again(self, row: Payment) -> bool:
        latest = self._book.latest_of(row.portal, row.invoice_id)
        alone = latest is None or latest.id == row.id or latest.state in OVER
        return alone and self._book.is_lane(row.portal)

    def _queue_again(self, row: Payment) -> Payment:
        self._book.lanes[row.portal].finished.remove(row.id)
        for handle in self._book.handles(row):
            self._book.outbox.pop(handle, None)
        self._book.latest[row.portal, row.invoice_id] = row.id
        again = self._book.move(
            replace(without_doubt(row), finished_at=None, attempts=0, deaths=0),
            State.QUEUED,
        )
        self._queue(again)
        return again

    async def decide(self, payment_id: str, *, paid: bool, because: str) -> Payment | None:
        """End a payment in doubt by a person's word. Raises StillQuiet."""
        raise NotImplementedError

    async def read_again(self, payment_ids: Sequence[str]) -> list[Payment | None]:
        """Have doubts read now instead of later."""
        raise NotImplementedError

    async def sweep(self, limit: int = 1000) -> list[PortalKey]:
        """Find lanes that were forgotten."""
        raise NotImplementedError

    # Lanes

    async def add_lane(self, portal: str) -> None:
        """Make a portal known; repeating it changes nothing."""
        self._book.lanes.setdefault(portal, Lane(portal)).known = True

    async def remove_lane(self, portal: str) -> None:
        """Forget an empty lane; finished payments stay readable. Raises LaneNotEmpty."""
        lane = self._book.lanes.get(portal)
        if lane is None:
            return
        if lane.queue or lane.sending or lane.doubts:
            raise LaneNotEmpty(f"The lane {portal} has open payments. Next step: let them end, or cancel them.")
        self._book.lanes[portal] = Lane(portal, known=False, finished=lane.finished)

    async def lanes(self, portals: Sequence[str] | None = None) -> list[LaneView]:
        """Look at the named lanes, or all of them, in order of their keys."""
        self._book.forget_expired()
        names = self._book.lanes if portals is None else portals
        return [self._view(self._book.lanes[name]) for name in sorted(names) if self._book.is_lane(name)]

    def _view(self, lane: Lane) -> LaneView:
        counts = dict.fromkeys(State, 0)
        for payment_id in (*lane.queue, *lane.sending, *lane.doubts, *lane.finished):
            counts[self._book.rows[payment_id].state] += 1
        leased = lane.until is not None and lane.until > self._book.now()
        return LaneView(
            portal=PortalKey(lane.portal),
            counts=counts,
            held=lane.held,
            due_at=None if lane.held else lane.due,
            owner=lane.owner if leased else None,
        )

    async def hold(self, portal: str, code: str, text: str) -> bool:
        """Stop a lane until it is resumed; False when there is no such lane. The first reason is kept."""
        if not self._book.is_lane(portal):
            return False
        lane = self._book.lanes[portal]
        if lane.held is None:
            lane.held = Held(code[:CODE_LIMIT], text[:TEXT_LIMIT], self._book.now())
            # A leased lane stays due: should its driver die, the next one still recovers what it had sent.
            if lane.owner is None:
                lane.due = None
        return True

    async def resume(self, portal: str) -> bool:
        """Let a held lane go on; False when it was not held."""
        lane = self._book.lanes.get(portal)
        if lane is None or lane.held is None:
            return False
        lane.held = lane.pause = None
        if lane.owner is None:
            self._book.schedule(lane, timedelta(0))
        return True

    # Drivers

    async def take(self, owner: str, limit: int) -> tuple[list[Lease], float | None]:
        """Lease up to `limit` due lanes, and say in how many seconds the next lane is due (None: none is)."""
        now, lanes = self._book.now(), self._book.lanes.values()
        due = sorted((lane.due, lane.portal) for lane in lanes if lane.due is not None and lane.due <= now)
        leases = [self._lease_to(owner, self._book.lanes[portal]) for _, portal in due[:limit]]
        rest = min((lane.due for lane in lanes if lane.due is not None), default=None)
        return leases, None if rest is None else max(0.0, (rest - now).total_seconds())

    def _lease_to(self, owner: str, lane: Lane) -> Lease:
        self._book.fence += 1
        lane.owner, lane.fence, lane.claims, lane.pause = owner, self._book.fence, 0, None
        lane.due = lane.until = self._book.now() + self._lease
        return Lease(PortalKey(lane.portal), owner, lane.fence)

    async def renew(self, leases: Sequence[Lease]) -> list[bool]:
        """Prolong leases by the lease time from now; False where the lease was lost."""
        kept = [self._book.drives(lease) for lease in leases]
        for lease, alive in zip(leases, kept, strict=True):
            if alive:
                lane = self._book.lanes[lease.portal]
                lane.due = lane.until = self._book.now() + self._lease
        return kept

    async def recover(self, lease: Lease) -> int:
        """Put what an earlier driver left in `sending` in doubt; how many there were. Raises LeaseLost."""
        rows = [self._book.rows[payment_id] for payment_id in self._book.driven(lease).sending]
        left = [row for row in rows if not row.claim.startswith(f"{lease.fence}.")]
        for row in left:
            self._book.doubt(replace(row, deaths=row.deaths + 1), self._quiet_s)
        return len(left)

    async def claim(self, lease: Lease, limit: int, *, at_least: int = 1, suspect: bool = False) -> Claimed:
        """Move the oldest payments from queued to sending; none while fewer than `at_least` wait. Raises LeaseLost."""
        lane, book = self._book.driven_still(lease), self._book
        lease.claims += 1
        name = f"{lease.fence}.{lease.claims}"
        if lease.claims > lane.claims and lane.held is None:
            lane.claims = lease.claims
            taken = lane.queue[:limit] if len(lane.queue) >= at_least else []
            for row in [book.rows[payment_id] for payment_id in taken]:
                lane.lift(row.id)
                lane.sending.append(row.id)
                book.move(replace(row, attempts=row.attempts + 1, sent_at=book.now(), claim=name), State.SENDING)
        claimed = tuple(book.rows[payment_id] for payment_id in lane.sending if book.rows[payment_id].claim == name)
        return Claimed(claimed, len(lane.queue))

    async def doubts(self, lease: Lease, limit: int) -> list[Payment]:
        """Payments of this lane whose read-back is due now. Raises LeaseLost."""
        lane, now = self._book.driven_still(lease), self._book.now()
        due = sorted((at, payment_id) for payment_id, at in lane.doubts.items() if at <= now and lane.held is None)
        return [replace(self._book.rows[payment_id], read_at=now) for _, payment_id in due[:limit]]

    async def settle(self, lease: Lease, decisions: Sequence[Decision]) -> list[Settled]:
        """Write verdicts down in one step. Raises LeaseLost."""
        lane = self._book.driven(lease)
        self._book.forget_expired()
        verdicts = Verdicts(self._book, lane, self._max_attempts)
        written = [made.payment.id for made in decisions if verdicts.write(made)]
        verdicts.close()
        rows = [self._book.rows[payment_id] for payment_id in written]
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
        latest = self._book.now() - timedelta(seconds=older_than_s)
        owed = sorted((at, handle) for handle, at in self._book.outbox.items() if at <= latest)[:limit]
        rows = await self.find([handle for _, handle in owed])
        return [Undelivered(handle, row) for (_, handle), row in zip(owed, rows, strict=True) if row is not None]

    async def delivered(self, handles: Sequence[Handle]) -> None:
        """Confirm that results reached the result backend."""
        for handle in handles:
            self._book.outbox.pop(handle, None)

    # Wake-up

    async def wait_for_work(self, timeout_s: float) -> None:
        """Return when a lane became due (a hint, may be early or missed) or after the timeout."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._book.hint.wait()
        except TimeoutError:
            return
        self._book.hint.clear()


def _shown(row: Payment | None, late: bool) -> Payment | None:  # noqa: FBT001 - spreads what `resolve` answers
    """The row as its handle sees it: one that came after the payment was paid is a duplicate."""
    return replace(row, duplicate=True) if row is not None and late else row
