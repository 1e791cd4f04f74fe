"""A ledger whose time passes on request, and short ways to bring its payments where a test wants them."""

from collections.abc import Sequence
from typing import Protocol

from ledger.ledger import Accepted, Lease, Ledger, Opened, Settled
from ledger.payment import Evidence, Handle, NewPayment, Payment, PortalKey, Refusal, State
from ledger.verdict import Decision, Failed, InDoubt, Paid, Unpaid, Unreadable, Verdict

PORTAL = "acme"
LEASE_S = 75.0
RETENTION_S = 10_000.0
MAX_ATTEMPTS = 5
QUIET_S = 120.0

PAID = Paid(Evidence.READ_BACK)
REFUSED = Failed(Refusal("ERROR_CHECK_FAILURE", "Pay system with ID=99 not found"))
LOST = InDoubt(QUIET_S)
UNREADABLE = Unreadable(Refusal("ACCESS_DENIED", "Access denied!"), retry_s=30.0)


class World(Protocol):
    """A ledger on a clock that stands still until a test lets time pass."""

    ledger: Ledger

    async def pass_time(self, seconds: float) -> None:
        """Let time pass for everything the ledger knows."""

    async def restart_server(self) -> None:
        """The server comes back as another one."""

    async def empty(self) -> None:
        """The server forgets everything, as after FLUSHALL; its clients remember what they know."""

    def another(self) -> Ledger:
        """The same ledger as another process has it."""

    async def lose_due(self, portal: str) -> None:
        """Damage: the due-set forgets a lane."""

    async def forget_lease(self, portal: str) -> None:
        """Damage: a leased lane is due now."""

    async def lose_record(self, handle: str) -> None:
        """Damage: the record of a payment is gone, evicted or deleted by somebody."""


def an_ask(handle: str = "h1", **changes: object) -> NewPayment:
    """A request to pay invoice 1 by pay system 31."""
    plain: dict[str, object] = {"portal": PORTAL, "invoice_id": 1, "pay_system_id": 31}
    return NewPayment(id=Handle(handle), **(plain | changes))  # type: ignore[arg-type]  # the tests name real fields


async def open_one(world: World, handle: str = "h1", **changes: object) -> Opened:
    """The ledger's answer to one request."""
    [answer] = await world.ledger.open([an_ask(handle, **changes)])
    return answer


async def accepted(world: World, *handles: str, portal: str = PORTAL) -> list[Payment]:
    """New payments of the invoices 1, 2, ... under these handles, in a lane that is there."""
    await world.ledger.add_lane(portal)
    asks = [an_ask(handle, portal=PortalKey(portal), invoice_id=n) for n, handle in enumerate(handles, start=1)]
    answers = await world.ledger.open(asks)
    assert all(isinstance(answer, Accepted) for answer in answers)
    return [answer.payment for answer in answers if isinstance(answer, Accepted)]


async def take_one(world: World, owner: str = "driver") -> Lease:
    """The lease of the one lane that is due."""
    [lease], _ = await world.ledger.take(owner, 10)
    return lease


async def claimed(world: World, *handles: str) -> tuple[Lease, list[Payment]]:
    """Payments in sending, and the lease they were claimed under."""
    await accepted(world, *handles)
    lease = await take_one(world)
    claim = await world.ledger.claim(lease, 100)
    return lease, list(claim.payments)


async def settle(world: World, lease: Lease, payments: Sequence[Payment], verdict: Verdict) -> list[Settled]:
    """Write the same verdict on each payment."""
    return await world.ledger.settle(lease, [Decision(payment, verdict) for payment in payments])


async def ended(world: World, verdict: Verdict, *handles: str) -> list[Payment]:
    """Payments with this verdict, in a lane that nobody drives."""
    lease, payments = await claimed(world, *(handles or ("h1",)))
    settled = await settle(world, lease, payments, verdict)
    await world.ledger.release(lease, 0)
    return [entry.payment for entry in settled]


async def found(world: World, handle: str = "h1") -> Payment:
    """The payment of a handle that must be known."""
    [payment] = await world.ledger.find([handle])
    assert payment is not None
    return payment


async def state_of(world: World, handle: str = "h1") -> State:
    """Where the payment of a handle stands."""
    return (await found(world, handle)).state


async def is_due(world: World) -> bool:
    """Whether a driver that looks now would be given a lane (none is taken)."""
    _, wait_s = await world.ledger.take("onlooker", 0)
    return wait_s == 0.0


async def next_due_s(world: World) -> float | None:
    """In how many seconds the next lane is due."""
    _, wait_s = await world.ledger.take("onlooker", 0)
    return wait_s


async def die(world: World, handle: str = "h1") -> Lease:
    """A driver claims what it may and dies; the next one reads it as unpaid. Its lease."""
    lease = await take_one(world)
    claim = await world.ledger.claim(lease, 10)
    if handle not in {payment.id for payment in claim.payments}:
        claim = await world.ledger.claim(lease, 10, suspect=True)
    assert [payment.id for payment in claim.payments] == [handle]
    await world.pass_time(max(LEASE_S, QUIET_S))
    lease = await take_one(world, "next")
    assert await world.ledger.recover(lease) == 1
    await settle(world, lease, await world.ledger.doubts(lease, 10), Unpaid())
    return lease


async def die_twice(world: World) -> None:
    """Make a suspect of the only payment: two drivers died with it."""
    for _ in range(2):
        await world.ledger.release(await die(world), 0)
