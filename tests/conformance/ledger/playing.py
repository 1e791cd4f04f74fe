"""How a machine runs one step on one ledger or on two at once, and looks at them between two steps."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant

from ledger.callbacks import Callback
from ledger.ledger import LaneNotEmpty, Lease, LeaseLost, Ledger, Probe, StillQuiet, Undelivered
from ledger.payment import Payment, PortalKey, State
from ledger.verdict import Decision
from tests.conformance.ledger.history import History, look
from tests.conformance.ledger.world import World

T = TypeVar("T")

PORTALS = [PortalKey("acme"), PortalKey("beta")]
HANDLES = ["h1", "h2", "h3", "h4", "h5", "h6", "h7", "h8", "h9", "twin"]


@dataclass(frozen=True, slots=True)
class Refused:
    """A step that raised what its contract names."""

    why: LeaseLost | LaneNotEmpty | StillQuiet

    @property
    def alike(self) -> tuple[object, ...]:
        """What must be the same everywhere."""
        return type(self.why), getattr(self.why, "until", None)


class Player(RuleBasedStateMachine):
    """Subclass it and set `runner` and `worlds`; with two worlds every answer must be the same in both."""

    runner: asyncio.Runner
    worlds: list[World]
    steps: ClassVar[int] = 0  # how many were run by all machines of the process

    def __init__(self) -> None:
        super().__init__()
        self.now = datetime(2026, 11, 24, tzinfo=UTC)
        self.others = [world.another() for world in self.worlds]
        self.leases: list[Lease] = []
        self.rows: list[Payment] = []  # as they once were; decisions on them may be long out of date
        self.probes: list[Probe] = []  # turns that were handed out at some time
        self.history = History()
        self.owed_before: list[Undelivered] = []  # as they once were
        self.called: list[Callback] = []  # as they once were
        self.invoice = 1
        for portal in PORTALS:
            self.both(lambda ledger, portal=portal: ledger.add_lane(portal))  # type: ignore[misc]  # bound now

    # Running steps

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.get_loop().run_until_complete(work)

    def both(self, step: Callable[[Ledger], Awaitable[T]], *, others: bool = False) -> T:
        """Run a step everywhere; the answers must agree, and so must refusals."""
        ledgers = self.others if others else [world.ledger for world in self.worlds]
        answers = [self.run(_answer(step, ledger)) for ledger in ledgers]
        if refusals := [answer for answer in answers if isinstance(answer, Refused)]:
            assert [refusal.alike for refusal in refusals] == [refusals[0].alike] * len(answers), answers
            raise refusals[0].why
        assert all(answer == answers[0] for answer in answers), answers
        first = answers[0]
        assert not isinstance(first, Refused)
        return first

    def under(self, lease: Lease, step: Callable[[Ledger, Lease], Awaitable[T]]) -> T | None:
        """Run a driver's step everywhere, each under a lease of its own; None when the lease is lost."""
        copies = [replace(lease) for _ in self.worlds]
        turns = iter(copies)
        try:
            answer = self.both(lambda ledger: step(ledger, next(turns)))
        except LeaseLost:
            return None
        assert [copy.backlog for copy in copies] == [copies[0].backlog] * len(copies)
        lease.claims, lease.backlog = copies[0].claims, copies[0].backlog
        return answer

    def a_lease(self, data: st.DataObject) -> Lease:
        # Mostly one that may still hold; the older ones are all refused alike.
        return data.draw(st.sampled_from(self.leases[-3:]))

    def check(self) -> None:
        """Between two steps; rules of several steps call it themselves, for a payment may take several arrows."""
        self.history.seen(self.both(lambda ledger: look(ledger, HANDLES)), self.now)

    @invariant()
    def everything_holds(self) -> None:
        type(self).steps += 1
        self.check()

    def taken(self, owner: str, limit: int, *, others: bool = False) -> list[Lease]:
        leases, _ = self.both(lambda ledger: ledger.take(owner, limit), others=others)
        self.history.taken = True
        ours = [replace(lease) for lease in leases]
        self.leases += ours
        return ours

    def claimed(self, lease: Lease, limit: int, *, suspect: bool = False) -> Sequence[Payment]:
        claim = self.under(lease, lambda ledger, at: ledger.claim(at, limit, suspect=suspect))
        if claim is None:
            return ()
        self.history.claimed(claim, suspect=suspect)
        self.rows += claim.payments
        return claim.payments

    def read(self, lease: Lease) -> list[Payment]:
        due = self.under(lease, lambda ledger, at: ledger.doubts(at, 3)) or []
        self.rows += due
        return due

    def settled(self, lease: Lease, made: Sequence[Decision]) -> object:
        entries = self.under(lease, lambda ledger, at: ledger.settle(at, made))
        self.history.settled(made, entries or [])
        return entries

    def one_in(self, state: State, data: st.DataObject) -> str:
        """A payment that stands so, if there is one; any name otherwise."""
        names = [row.id for row in self.history.before.values() if row.state is state]
        return data.draw(st.sampled_from([*names, *names, *names, *HANDLES]))

    def let_pass(self, seconds: float) -> None:
        for world in self.worlds:
            self.run(world.pass_time(seconds))
        self.now += timedelta(seconds=seconds)

    def free_handles(self) -> list[str]:
        sight = self.both(lambda ledger: look(ledger, HANDLES))
        return [handle for handle, row in zip(HANDLES, sight.found, strict=True) if row is None]


async def _answer(step: Callable[[Ledger], Awaitable[T]], ledger: Ledger) -> T | Refused:
    try:
        return await step(ledger)
    except (LeaseLost, LaneNotEmpty, StillQuiet) as refusal:
        return Refused(refusal)
