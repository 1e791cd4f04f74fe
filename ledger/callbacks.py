"""Those who are to be told of a payment's end: what the ledger keeps of it, and the steps of whoever tells them.

A request may bring a destination. When its payment ends, in the same atomic step, a callback to it becomes due, and
stays so until somebody wrote down that it was delivered or given up. Its name is made of what it tells: telling it
again after a crash is telling the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType, Protocol

from ledger.payment import Destination, Handle, Payment

EventId = NewType("EventId", str)
# What is kept of an answer or an error; a receiver writes it, so nobody else bounds it.
REMARK_LIMIT = 200
# How long a delivered one can be asked for again.
DELIVERED_KEPT_S = 7 * 86_400


class CallbackState(StrEnum):
    """Where a callback stands."""

    PENDING = "pending"  # not delivered yet: due, or being sent
    FAILED = "failed"  # given up; a person may have it sent again
    DELIVERED = "delivered"  # the receiver said so


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """One callback as it stood when it was read. `payment` is the row as it had ended."""

    id: EventId
    to: Destination
    handle: Handle  # the request that wished for it
    payment: Payment
    state: CallbackState
    created_at: datetime
    attempt: int  # number of the latest attempt; it grows for ever
    tries: int  # attempts since it became due, or was asked for again
    due_at: datetime | None  # the next attempt; the end of the lease while it is being sent; None: never
    remark: str | None  # what came of the latest attempt
    tried_at: datetime | None  # when that was


@dataclass(frozen=True, slots=True)
class Delivered:
    """The receiver has it."""

    remark: str


@dataclass(frozen=True, slots=True)
class TryAgain:
    """Not delivered; the next attempt is due after `wait_s`."""

    remark: str
    wait_s: float


@dataclass(frozen=True, slots=True)
class GivenUp:
    """Nobody tries it again, unless a person asks for it."""

    remark: str


Outcome = Delivered | TryAgain | GivenUp


@dataclass(frozen=True, slots=True)
class CallbackPage:
    """Some callbacks, newest first; `next` is where the following page begins, None at the end."""

    callbacks: tuple[Callback, ...]
    next: int | None


@dataclass(frozen=True, slots=True)
class CallbackCounts:
    """How many callbacks there are."""

    pending: int
    failed: int
    delivered: int
    oldest: datetime | None  # since when the oldest pending one is so


class CallbackOutbox(Protocol):
    """The callbacks of a ledger. Every step is atomic, timed by the ledger's clock, and safe to repeat."""

    async def take(
        self, limit: int, *, per_host: int, lease_s: float, rooms: Mapping[str, int]
    ) -> tuple[list[Callback], float | None]:
        """Lease due callbacks, at most `per_host` of a host or what `rooms` says of it, and say in how many seconds the
        next is due (None: none is). What is not told of before its lease ends becomes due again."""

    async def told(self, callback: Callback, outcome: Outcome) -> bool:
        """Write down what came of an attempt; False when a later one, or a person, has changed it since."""

    async def find(self, ids: Sequence[str]) -> list[Callback | None]:
        """Read callbacks by their names."""

    async def page(
        self, state: CallbackState, *, host: str = "", since: datetime | None = None, offset: int = 0, limit: int = 100
    ) -> CallbackPage:
        """List callbacks in one state. A page may be short (even empty) although another one follows."""

    async def resend(self, ids: Sequence[str]) -> list[bool]:
        """Have callbacks sent now, with all their attempts, whatever became of them; False where unknown."""

    async def sweep(self, limit: int) -> tuple[int, int]:
        """Look at up to `limit` payments whose end is to be told, and make callbacks due that an older version, which
        knows none, has left out: how many were looked at, and how many were found."""

    async def counts(self) -> CallbackCounts:
        """How many there are."""
