"""What the ledger knows about one request to pay one invoice, and which states it may pass through."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import NewType

PaymentId = NewType("PaymentId", str)
Handle = NewType("Handle", str)
PortalKey = NewType("PortalKey", str)


class State(StrEnum):
    """Where a payment stands; `ARROWS` says where it may go from there."""

    QUEUED = "queued"  # accepted, nothing sent
    SENDING = "sending"  # the pay command may have left this machine
    IN_DOUBT = "in_doubt"  # sent, no trustworthy answer; only a read-back (or a person) decides
    PAID = "paid"  # proven, or claimed where reading is not permitted
    FAILED = "failed"  # refused for good
    CANCELLED = "cancelled"  # withdrawn before anything was sent


ARROWS: Mapping[State, frozenset[State]] = MappingProxyType(
    {
        # A queued payment that must be read first (new key on a paid invoice, or a retry) may end without a send.
        # One that a history we lost may have sent is put in doubt instead of being sent (the epoch guard).
        State.QUEUED: frozenset({State.SENDING, State.CANCELLED, State.PAID, State.FAILED, State.IN_DOUBT}),
        State.SENDING: frozenset({State.PAID, State.FAILED, State.QUEUED, State.IN_DOUBT}),
        State.IN_DOUBT: frozenset({State.PAID, State.FAILED, State.QUEUED}),
        State.PAID: frozenset(),
        State.FAILED: frozenset({State.QUEUED}),
        State.CANCELLED: frozenset(),
    }
)

OPEN = frozenset({State.QUEUED, State.SENDING, State.IN_DOUBT})


class Evidence(StrEnum):
    """Why a payment is called paid."""

    READ_BACK = "read_back"  # PAYED='Y' was seen
    RESPONSE = "response"  # the portal said true and reading is not permitted
    OPERATOR = "operator"  # a person looked and said so; `Payment.because` has the reason


@dataclass(frozen=True, slots=True)
class Destination:
    """Who is told of a payment's end: an address, and its host, which has a signing secret and a pace of its own."""

    host: str  # name or number, in lower case, without the port
    url: str = field(repr=False)  # its query may be a secret of the receiver's


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPayment:
    """A validated request, before the ledger has decided whether it is a payment of its own."""

    id: Handle  # becomes the payment's id unless the request joins another payment
    portal: PortalKey
    invoice_id: int
    pay_system_id: int | None = None
    bx_rest_handler: str | None = None
    idempotency_key: str | None = None
    callback: Destination | None = None  # no part of the content: who asks for the same joins, and is told as well
    traceparent: str | None = None  # W3C trace context of whoever asked; no part of the content


# The portal writes the text of its answers, so nobody else bounds what the ledger keeps of it.
CODE_LIMIT = 100
TEXT_LIMIT = 500


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a payment failed, or would fail if a read-back finds it unpaid: the portal's code or ours, and its text."""

    code: str
    text: str

    def bounded(self) -> "Refusal":
        """What the ledger keeps of it."""
        return Refusal(self.code[:CODE_LIMIT], self.text[:TEXT_LIMIT])


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """One row of the ledger, as it stood when it was read. Instants are aware UTC datetimes."""

    id: PaymentId
    portal: PortalKey
    invoice_id: int
    pay_system_id: int | None
    bx_rest_handler: str | None
    idempotency_key: str | None
    state: State
    attempts: int  # claimed tries that left with a permit
    deaths: int  # how often a driver died while this payment was in `sending`
    enqueued_at: datetime
    sent_at: datetime | None  # the latest claim
    finished_at: datetime | None
    paid_at: datetime | None
    evidence: Evidence | None
    error: Refusal | None  # final in FAILED; in IN_DOUBT what a read-back that says "unpaid" will make of it
    duplicate: bool  # answered from an earlier payment, or found paid before anything was sent
    claim: str  # "<fence>.<number>" of the latest claim, "" before the first
    quiet_until: datetime | None  # before this moment an "unpaid" read-back does not count
    last_read_error: Refusal | None = None  # why the latest read-back gave no answer
    read_at: datetime | None = None  # set by `doubts`: a read-back asked for after this moment says how it stood then
    because: str | None = None  # why a person decided on it
    traceparent: str | None = None  # of the request that it was written for, while it is open
    after: PaymentId | None = None  # to be read first: the paid payment it came after; None for others
    history: str = ""  # what happened to it that the other fields do not tell; `ledger.transitions` reads it
