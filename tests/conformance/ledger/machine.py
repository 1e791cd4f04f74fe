"""Any sequence of steps, on one ledger or on two at once: what must hold after each, whatever came before."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ledger.ledger import Lease, LeaseLost, Ledger
from ledger.payment import ARROWS, OPEN, Handle, Payment, PaymentId, PortalKey, State
from ledger.verdict import Decision, Requeue, Unpaid
from tests.conformance.ledger.world import LEASE_S, LOST, PAID, QUIET_S, REFUSED, RETENTION_S, UNREADABLE, World, an_ask

T = TypeVar("T")

PORTALS = [PortalKey("acme"), PortalKey("beta")]
HANDLES = ["h1", "h2", "h3", "h4", "w3", "w4", "twin"]
VERDICTS = [PAID, REFUSED, Requeue(), Requeue(spent=True), LOST, replace(LOST, quiet_s=0), Unpaid(), UNREADABLE]


class LedgerMachine(RuleBasedStateMachine):
    """Subclass it and set `runner` and `worlds`; with two worlds every answer must be the same in both."""

    runner: asyncio.Runner
    worlds: list[World]

    def __init__(self) -> None:
        super().__init__()
        self.leases: list[Lease] = []
        self.seen: list[Payment] = []  # rows as they once were; decisions on them may be long out of date
        self.rows_before: dict[PaymentId, Payment] = {}
        for portal in PORTALS:
            self.both(lambda ledger, portal=portal: ledger.add_lane(portal))  # type: ignore[misc]  # bound now

    def both(self, step: Callable[[Ledger], Awaitable[T]]) -> T:
        """Run a step everywhere; the answers must agree, and so must refusals."""
        answers = [self.runner.run(_answer(step, world.ledger)) for world in self.worlds]
        refusals = [answer for answer in answers if isinstance(answer, LeaseLost)]
        if refusals:
            assert len(refusals) == len(answers), answers
            raise refusals[0]
        assert all(answer == answers[0] for answer in answers), answers
        first = answers[0]
        assert not isinstance(first, LeaseLost)
        return first

    def under(self, lease: Lease, step: Callable[[Ledger, Lease], Awaitable[T]]) -> T | None:
        """Run a driver's step everywhere, each under a lease of its own; None when the lease is lost."""
        copies = [replace(lease) for _ in self.worlds]
        turns = iter(copies)
        try:
            answer = self.both(lambda ledger: step(ledger, next(turns)))
        except LeaseLost:
            return None
        lease.claims = copies[0].claims
        return answer

    def a_lease(self, data: st.DataObject) -> Lease:
        # Mostly one that may still hold; the older ones are all refused alike.
        return data.draw(st.sampled_from(self.leases[-3:]))

    @rule(
        handle=st.sampled_from(HANDLES),
        portal=st.sampled_from([*PORTALS, PortalKey("nobody")]),
        content=st.sampled_from([(1, 31), (1, 32), (2, 31), (64, 31), (65, 31)]),
        key=st.sampled_from([None, None, "k1", "k2", "k3"]),
        again=st.booleans(),
    )
    def open(self, handle: str, portal: PortalKey, content: tuple[int, int], key: str | None, again: bool) -> None:
        invoice, system = content
        ask = an_ask(handle, portal=portal, invoice_id=invoice, pay_system_id=system, idempotency_key=key)
        asks = [ask, an_ask("twin", portal=portal, invoice_id=invoice, pay_system_id=system)] if again else [ask]
        self.both(lambda ledger: ledger.open(asks))

    @rule(owner=st.sampled_from(["one", "two"]), limit=st.integers(1, 2))
    def take(self, owner: str, limit: int) -> None:
        leases, _ = self.both(lambda ledger: ledger.take(owner, limit))
        self.leases += [replace(lease) for lease in leases]

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), limit=st.integers(1, 3), repeated=st.booleans())
    def claim(self, data: st.DataObject, limit: int, repeated: bool) -> None:
        lease = self.a_lease(data)
        claim = self.under(lease, lambda ledger, lease: ledger.claim(lease, limit))
        if claim is None:
            return
        self.seen += claim.payments
        if repeated:
            lease.claims -= 1
            again = self.under(lease, lambda ledger, lease: ledger.claim(lease, limit))
            assert again == claim

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def read_doubts(self, data: st.DataObject) -> None:
        self.seen += self.under(self.a_lease(data), lambda ledger, lease: ledger.doubts(lease, 3)) or []

    @precondition(lambda self: self.leases and self.seen)
    @rule(data=st.data(), verdicts=st.lists(st.sampled_from(VERDICTS), min_size=1, max_size=3), twice=st.booleans())
    def settle(self, data: st.DataObject, verdicts: list[object], twice: bool) -> None:
        lease = self.a_lease(data)
        ours = [payment for payment in self.seen if payment.portal == lease.portal][-6:]
        if not ours:
            return
        made = [Decision(data.draw(st.sampled_from(ours)), verdict) for verdict in verdicts]  # type: ignore[arg-type]  # drawn from VERDICTS
        first = self.under(lease, lambda ledger, lease: ledger.settle(lease, made))
        if twice and first is not None and len({decision.payment.id for decision in made}) == len(made):
            again = self.under(lease, lambda ledger, lease: ledger.settle(lease, made))
            assert again == first

    @rule(data=st.data(), portal=st.sampled_from(PORTALS), system=st.sampled_from([31, 32]), ends=st.booleans())
    def work(self, data: st.DataObject, portal: PortalKey, system: int, ends: bool) -> None:
        """What a driver does most of the time, so that few rules lead deep."""
        asks = [an_ask(f"w{n}", portal=portal, invoice_id=n, pay_system_id=system) for n in (3, 4)]
        self.both(lambda ledger: ledger.open(asks))
        self.payments_move_along_the_arrows()
        for lease in self.both(lambda ledger: ledger.take("three", 2))[0]:
            self.turn(lease, data)
            self.leases.append(lease)
            if ends:
                self.under(lease, lambda ledger, lease: ledger.release(lease, 0))

    def turn(self, lease: Lease, data: st.DataObject) -> None:
        """One turn of a driver's loop; the arrows are checked between its steps, for a payment takes several."""
        self.under(lease, lambda ledger, lease: ledger.recover(lease))
        self.payments_move_along_the_arrows()
        claim = self.under(lease, lambda ledger, lease: ledger.claim(lease, 3))
        self.payments_move_along_the_arrows()
        due = self.under(lease, lambda ledger, lease: ledger.doubts(lease, 3)) or []
        rows = [*(claim.payments if claim else ()), *due]
        self.seen += rows
        made = [Decision(row, data.draw(st.sampled_from(VERDICTS))) for row in rows]
        self.under(lease, lambda ledger, lease: ledger.settle(lease, made))

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def recover(self, data: st.DataObject) -> None:
        self.under(self.a_lease(data), lambda ledger, lease: ledger.recover(lease))

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), wait_s=st.sampled_from([0.0, 30.0]))
    def release(self, data: st.DataObject, wait_s: float) -> None:
        self.under(self.a_lease(data), lambda ledger, lease: ledger.release(lease, wait_s))

    @precondition(lambda self: self.leases)
    @rule()
    def renew(self) -> None:
        self.both(lambda ledger: ledger.renew(self.leases))

    @rule(handle=st.sampled_from(HANDLES))
    def cancel(self, handle: str) -> None:
        self.both(lambda ledger: ledger.cancel(handle))

    @rule(handle=st.sampled_from(HANDLES))
    def retry(self, handle: str) -> None:
        self.both(lambda ledger: ledger.retry(handle))

    @rule(portal=st.sampled_from(PORTALS))
    def hold(self, portal: str) -> None:
        self.both(lambda ledger: ledger.hold(portal, "CODE", "text"))

    @rule(portal=st.sampled_from(PORTALS))
    def resume(self, portal: str) -> None:
        self.both(lambda ledger: ledger.resume(portal))

    @rule(handle=st.sampled_from(HANDLES))
    def deliver(self, handle: str) -> None:
        self.both(lambda ledger: ledger.delivered([Handle(handle)]))

    @rule(seconds=st.sampled_from([0.001, 2.0, 30.0, LEASE_S, QUIET_S, RETENTION_S]))
    def pass_time(self, seconds: float) -> None:
        for world in self.worlds:
            self.runner.run(world.pass_time(seconds))

    def rows(self) -> list[Payment]:
        pages = [
            self.both(lambda ledger, portal=portal, state=state: ledger.payments(portal, state, 0, 100))  # type: ignore[misc]  # bound now
            for portal in PORTALS
            for state in State
        ]
        return [payment for page in pages for payment in page]

    @invariant()
    def payments_move_along_the_arrows(self) -> None:
        """Each step moves a payment along one arrow or not at all."""
        found = self.both(lambda ledger: ledger.find(HANDLES))
        rows = {payment.id: replace(payment, duplicate=False) for payment in found if payment is not None}
        for payment in rows.values():
            before = self.rows_before.get(payment.id)
            if before is None or before.enqueued_at != payment.enqueued_at:  # its handle was forgotten and used again
                assert payment.state is State.QUEUED
            else:
                assert payment.state in ARROWS[before.state] | {before.state}, (before, payment)
        self.rows_before = rows

    @invariant()
    def counts_are_exact_and_no_work_is_forgotten(self) -> None:
        """The counts are those of the lists, a lane with work is due unless a person holds it, and no invoice has two
        open payments, which could both be sent."""
        rows = self.rows()
        opened = [(payment.portal, payment.invoice_id) for payment in rows if payment.state in OPEN]
        assert len(opened) == len(set(opened))
        for lane in self.both(lambda ledger: ledger.lanes()):
            states = [payment.state for payment in rows if payment.portal == lane.portal]
            assert lane.counts == {state: states.count(state) for state in State}
            if OPEN & set(states) and lane.held is None:
                assert lane.due_at is not None

    @invariant()
    def results_that_are_owed_are_final(self) -> None:
        """What is owed is final, and the same everywhere."""
        for entry in self.both(lambda ledger: ledger.undelivered(100, 0)):
            assert entry.payment.state not in OPEN
            assert isinstance(entry.payment.finished_at, datetime)


async def _answer(step: Callable[[Ledger], Awaitable[T]], ledger: Ledger) -> T | LeaseLost:
    try:
        return await step(ledger)
    except LeaseLost:
        return LeaseLost("the same refusal everywhere")
