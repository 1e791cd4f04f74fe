"""The ledger's steps as values: which script, with which arguments, and what its answer means.

A step is built and read without a connection, so the synchronous and the asynchronous ledger share them all.
"""

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from ledger.ledger import (
    Accepted,
    AlreadyPaid,
    Backlog,
    Claimed,
    Conflict,
    Joined,
    LaneView,
    Lease,
    LeaseLost,
    Opened,
    Probe,
    Settled,
    StillQuiet,
    Undelivered,
    UnknownPortal,
)
from ledger.payment import CODE_LIMIT, TEXT_LIMIT, Handle, NewPayment, Payment, PaymentId, PortalKey, State
from ledger.redis import records
from ledger.redis.records import Argument, Reply
from ledger.redis.scripts import SCHEMA
from ledger.verdict import Decision, any_answered
from ledger.walks import Place, Sought, Walked

T = TypeVar("T")

# How many requests one `open` step writes down: a step keeps the server from everybody else for some milliseconds.
OPEN_CHUNK = 400
# How many records one step of a walk looks at, wanted or not: about 5 ms of the server.
LOOKS = 1000
BACKLOG_PARTS = 3  # waiting, suspects, doubts
LEASE_PARTS = 4 + BACKLOG_PARTS  # portal, fence, left, trial


@dataclass(frozen=True, slots=True)
class Step(Generic[T]):
    """One atomic step, ready to be run."""

    script: str
    arguments: Sequence[Argument]
    decode: Callable[[Reply], T]


@dataclass(frozen=True, slots=True)
class Guard:
    """What the epoch guard has to know of its caller."""

    remembered: str  # the ledger's id as the caller knows it, or ""
    name: str  # fresh and random: it names a ledger that has none, and a take
    quiet_ms: int

    @property
    def arguments(self) -> tuple[Argument, ...]:
        """As the scripts take them."""
        return self.remembered, self.name, self.quiet_ms


@dataclass(frozen=True, slots=True)
class Wish:
    """What a claim asks for."""

    number: int
    limit: int
    suspect: bool


def _flag(reply: Reply) -> bool:
    return records.number(reply) == 1


def _rows(reply: Reply) -> list[Payment]:
    return records.payments(records.items(reply))


def _under_lease(lease: Lease, reply: Reply) -> list[Reply]:
    first, *rest = records.items(reply)
    if records.number(first) == 0:
        raise LeaseLost(f"{lease.owner} does not drive the lane {lease.portal} under fence {lease.fence} any more.")
    return rest


def _parted(reply: list[Reply]) -> tuple[list[Reply], list[Reply]]:
    """What is left to do, and the rows."""
    return reply[:BACKLOG_PARTS], reply[BACKLOG_PARTS:]


def _names(lease: Lease) -> tuple[Argument, ...]:
    return lease.portal, lease.owner, lease.fence


def check_schema() -> Step[int]:
    """Which schema version the ledger has."""
    return Step("check_schema", (SCHEMA,), records.number)


def open_payments(requests: Sequence[NewPayment]) -> Step[list[Opened]]:
    """Write requests down."""
    asked = [
        (
            ask.id,
            ask.portal,
            str(ask.invoice_id),
            "" if ask.pay_system_id is None else str(ask.pay_system_id),
            ask.bx_rest_handler or "",
            ask.idempotency_key or "",
            *((f"{ask.callback.host} {ask.callback.url}",) if ask.callback else ()),
        )
        for ask in requests
    ]

    def decode(reply: Reply) -> list[Opened]:
        answers = records.items(reply)
        return [_opened(ask, records.items(answer)) for ask, answer in zip(requests, answers, strict=True)]

    traces = {ask.id: ask.traceparent for ask in requests if ask.traceparent}
    return Step("open", (json.dumps(asked), json.dumps(traces)) if traces else (json.dumps(asked),), decode)


def _opened(ask: NewPayment, answer: list[Reply]) -> Opened:
    match answer:
        case ["A", enqueued_at, *after]:
            return Accepted(records.accepted(ask, enqueued_at, after))
        case ["J", row]:
            return Joined(records.known_payment(row))
        case ["D", row]:
            return AlreadyPaid(records.known_payment(row))
        case ["C", str(id), str(reason)]:
            return Conflict(PaymentId(id), reason)
        case ["U"]:
            return UnknownPortal(ask.portal)
        case _:
            raise records.BadReply(f"open answered {answer[:1]}")


def find(handles: Sequence[str]) -> Step[list[Payment | None]]:
    """Read payments by id or handle."""
    return Step("find", tuple(handles), lambda reply: [records.payment(row) for row in records.items(reply)])


def find_invoice(portal: str, invoice_id: int) -> Step[Payment | None]:
    """Read the latest payment of an invoice."""
    return Step("find_invoice", (portal, invoice_id), records.payment)


def page(portal: str, state: State, offset: int, limit: int) -> Step[list[Payment]]:
    """List a lane's payments in one state."""
    return Step("page", (portal, records.STATE_LETTERS[state], offset, limit), _rows)


def walk(portal: str, state: State, sought: Sought, place: Place, limit: int) -> Step[Walked]:
    """Read the next payments of a lane in one state."""

    def decode(reply: Reply) -> Walked:
        stage, at, names, *rows = records.items(reply)
        seen = tuple(records.text(name) for name in records.items(names))
        goes_on = Place(records.text(stage), records.text(at), seen) if stage else None
        return Walked(tuple(records.payments(rows)), goes_on)

    came = (place.stage, place.at, json.dumps(place.names))
    return Step("walk", (portal, records.STATE_LETTERS[state], *came, limit, LOOKS, *records.sought(sought)), decode)


def portals(after: str, limit: int, states: Collection[State]) -> Step[tuple[list[PortalKey], str | None]]:
    """Name the next lanes."""

    def decode(reply: Reply) -> tuple[list[PortalKey], str | None]:
        goes_on, *keys = (records.text(part) for part in records.items(reply))
        return [PortalKey(key) for key in keys], goes_on or None

    letters = "".join(sorted(records.STATE_LETTERS[state] for state in states))
    return Step("portals", (after, limit, letters, LOOKS), decode)


def cancel(payment_id: str, retention_ms: int, guard: Guard) -> Step[Payment | None]:
    """Withdraw a queued payment."""
    return Step("cancel", (payment_id, retention_ms, *guard.arguments), records.payment)


def retry(payment_id: str) -> Step[Payment | None]:
    """Queue a failed payment again."""
    return Step("retry", (payment_id,), records.payment)


def decide(payment_id: str, *, paid: bool, because: str, retention_ms: int, guard: Guard) -> Step[Payment | None]:
    """End a payment in doubt by a person's word."""

    def decode(reply: Reply) -> Payment | None:
        match records.items(reply):
            case []:
                return None
            case [quiet_until]:
                raise StillQuiet(records.instant(records.number(quiet_until)))
            case [row, *_]:
                return records.payment(row)
        raise records.BadReply("a row was expected")

    said = (payment_id, int(paid), because[:TEXT_LIMIT])
    return Step("decide", (*said, retention_ms, *guard.arguments), decode)


def read_again(payment_ids: Sequence[str]) -> Step[list[Payment | None]]:
    """Have doubts read now."""
    return Step("read_again", tuple(payment_ids), lambda reply: [records.payment(row) for row in records.items(reply)])


def sweep(limit: int, lease_ms: int) -> Step[list[PortalKey]]:
    """Put forgotten lanes back."""
    return Step(
        "sweep", (limit, lease_ms), lambda reply: [PortalKey(records.text(portal)) for portal in records.items(reply)]
    )


def add_lane(portal: str) -> Step[bool]:
    """Make a portal known."""
    return Step("add_lane", (portal,), _flag)


def remove_lane(portal: str, retention_ms: int) -> Step[bool]:
    """Forget an empty lane; false when it is not empty."""
    return Step("remove_lane", (portal, retention_ms), _flag)


def look(portals: Sequence[str]) -> Step[list[LaneView]]:
    """Look at lanes; no portals means all."""

    def decode(reply: Reply) -> list[LaneView]:
        now, *lanes = records.items(reply)
        clock = records.instant(records.number(now))
        return sorted((records.lane_view(lane, clock) for lane in lanes), key=lambda view: view.portal)

    return Step("look", tuple(portals), decode)


def hold(portal: str, code: str, text: str, *, remedy: str, probe: bool) -> Step[bool]:
    """Stop a lane."""
    remedy = remedy[:TEXT_LIMIT]
    told = records.with_remedy(text[:TEXT_LIMIT], remedy)
    return Step("hold", (portal, code[:CODE_LIMIT], told, remedy, int(probe)), _flag)


def take_probes(limit: int) -> Step[list[Probe]]:
    """Held lanes to look at now."""

    def decode(reply: Reply) -> list[Probe]:
        flat = [records.text(part) for part in records.items(reply)]
        taken = zip(flat[::3], flat[1::3], flat[2::3], strict=True)
        return [Probe(PortalKey(portal), code, records.instant(since)) for portal, code, since in taken]

    return Step("take_probes", (limit,), decode)


def resume(portal: str, probe: Probe | None) -> Step[bool]:
    """Let a held lane go on."""
    return Step("resume", (portal, records.ms_of(probe.since) if probe else ""), _flag)


def take(owner: str, limit: int, lease_ms: int, guard: Guard) -> Step[tuple[list[Lease], float | None, str, int]]:
    """Lease due lanes; the answer ends with the ledger's id and the number of its epoch."""

    def decode(reply: Reply) -> tuple[list[Lease], float | None, str, int]:
        wait, ledger_id, epoch, *taken = records.items(reply)
        leases = [_lease(owner, taken[at : at + LEASE_PARTS]) for at in range(0, len(taken), LEASE_PARTS)]
        wait_ms = records.number(wait)
        next_s = None if wait_ms < 0 else wait_ms / 1000
        return leases, next_s, records.text(ledger_id), records.number(epoch)

    return Step("take", (owner, limit, lease_ms, guard.name, guard.remembered, guard.quiet_ms), decode)


def _lease(owner: str, taken: list[Reply]) -> Lease:
    portal, fence, left, trial, *todo = taken
    lease = Lease(PortalKey(records.text(portal)), owner, records.number(fence))
    lease.left, lease.trial, lease.backlog = records.number(left), _flag(trial), records.backlog(todo)
    return lease


def backlog(lease: Lease) -> Step[Backlog]:
    """What a lane has to do now."""

    def decode(reply: Reply) -> Backlog:
        lease.backlog = records.backlog(_under_lease(lease, reply))
        return lease.backlog

    return Step("backlog", _names(lease), decode)


def renew(leases: Sequence[Lease], lease_ms: int, guard: Guard) -> Step[list[bool]]:
    """Prolong leases."""
    arguments: list[Argument] = [lease_ms, *guard.arguments]
    for lease in leases:
        arguments += _names(lease)
    return Step("renew", arguments, lambda reply: [_flag(kept) for kept in records.items(reply)])


def recover(lease: Lease, quiet_ms: int) -> Step[int]:
    """Put what an earlier driver left in sending in doubt."""

    def decode(reply: Reply) -> int:
        found = records.number(reply)
        _under_lease(lease, [int(found >= 0)])
        return found

    return Step("recover", (*_names(lease), quiet_ms), decode)


def claim(lease: Lease, wish: Wish, guard: Guard) -> Step[Claimed]:
    """Move the oldest payments from queued to sending."""

    def decode(reply: Reply) -> Claimed:
        todo, rows = _parted(_under_lease(lease, reply))
        lease.backlog = records.backlog(todo)
        return Claimed(tuple(records.payments(rows)), lease.backlog)

    wanted = (wish.number, wish.limit, int(wish.suspect))
    return Step("claim", (*_names(lease), *wanted, *guard.arguments), decode)


def doubts(lease: Lease, limit: int, guard: Guard) -> Step[list[Payment]]:
    """Payments whose read-back is due; they carry the moment from which the read-back counts."""

    def decode(reply: Reply) -> list[Payment]:
        now, *rows = _under_lease(lease, reply)
        return records.payments(rows, read_at=records.instant(records.number(now)))

    return Step("doubts", (*_names(lease), limit, *guard.arguments), decode)


def settle(lease: Lease, decisions: Sequence[Decision], retention_ms: int, max_attempts: int) -> Step[list[Settled]]:
    """Write verdicts down."""
    arguments: list[Argument] = [*_names(lease), retention_ms, max_attempts]
    for made in decisions:
        arguments += records.decision(made)

    def decode(reply: Reply) -> list[Settled]:
        todo, rows = _parted(_under_lease(lease, reply))
        lease.backlog = records.backlog(todo)
        lease.trial = lease.trial and not any_answered(decisions)
        pairs = (records.items(pair) for pair in rows)
        return [Settled(records.known_payment(row), records.handles(names)) for row, names in pairs]

    return Step("settle", arguments, decode)


def release(lease: Lease, wait_ms: int) -> Step[bool]:
    """Hand a lane back; false when it was lost."""
    return Step("release", (*_names(lease), wait_ms), _flag)


def undelivered(limit: int, older_than_ms: int) -> Step[list[Undelivered]]:
    """Final results that are still owed."""

    def decode(reply: Reply) -> list[Undelivered]:
        pairs = (records.items(pair) for pair in records.items(reply))
        return [Undelivered(Handle(records.text(handle)), records.known_payment(row)) for handle, row in pairs]

    return Step("undelivered", (limit, older_than_ms), decode)


def delivered(confirmed: Sequence[Undelivered]) -> Step[int]:
    """Confirm results."""
    arguments: list[Argument] = []
    for entry in confirmed:
        arguments += (entry.handle, *records.result(entry.payment))
    return Step("delivered", arguments, records.number)
