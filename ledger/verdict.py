"""What an answer means for one payment: the closed set of things the driver may ask the ledger to write down.

Adding a member breaks the type check wherever a `match` over `Verdict` ends in `assert_never`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ledger.payment import Evidence, Payment, Refusal, State


@dataclass(frozen=True, slots=True)
class Paid:
    """Proven by a read-back, or claimed by the response where reading is not permitted."""

    evidence: Evidence
    paid_at: datetime | None = None  # the portal's DATE_PAYED; the ledger's clock where it is not known


@dataclass(frozen=True, slots=True)
class Failed:
    """Refused for good."""

    error: Refusal


@dataclass(frozen=True, slots=True)
class Requeue:
    """Certainly not executed: back to the front of its lane. The attempt is given back unless `spent`."""

    spent: bool = False


@dataclass(frozen=True, slots=True)
class InDoubt:
    """Sent without a trustworthy answer: only a read-back decides.

    `quiet_s` counts from the claim (the ledger's clock): how long an "unpaid" does not count, 0 where the portal has
    certainly finished with the call. `if_unpaid` is the end that an "unpaid" leads to; None means: send again.
    """

    quiet_s: float
    if_unpaid: Refusal | None = None


@dataclass(frozen=True, slots=True)
class Unpaid:
    """A read-back said PAYED='N'.

    The ledger itself decides by its own clock: before `quiet_until` the payment stays in doubt until then; after it
    the payment fails with `if_unpaid` where one was recorded, goes back to the queue while attempts remain, and
    otherwise fails with code NO_ANSWER.
    """


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A read-back gave no answer about this invoice: it stays in doubt and is read again after `retry_s`."""

    error: Refusal
    retry_s: float


Verdict = Paid | Failed | Requeue | InDoubt | Unpaid | Unreadable


@dataclass(frozen=True, slots=True)
class Decision:
    """One payment as it was claimed or read, and the verdict on it."""

    payment: Payment
    verdict: Verdict


def any_answered(decisions: Sequence[Decision]) -> bool:
    """Whether a payment ends by the answer to its call: the portal works."""
    return any(made.payment.state is State.SENDING and isinstance(made.verdict, Paid | Failed) for made in decisions)
