"""The ledger's contract: every step is atomic, durable when it returns, timed by the ledger's own clock, and safe to
repeat when its reply was lost (redis-py replays a command after a broken connection).

Two implementations pass one conformance suite: `ledger.redis.RedisLedger` and `ledger.memory.MemoryLedger`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from ledger.callbacks import CallbackOutbox
from ledger.figures import Figures
from ledger.payment import Handle, NewPayment, Payment, PaymentId, PortalKey, State
from ledger.verdict import Decision
from ledger.walks import Place, Sought, Walked

# --- what `open` answers -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Accepted:
    """A payment of its own was written down and its lane is due."""

    payment: Payment


@dataclass(frozen=True, slots=True)
class Joined:
    """The same request is known already (same handle, same key, or an open payment with the same content)."""

    payment: Payment


@dataclass(frozen=True, slots=True)
class AlreadyPaid:
    """The ledger knows the invoice as paid; `payment.duplicate` is true."""

    payment: Payment


@dataclass(frozen=True, slots=True)
class Conflict:
    """Refused: an open payment of this invoice, this idempotency key, or this handle has other content. Nothing was
    written."""

    payment_id: PaymentId  # the payment in the way
    reason: str  # "invoice", "key" or "handle"


@dataclass(frozen=True, slots=True)
class UnknownPortal:
    """Refused: no lane of this name. Nothing was written."""

    portal: PortalKey


Opened = Accepted | Joined | AlreadyPaid | Conflict | UnknownPortal

# --- lanes -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Backlog:
    """What a lane has to do now. A held lane has nothing to do."""

    waiting: int = 0  # payments to send, without the suspects
    suspects: int = 0  # payments that a claim for a suspect gives out one by one
    doubts: int = 0  # payments whose read-back is due

    def __bool__(self) -> bool:
        return self != NOTHING


NOTHING: Final = Backlog()


@dataclass(slots=True)
class Lease:
    """The right to drive one lane until it expires; `fence` grows with every take and is checked in every write."""

    portal: PortalKey
    owner: str
    fence: int
    claims: int = 0  # claims made under this lease; with the fence it numbers each claim
    left: int = 0  # payments that an earlier driver had left in `sending` when the lane was taken
    trial: bool = False  # the lane was held, and no answer to a payment has shown yet that it works again
    backlog: Backlog = NOTHING  # as the latest take, claim, settle or look saw it


@dataclass(frozen=True, slots=True)
class Claimed:
    """Payments that are now `sending`, oldest first, and what is left to do behind them."""

    payments: tuple[Payment, ...]
    backlog: Backlog


@dataclass(frozen=True, slots=True)
class Settled:
    """What a settle made of one decision. `handles` are all handles whose result is to be delivered (final states)."""

    payment: Payment
    handles: tuple[Handle, ...]


@dataclass(frozen=True, slots=True)
class Undelivered:
    """A final result that its handle has not been given yet."""

    handle: Handle
    payment: Payment


@dataclass(frozen=True, slots=True)
class Held:
    """Why a lane does not go on until a person mends something."""

    code: str
    text: str
    since: datetime
    remedy: str = ""  # what a person does about it, where that is known
    probe_at: datetime | None = None  # when it is looked at again; None: only a person resumes it


@dataclass(frozen=True, slots=True)
class Probe:
    """A held lane whose turn it is to be looked at; it names the hold, so that it resumes no other."""

    portal: PortalKey
    code: str
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneView:
    """One lane as an operator sees it."""

    portal: PortalKey
    counts: Mapping[State, int]  # every state is present
    held: Held | None
    due_at: datetime | None  # when it wants to be driven next; None: nothing to do, or held
    owner: str | None  # who holds the lease now


class LeaseLost(Exception):  # noqa: N818 - a fact about the lease, not a fault
    """The lane has another driver (or none): nothing was written. The caller must send nothing more for it."""


class StillQuiet(Exception):  # noqa: N818 - a fact about the payment, not a fault
    """Nobody may call the payment unpaid before `until`: its call may still be running on the portal."""

    def __init__(self, until: datetime) -> None:
        super().__init__(
            f"The call for this payment may still be running on the portal. "
            f"Next step: decide after {until:%H:%M:%S} UTC."
        )
        self.until = until


class LaneNotEmpty(Exception):  # noqa: N818 - a fact about the lane, not a fault
    """The lane still has open payments and cannot be removed."""


class Ledger(Protocol):
    """The durable record of payments and lanes."""

    # Which epoch the latest `take` saw, 0 before the first. It grows when the server is another one or has lost data:
    # what is queued is then read at its portal before it is sent.
    epoch: int

    @property
    def callbacks(self) -> CallbackOutbox:
        """Those who are to be told of a payment's end. They become due in the step that ends it."""

    @property
    def figures(self) -> Figures:
        """What is counted for people: failures by code, and each minute."""

    # Producers and operators
    async def open(self, requests: Sequence[NewPayment]) -> list[Opened]:
        """Write requests down in order and make their lanes due; one answer per request, each decided atomically."""

    async def find(self, handles: Sequence[str]) -> list[Payment | None]:
        """Read payments by id or by any handle that joined them."""

    async def find_invoice(self, portal: str, invoice_id: int) -> Payment | None:
        """Read the latest payment of an invoice."""

    async def payments(self, portal: str, state: State, offset: int, limit: int) -> list[Payment]:
        """List a lane's payments in one state: open ones oldest first, finished ones newest first."""

    async def walk(self, portal: str, state: State, sought: Sought, place: Place, limit: int) -> Walked:
        """The next payments of a lane in one state, of those that are sought; the work of a step is bounded. A walk
        from `START` to its end shows what stays in the state all the while, whatever moves beside it."""

    async def portals(
        self, after: str, limit: int, states: Collection[State] = ()
    ) -> tuple[list[PortalKey], str | None]:
        """Name the next lanes behind a key, in order, that have a payment in one of these states (without states: all
        lanes); and the key to go on behind, None at the end."""

    async def cancel(self, payment_id: str) -> Payment | None:
        """Withdraw a queued payment; the row afterwards (unchanged when it is not queued), None when unknown."""

    async def retry(self, payment_id: str) -> Payment | None:
        """Queue a failed payment again, to be read first when it was ever sent; the row afterwards (unchanged when it
        is not failed or another payment of the invoice is open or paid), None when unknown."""

    async def decide(self, payment_id: str, *, paid: bool, because: str) -> Payment | None:
        """End a payment in doubt by a person's word; the row afterwards (unchanged when it is not in doubt), None when
        unknown. Raises StillQuiet when it is to be unpaid before its quiet time has ended."""

    async def read_again(self, payment_ids: Sequence[str]) -> list[Payment | None]:
        """Have doubts read now instead of later; the rows, None where unknown. A held lane stays held."""

    async def sweep(self, limit: int = 1000) -> list[PortalKey]:
        """Look at about `limit` lanes, going on where the latest sweep of any process stopped; those that were
        forgotten, and are due again now. Leases and dues of a clock that was set back since are pulled in."""

    # Lanes
    async def add_lane(self, portal: str) -> None:
        """Make a portal known; repeating it changes nothing."""

    async def remove_lane(self, portal: str) -> None:
        """Forget an empty lane; finished payments stay readable. Raises LaneNotEmpty."""

    async def lanes(self, portals: Sequence[str] | None = None) -> list[LaneView]:
        """Look at the named lanes, or all of them, in order of their keys."""

    async def hold(self, portal: str, code: str, text: str, *, remedy: str = "", probe: bool = False) -> bool:
        """Stop a lane until it is resumed; False when there is no such lane. `probe`: it may be looked at and resumed
        without a person, first after 10 s, and on after ever longer waits when it was resumed so in the last 10 min.
        The first reason is kept, unless a probe may resume the lane and from now on only a person may."""

    async def take_probes(self, limit: int) -> list[Probe]:
        """Held lanes to look at now, longest due first. Each is handed out once: its next turn comes after twice the
        wait, at most 5 min."""

    async def resume(self, portal: str, probe: Probe | None = None) -> bool:
        """Let a held lane go on, on trial; False when it was not held. A person's word also forgets how long probes
        have waited. A probe resumes only the hold that it was taken for, and not when only a person may."""

    # Drivers
    async def take(self, owner: str, limit: int) -> tuple[list[Lease], float | None]:
        """Lease up to `limit` due lanes, and say in how many seconds the next lane is due (None: none is)."""

    async def renew(self, leases: Sequence[Lease]) -> list[bool]:
        """Prolong leases by the lease time from now; False where the lease was lost."""

    async def backlog(self, lease: Lease) -> Backlog:
        """What the lane has to do now. Raises LeaseLost."""

    async def recover(self, lease: Lease) -> int:
        """Put what an earlier driver left in `sending` in doubt (quiet from its claim on); how many there were.
        Raises LeaseLost."""

    async def claim(self, lease: Lease, limit: int, *, suspect: bool = False) -> Claimed:
        """Move the oldest payments from queued to sending. Raises LeaseLost.

        A payment that had no answer to two attempts is given out alone, so that one that hangs its portal does not
        take others with it.
        Payments whose driver died twice are suspects: only `suspect=True` gives them out, one at a time and nothing
        else, so that a payment that kills its process does not take others with it.
        """

    async def doubts(self, lease: Lease, limit: int) -> list[Payment]:
        """Payments of this lane whose read-back is due now. Raises LeaseLost."""

    async def settle(self, lease: Lease, decisions: Sequence[Decision]) -> list[Settled]:
        """Write verdicts down in one step; decisions on payments that have moved on since are left out of the answer.
        Raises LeaseLost."""

    async def release(self, lease: Lease, wait_s: float) -> None:
        """Hand the lane back: due again after `wait_s` while it has queued work, at its next doubt otherwise."""

    # Results
    async def undelivered(self, limit: int, older_than_s: float) -> list[Undelivered]:
        """Final results that were not confirmed as delivered, oldest first."""

    async def delivered(self, confirmed: Sequence[Undelivered]) -> None:
        """Confirm that results reached the result backend; what has ended anew since it was read is still owed."""

    # Wake-up
    async def wait_for_work(self, timeout_s: float) -> None:
        """Return when a lane became due (a hint, may be early or missed) or after the timeout."""
