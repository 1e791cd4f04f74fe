"""What a comparison finds, and how many payments met which fate."""

from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Self

from bitrix24.facts import Invoice
from ledger.payment import Payment
from reconciling.cursor import Cursor


class Kind(StrEnum):
    """What is told of a payment; `DIFFERENCES` are those that somebody must look into."""

    UNPAID_THERE = "unpaid_there"  # paid by the ledger; the portal says unpaid
    PAID_THERE = "paid_there"  # failed or cancelled by the ledger; the portal says paid
    GONE = "gone"  # paid by the ledger; the portal has no such invoice
    UNREADABLE = "unreadable"  # the portal does not say: no difference, and no agreement
    IN_DOUBT = "in_doubt"  # the ledger itself does not know; workers read it back


DIFFERENCES = frozenset({Kind.UNPAID_THERE, Kind.PAID_THERE, Kind.GONE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One payment that is told of. `payment` is as the ledger had it after the portal was asked."""

    kind: Kind
    payment: Payment
    invoice: Invoice | None  # as the portal showed it last; None where it showed nothing
    read_at: datetime | None  # when, by the ledger's clock; None where it was not asked
    text: str  # a sentence for people; redacted

    @property
    def is_difference(self) -> bool:
        """Whether ledger and portal contradict each other."""
        return self.kind in DIFFERENCES


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Payments by what became of them in the comparison; each is in exactly one of these."""

    agreed: int = 0
    differing: int = 0
    unreadable: int = 0
    in_doubt: int = 0
    later: int = 0  # the invoice has a later payment that has ended: that one has the say, in its own period
    under_way: int = 0  # the invoice has an open payment: what the portal shows may be its doing
    changed: int = 0  # ledger or portal changed between two looks; the next comparison tells

    @property
    def payments(self) -> int:
        """All that were walked past."""
        return sum(getattr(self, each.name) for each in fields(self))

    def __add__(self, other: Self) -> "Counts":
        return Counts(**{each.name: getattr(self, each.name) + getattr(other, each.name) for each in fields(self)})


@dataclass(frozen=True, slots=True)
class Stop:
    """Why the portal cannot be read until somebody mends something. `code` is the portal's, or ours."""

    code: str
    text: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One bounded step of a comparison: at most 50 payments, at most a handful of requests.

    `cursor`: where to go on, None at the end.
    `wait_s` > 0: nothing was compared. The portal has nothing to spare just now, or is out of order; ask again with
    `cursor`, which is the one that was given, after so long.
    `stop`: nothing was compared and waiting does not help; when it is mended, ask again with `cursor`.
    """

    cursor: Cursor | None
    findings: tuple[Finding, ...] = ()
    counts: Counts = Counts()
    wait_s: float = 0.0
    reason: str = ""  # of the wait, in words
    stop: Stop | None = None
