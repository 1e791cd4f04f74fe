"""Any sequence of steps; how they are run stands in `playing.py`, what must hold after each in `history.py`."""

from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from ledger.callbacks import CallbackState, Delivered, GivenUp, TryAgain
from ledger.ledger import LaneNotEmpty, Lease, StillQuiet
from ledger.payment import OPEN, Destination, PortalKey, Refusal, State
from ledger.verdict import Decision, InDoubt, Requeue, Unpaid, Verdict
from tests.conformance.ledger.playing import HANDLES, PORTALS, Player
from tests.conformance.ledger.walking import lanes_behind, whole_walk
from tests.conformance.ledger.world import LEASE_S, LOST, PAID, QUIET_S, REFUSED, RETENTION_S, UNREADABLE, an_ask

SUSPICION = InDoubt(0, Refusal("CODE", "text"))
ANSWERS: list[Verdict] = [PAID, REFUSED, Requeue(), Requeue(spent=True), LOST, replace(LOST, quiet_s=0), SUSPICION]
READS: list[Verdict] = [PAID, REFUSED, Unpaid(), Unpaid(), Unpaid(), UNREADABLE]
VERDICTS: list[Verdict] = [*ANSWERS, *READS]

DESTINATIONS = [Destination(host, f"https://{host}/") for host in ("one.example", "two.example")]
OUTCOMES = [Delivered("200"), TryAgain("503", 30.0), GivenUp("410")]

handles = st.sampled_from(HANDLES)
portals = st.sampled_from(PORTALS)


class LedgerMachine(Player):
    """Subclass it and set `runner` and `worlds`."""

    # Producers and people

    @rule(
        handle=handles,
        portal=st.sampled_from([*PORTALS, PortalKey("nobody")]),
        content=st.sampled_from([(1, 31), (1, 32), (2, 31), (64, 31), (65, 31)]),
        key=st.sampled_from([None, None, "k1", "k2", "k3"]),
        to=st.sampled_from([None, *DESTINATIONS]),
    )
    def open(
        self, handle: str, portal: PortalKey, content: tuple[int, int], key: str | None, to: Destination | None
    ) -> None:
        invoice, system = content
        again = invoice % 2
        ask = an_ask(handle, portal=portal, invoice_id=invoice, pay_system_id=system, idempotency_key=key, callback=to)
        asks = [ask, an_ask("twin", portal=portal, invoice_id=invoice, pay_system_id=system)] if again else [ask]
        self.both(lambda ledger: ledger.open(asks))

    @rule(portal=portals, key=st.sampled_from(["k4", "k5"]))
    def open_again_after_paid(self, portal: PortalKey, key: str) -> None:
        """A new key on an invoice that may be paid, under whichever handle is free."""
        paid = [row for row in self.history.before.values() if row.state is State.PAID and row.portal == portal]
        free = self.free_handles()
        if paid and free:
            ask = an_ask(free[0], portal=portal, invoice_id=paid[0].invoice_id, idempotency_key=key)
            self.both(lambda ledger: ledger.open([ask]))

    @rule(handle=handles)
    def cancel(self, handle: str) -> None:
        self.both(lambda ledger: ledger.cancel(handle))

    @rule(data=st.data(), twice=st.booleans())
    def retry(self, data: st.DataObject, twice: bool) -> None:
        handle = self.one_in(State.FAILED, data)
        first = self.both(lambda ledger: ledger.retry(handle))
        if twice:
            assert self.both(lambda ledger: ledger.retry(handle)) == first

    @rule(data=st.data(), paid=st.booleans(), twice=st.booleans())
    def decide(self, data: st.DataObject, paid: bool, twice: bool) -> None:
        handle = self.one_in(State.IN_DOUBT, data)
        try:
            first = self.both(lambda ledger: ledger.decide(handle, paid=paid, because="a person looked"))
        except StillQuiet:
            return
        assert first is None or first.state is not State.IN_DOUBT
        if twice:
            assert self.both(lambda ledger: ledger.decide(handle, paid=not paid, because="again")) == first

    @rule(names=st.lists(handles, max_size=3))
    def read_again(self, names: list[str]) -> None:
        self.both(lambda ledger: ledger.read_again(names))

    @rule(portal=portals, state=st.sampled_from(State), limit=st.integers(1, 3))
    def walk(self, portal: str, state: State, limit: int) -> None:
        """While nothing moves, a walk shows what a list does."""
        rows = self.both(lambda ledger: whole_walk(ledger, portal, state, limit))
        listed = self.both(lambda ledger: ledger.payments(portal, state, 0, 100))
        # Sets of reads are walked through in no order.
        mixed = state in (State.QUEUED, State.IN_DOUBT)
        assert rows == (sorted(listed, key=lambda row: row.id) if mixed else listed)

    @rule(after=st.sampled_from(["", *PORTALS]), states=st.sets(st.sampled_from(State), max_size=2))
    def name_lanes(self, after: str, states: set[State]) -> None:
        self.both(lambda ledger: lanes_behind(ledger, after, states))

    @rule(portal=portals, probe=st.booleans(), remedy=st.sampled_from(["", "Mend it."]))
    def hold(self, portal: str, probe: bool, remedy: str) -> None:
        self.both(lambda ledger: ledger.hold(portal, "CODE", "text", remedy=remedy, probe=probe))

    @rule(limit=st.integers(1, 2), mended=st.booleans(), late=st.booleans())
    def look_at_held_lanes(self, limit: int, mended: bool, late: bool) -> None:
        """Each turn is given to one; a late answer finds whatever the lane is held for by then."""
        taken = self.both(lambda ledger: ledger.take_probes(limit))
        self.probes += taken
        assert self.both(lambda ledger: ledger.take_probes(2), others=True) == [] or len(taken) == limit
        for probe in self.probes[:1] if late else taken:
            if mended:
                self.both(lambda ledger, probe=probe: ledger.resume(probe.portal, probe))  # type: ignore[misc]  # bound now

    @rule(portal=portals)
    def resume(self, portal: str) -> None:
        self.both(lambda ledger: ledger.resume(portal))

    @rule(portal=portals)
    def remove_lane(self, portal: str) -> None:
        try:
            self.both(lambda ledger: ledger.remove_lane(portal))
        except LaneNotEmpty:
            return
        assert portal not in {lane.portal for lane in self.both(lambda ledger: ledger.lanes())}

    @rule(portal=portals)
    def add_lane(self, portal: str) -> None:
        self.both(lambda ledger: ledger.add_lane(portal))

    @rule(portal=portals, offset=st.integers(0, 2), limit=st.integers(0, 4))
    def look_at_lists(self, portal: str, offset: int, limit: int) -> None:
        """Every list is the same everywhere, and a page of it is its slice."""
        for state in State:
            listed = self.both(lambda ledger, state=state: ledger.payments(portal, state, 0, 100))  # type: ignore[misc]  # bound now
            page = self.both(lambda ledger, state=state: ledger.payments(portal, state, offset, limit))  # type: ignore[misc]  # bound now
            assert page == listed[offset : offset + limit]

    @rule(handle=handles, late=st.booleans())
    def deliver(self, handle: str, late: bool) -> None:
        """A result that is owed now, or one that somebody has read some time ago."""
        owed = self.both(lambda ledger: ledger.undelivered(100, 0))
        told = [entry for entry in (self.owed_before if late else owed) if entry.handle == handle]
        self.owed_before = owed
        self.both(lambda ledger: ledger.delivered(told))

    # Callbacks

    @rule(limit=st.integers(1, 3), per_host=st.integers(1, 2), room=st.integers(0, 1), data=st.data())
    def tell_others(self, limit: int, per_host: int, room: int, data: st.DataObject) -> None:
        """Some are told, some not, and of some nobody hears any more."""
        rooms = {"one.example": room}
        taken, _ = self.both(
            lambda ledger: ledger.callbacks.take(limit, per_host=per_host, lease_s=LEASE_S, rooms=rooms)
        )
        assert all(each.payment.state not in OPEN for each in taken)
        self.called += taken
        for callback in self.called[-4:]:
            outcome = data.draw(st.sampled_from([None, *OUTCOMES]))
            if outcome is not None:
                self.both(lambda ledger, each=callback, of=outcome: ledger.callbacks.told(each, of))  # type: ignore[misc]  # bound now

    @rule(host=st.sampled_from(["", "one.example"]), offset=st.integers(0, 2), again=st.booleans())
    def look_at_callbacks(self, host: str, offset: int, again: bool) -> None:
        self.both(lambda ledger: ledger.callbacks.counts())
        for state in CallbackState:
            page = self.both(
                lambda ledger, state=state: ledger.callbacks.page(state, host=host, offset=offset, limit=3)  # type: ignore[misc]  # bound now
            )
            if again:
                names = [each.id for each in page.callbacks]
                self.both(lambda ledger, names=names: ledger.callbacks.resend(names))  # type: ignore[misc]  # bound now

    @rule()
    def sweep_callbacks(self) -> None:
        """Every end was told by the step that ended it."""
        assert self.both(lambda ledger: ledger.callbacks.sweep(100))[1] == 0

    # Drivers

    @rule(owner=st.sampled_from(["one", "two"]), limit=st.integers(1, 2), others=st.booleans())
    def take(self, owner: str, limit: int, others: bool) -> None:
        self.taken(owner, limit, others=others)

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), limit=st.integers(1, 3), repeated=st.booleans())
    def claim(self, data: st.DataObject, limit: int, repeated: bool) -> None:
        self.claims(self.a_lease(data), limit, suspect=False, repeated=repeated)

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), limit=st.integers(1, 2), repeated=st.booleans())
    def claim_a_suspect(self, data: st.DataObject, limit: int, repeated: bool) -> None:
        self.claims(self.a_lease(data), limit, suspect=True, repeated=repeated)

    def claims(self, lease: Lease, limit: int, *, suspect: bool, repeated: bool) -> None:
        before = lease.claims
        payments = self.claimed(lease, limit, suspect=suspect)
        if repeated and lease.claims > before:
            lease.claims -= 1
            assert self.claimed(lease, limit, suspect=suspect) == payments

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def read_doubts(self, data: st.DataObject) -> None:
        self.read(self.a_lease(data))

    @precondition(lambda self: self.leases and self.rows)
    @rule(data=st.data(), verdicts=st.lists(st.sampled_from(VERDICTS), min_size=1, max_size=3), twice=st.booleans())
    def settle(self, data: st.DataObject, verdicts: list[Verdict], twice: bool) -> None:
        lease = self.a_lease(data)
        ours = [payment for payment in self.rows if payment.portal == lease.portal][-6:]
        if not ours:
            return
        made = [Decision(data.draw(st.sampled_from(ours)), verdict) for verdict in verdicts]
        first = self.settled(lease, made)
        if twice and first is not None and len({decision.payment.id for decision in made}) == len(made):
            assert self.settled(lease, made) == first

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def recover(self, data: st.DataObject) -> None:
        self.under(self.a_lease(data), lambda ledger, at: ledger.recover(at))

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def ask_what_there_is_to_do(self, data: st.DataObject) -> None:
        self.under(self.a_lease(data), lambda ledger, at: ledger.backlog(at))

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), wait_s=st.sampled_from([0.0, 30.0]))
    def release(self, data: st.DataObject, wait_s: float) -> None:
        self.under(self.a_lease(data), lambda ledger, at: ledger.release(at, wait_s))

    @precondition(lambda self: self.leases)
    @rule(last=st.sampled_from([1, 2, 100]))
    def renew(self, last: int) -> None:
        self.both(lambda ledger: ledger.renew(self.leases[-last:]))

    def ask_for(self, portal: PortalKey, system: int = 31) -> None:
        """Two new payments of a lane that goes on and that nobody drives any more."""
        self.both(lambda ledger: ledger.add_lane(portal))
        self.both(lambda ledger: ledger.resume(portal))
        self.let_pass(LEASE_S)
        free = self.free_handles()
        if len(free) < 2:
            self.let_pass(RETENTION_S)
            self.check()
            free = self.free_handles()
        self.invoice += 1
        asks = [
            an_ask(
                handle, portal=portal, invoice_id=self.invoice * 32 + n, pay_system_id=system, callback=DESTINATIONS[n]
            )
            for n, handle in enumerate(free[:2])
        ]
        self.both(lambda ledger: ledger.open(asks))
        self.check()

    @rule(data=st.data(), portal=portals, system=st.sampled_from([31, 32]), ends=st.booleans())
    def work(self, data: st.DataObject, portal: PortalKey, system: int, ends: bool) -> None:
        """What a driver does most of the time, so that few rules lead deep."""
        self.ask_for(portal, system)
        for lease in self.taken("three", 2):
            self.turn(lease, data)
            if ends:
                self.under(lease, lambda ledger, at: ledger.release(at, 0))

    def turn(self, lease: Lease, data: st.DataObject) -> None:
        self.under(lease, lambda ledger, at: ledger.recover(at))
        self.check()
        answered = self.claimed(lease, 3) or self.claimed(lease, 3, suspect=True)
        self.check()
        made = [Decision(row, data.draw(st.sampled_from(ANSWERS))) for row in answered]
        self.settled(lease, [*made, *(Decision(row, data.draw(st.sampled_from(READS))) for row in self.read(lease))])

    @rule(portal=portals, suspect=st.booleans(), dead=st.integers(1, 3), restarts=st.booleans())
    def drivers_die(self, portal: PortalKey, suspect: bool, dead: int, restarts: bool) -> None:
        """Some drivers in a row die over what they claimed, and what they leave is read as unpaid."""
        self.ask_for(portal)
        for _ in range(dead):
            for lease in self.taken("dead", 2):
                if not self.claimed(lease, 2) or suspect:
                    self.claimed(lease, 1, suspect=True)
                self.check()
            if restarts:
                self.restart_server()
            self.let_pass(QUIET_S)
            self.heirs_read()

    @rule(portal=portals, late_s=st.sampled_from([0.0, QUIET_S]), sends=st.booleans())
    def driver_goes_on_after_a_restart(self, portal: PortalKey, late_s: float, sends: bool) -> None:
        """Its lease begins nothing any more; what the next driver puts in doubt is read in time, or too early."""
        self.ask_for(portal)
        leases = self.taken("four", 2)
        if sends:
            for lease in leases:
                self.claimed(lease, 1)
                self.check()
        self.restart_server()
        for lease in leases:
            assert not self.claimed(lease, 2)
            self.check()
        self.let_pass(LEASE_S)
        for lease in self.taken("five", 2):
            self.under(lease, lambda ledger, at: ledger.recover(at))
            self.check()
            self.claimed(lease, 2)
            self.check()
        self.let_pass(late_s)
        self.heirs_read()
        for lease in self.leases[-2:]:
            self.claimed(lease, 2)

    @rule(resumes=st.booleans())
    def person_tries_everything_again(self, resumes: bool) -> None:
        """What failed is retried, read first where it was sent, and claimed."""
        for row in [row for row in self.history.before.values() if row.state is State.FAILED]:
            if resumes:
                self.both(lambda ledger, portal=row.portal: ledger.resume(portal))  # type: ignore[misc]  # bound now
            self.both(lambda ledger, name=row.id: ledger.retry(name))  # type: ignore[misc]  # bound now
        self.check()
        self.let_pass(LEASE_S)
        for lease in self.taken("five", 2):
            self.claimed(lease, 1)
            self.check()
            self.settled(lease, [Decision(row, Unpaid()) for row in self.read(lease)])
            self.check()
            self.claimed(lease, 3)
            self.check()

    def heirs_read(self) -> None:
        for lease in self.taken("heir", 2):
            self.under(lease, lambda ledger, at: ledger.recover(at))
            self.check()
            self.settled(lease, [Decision(row, Unpaid()) for row in self.read(lease)])
            self.check()
            if lease.fence % 2:
                self.under(lease, lambda ledger, at: ledger.release(at, 0))

    # Time and damage

    @rule(seconds=st.sampled_from([0.001, 2.0, 10.0, 30.0, LEASE_S, QUIET_S, RETENTION_S]))
    def pass_time(self, seconds: float) -> None:
        self.let_pass(seconds)

    @rule()
    def restart_server(self) -> None:
        for world in self.worlds:
            self.run(world.restart_server())
        self.history.server_changed(self.now)

    @rule(really=st.sampled_from([False, False, False, True]))
    def empty(self, really: bool) -> None:
        """Somebody's FLUSHALL; the lanes are added again."""
        if really:
            for world in self.worlds:
                self.run(world.empty())
            self.history.emptied()
            for portal in PORTALS:
                self.add_lane(portal)

    @rule(portal=portals)
    def lose_due(self, portal: str) -> None:
        for world in self.worlds:
            self.run(world.lose_due(portal))
        self.history.overlooked.add(portal)

    @rule()
    def sweep(self) -> None:
        """What was forgotten is found, unless it is held or somebody drives it."""
        repaired = self.both(lambda ledger: ledger.sweep())
        assert set(repaired) <= self.history.overlooked
        for lane in self.both(lambda ledger: ledger.lanes()):
            work = any(lane.counts[state] for state in OPEN)
            assert lane.due_at is not None or not work or lane.held is not None or lane.owner is not None
