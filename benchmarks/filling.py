"""A ledger with very many payments in all states, written by the steps that producers and drivers use."""

from collections.abc import Sequence
from typing import Final

from ledger.ledger import Lease
from ledger.payment import Evidence, Handle, NewPayment, Payment, PortalKey, Refusal
from ledger.redis import RedisLedger
from ledger.verdict import Decision, Failed, InDoubt, Paid, Verdict
from tasks.payment import new_ids

_AT_ONCE: Final = 400
_SETTLED_AT_ONCE: Final = 1000
PAID: Final = Paid(Evidence.READ_BACK)
REFUSED: Final = Failed(Refusal("ERROR_CHECK_FAILURE", "Pay system with ID=99 not found"))
UNPAID: Final = Failed(Refusal("ACCEPTED_NOT_PAID", "The portal accepted the call but the invoice is still unpaid."))
RARE: Final = Failed(Refusal("ERROR_INTERNAL_INVOICE_NOT_FOUND", "Invoice not found"))
UNSURE: Final = InDoubt(100_000.0)


async def fill(ledger: RedisLedger, portal: str, endings: Sequence[tuple[Verdict, int]], queued: int) -> None:
    """Open so many payments of one portal, end them as it is said, and leave the rest queued."""
    total = sum(count for _, count in endings) + queued
    for first in range(1, total + 1, _AT_ONCE):
        numbers = range(first, min(first + _AT_ONCE, total + 1))
        ids = new_ids(len(numbers))
        await ledger.open([_payment(name, portal, number) for name, number in zip(ids, numbers, strict=True)])
    lease = await _lease(ledger, portal)
    for verdict, count in endings:
        left = count
        while left:
            await ledger.renew([lease])  # many take longer than a lease
            claim = await ledger.claim(lease, min(left, _SETTLED_AT_ONCE))
            await ledger.settle(lease, [_decided(payment, verdict) for payment in claim.payments])
            left -= len(claim.payments)
    # Its doubts are due at once, and would come before the lane that is filled next.
    await ledger.hold(portal, "FILLING", "until all is filled")
    await ledger.release(lease, 0)


async def _lease(ledger: RedisLedger, portal: str) -> Lease:
    leases, _ = await ledger.take(f"filling-{portal}", 1)
    if [lease.portal for lease in leases] != [portal]:
        raise RuntimeError(f"{portal} was to be filled, and {leases} is due")
    return leases[0]


def _payment(name: str, portal: str, number: int) -> NewPayment:
    return NewPayment(id=Handle(name), portal=PortalKey(portal), invoice_id=number, pay_system_id=31)


def _decided(payment: Payment, verdict: Verdict) -> Decision:
    return Decision(payment, verdict)
