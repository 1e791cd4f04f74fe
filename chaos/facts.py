"""What is known after a storm: what producers were told, what the ledger says, and what the portals did.

Moments are seconds since the storm began. An invoice is named by its portal's key and its number there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ledger.payment import State


class Invoice(NamedTuple):
    """One invoice of one portal."""

    portal: str
    number: int

    def __str__(self) -> str:
        return f"{self.portal}/{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a producer was told about one request."""

    invoice: Invoice
    handle: str | None  # None: refused
    door: str
    at_s: float  # when the answer came
    text: str = ""  # why it was refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A payment as the ledger has it in the end."""

    id: str
    invoice: Invoice
    state: State
    code: str = ""
    attempts: int = 1
    deaths: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A pay call that has reached a portal and may have run; the caller often cannot know whether it did."""

    invoice: Invoice
    request: int
    arrived_s: float  # its request
    ended_s: float  # when it was booked; where it was not, when the request was answered
    booked: bool = True
    repeat: bool = False  # the invoice was paid already


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A list of invoices that a portal has answered, alone or behind the pays of a batch."""

    portal: str
    numbers: frozenset[int]
    request: int
    arrived_s: float
    answered_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """An invoice as the portal has it in the end."""

    invoice: Invoice
    paid: bool
    effects: int  # how often it was really paid


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What the result backend holds for a handle."""

    handle: str
    celery_state: str
    status: str | None = None  # inside of a SUCCESS
    number: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollback:
    """A power loss: what was acknowledged between these moments may be gone."""

    from_s: float
    to_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything the checker looks at."""

    told: Sequence[Told] = ()
    rows: Sequence[Row] = ()
    handles: Mapping[str, str] = field(default_factory=dict)  # handle -> id of its row
    calls: Sequence[Call] = ()
    reads: Sequence[Read] = ()
    records: Sequence[Record] = ()
    results: Sequence[Result] = ()
    rollbacks: Sequence[Rollback] = ()
    waiting: Mapping[str, str] = field(default_factory=dict)  # handle -> the broker's key that still has its message
    overlaps: int = 0  # calls that the portals themselves saw running beside another for the same invoice
