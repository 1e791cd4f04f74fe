"""What the API answers with: documents of payments, doubts and portals, and the types that describe them."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from bitrix24.registry import StoredPortal
from ledger.ledger import Held, LaneView
from ledger.payment import Evidence, Payment, Refusal, State
from ledger.transitions import By, Cause
from reconciling.document import document_of
from reconciling.findings import Kind, Page
from reconciling.period import Period
from tasks.result import instant, result_of, way_of

PAYMENTS: Final = "/v1/payments"

Moment = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]


class Answer(BaseModel):
    """What we send: every field, always, and no other."""

    model_config = ConfigDict(extra="forbid", json_schema_serialization_defaults_required=True)


class Reason(Answer):
    """A code and its text: the portal's, or ours."""

    code: str
    text: str


class PaymentDocument(Answer):
    """A payment as the ledger has it."""

    id: str
    portal: str
    invoice_id: int
    pay_system_id: int | None
    bx_rest_handler: str | None
    idempotency_key: str | None
    status: State
    evidence: Evidence | None = Field(description="Why it is called paid.")
    paid_at: Moment | None
    attempts: int
    duplicate: bool = Field(description="The invoice was paid before this request came.")
    enqueued_at: Moment
    sent_at: Moment | None
    finished_at: Moment | None
    error: Reason | None = Field(description="Why it failed; in doubt: what an unpaid invoice will mean.")
    last_read_error: Reason | None = Field(description="Why the latest read-back gave no answer.")
    because: str | None = Field(description="Why a person decided on it.")


class TransitionDocument(Answer):
    """One step of a payment's way."""

    at: Moment | None = Field(description="Null: when is not known.")
    state: State | None = Field(description="Which it came into; null: it stayed as it was, or that is not known.")
    cause: Cause = Field(
        description="`not_recorded`: a worker of an older version was at work; `left_out`: the middle of a long way."
    )
    by: By | None
    evidence: str = Field(description="In words.")
    code: str | None = Field(description="Of a refusal, or of a read-back that gave no answer.")
    attempt: int | None = Field(description="Of a sending.")
    fence: int | None = Field(description="Of the lease that it was sent under.")
    times: int = Field(description="So many of the kind in a row; `at` is that of the latest.")


class PaymentDetails(PaymentDocument):
    """A payment as the ledger has it, and how it came there."""

    transitions: list[TransitionDocument]


class Accepted(Answer):
    """The payment that a request has become, or has joined."""

    id: str = Field(description="Its name everywhere: here, in Celery and on the command line.")
    portal: str
    invoice_id: int
    url: str = Field(description="Where its state is read.")


class ItemAccepted(Answer):
    """What became of one of many."""

    index: int = Field(description="Its place among the payments of the request, from 0.")
    id: str
    outcome: Literal["accepted", "joined", "already_paid"]


class ItemRefused(Answer):
    """Why one of many was refused; the others go on."""

    model_config = ConfigDict(json_schema_extra={"examples": []})

    index: int
    error: "Problem"


class Counts(Answer):
    """How many payments of the request met which outcome."""

    accepted: int
    joined: int
    already_paid: int
    refused: int


class Items(Counts):
    """The outcome of each payment of an array, in order."""

    results: list[ItemAccepted | ItemRefused]


class Problem(BaseModel):
    """RFC 9457: what was refused, why, and what to do."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="`urn:b24pay:problem:NAME`, stable, for programs.")
    title: str
    status: int
    detail: str
    next_step: str
    request_id: str | None = Field(None, description="Found in our log; missing within bulk answers.")
    errors: list[dict[str, str]] | None = Field(
        None, description="Each thing that is wrong: `pointer`, `parameter` or `header`, `rule`, `detail`, `next_step`."
    )


class Hold(Answer):
    """Why a lane waits, and what to do about it."""

    code: str
    text: str
    since: Moment
    next_look_at: Moment | None = Field(
        description="When it is looked at again by itself; null: only a person resumes."
    )
    what_to_do: str


class DoubtDocument(PaymentDocument):
    """A payment of which nobody knows whether it was paid, and what moves it on."""

    since: Moment
    unpaid_counts_from: Moment | None = Field(description="Before this moment nobody may call it unpaid.")
    lane_held: Hold | None
    what_to_do: str


class PaymentPage(Answer):
    """Some payments; more are behind the cursor, as long as there is one."""

    payments: list[PaymentDocument]
    next_cursor: str | None


class DoubtPage(Answer):
    """Some payments in doubt."""

    doubts: list[DoubtDocument]
    next_cursor: str | None


class Waiting(Answer):
    """How many payments of a portal are in which state."""

    queued: int
    sending: int
    in_doubt: int
    paid: int
    failed: int
    cancelled: int


class PortalDocument(Answer):
    """A portal's lane."""

    key: str
    held: Hold | None
    payments: Waiting
    due_at: Moment | None = Field(description="When it wants to be worked on next.")


class PortalPage(Answer):
    """Some portals in the order of their keys."""

    portals: list[PortalDocument]
    next_cursor: str | None


class Limits(Answer):
    """What the portal admits."""

    requests_per_second: float
    burst: int
    execution_seconds_per_10_min: float


class PortalDetails(PortalDocument):
    """A portal's lane, and what is stored of the portal; never its credential."""

    endpoint: str | None
    credential: Literal["webhook", "application"] | None
    plan: str | None
    limits: Limits | None


class Compared(Answer):
    """Payments of a page by what became of them; each is in one of these."""

    agreed: int
    differing: int
    unreadable: int
    in_doubt: int
    later: int = Field(description="The invoice has a later payment that has ended, which has the say.")
    under_way: int = Field(description="The invoice has an open payment.")
    changed: int = Field(description="Ledger or portal changed between two looks.")


class FindingDocument(Answer):
    """A payment that is told of."""

    kind: Kind
    difference: bool = Field(description="Whether ledger and portal contradict each other.")
    id: str
    invoice_id: int
    status: State = Field(description="What the ledger says.")
    evidence: Evidence | None
    finished_at: Moment | None
    paid_there: bool | None = Field(description="What the portal says; null where it says nothing.")
    paid_there_at: Moment | None
    paid_there_by: str | None = Field(description="The portal's user.")
    read_at: Moment | None
    text: str


class Stopped(Answer):
    """Why nothing can be compared until somebody mends something."""

    code: str
    text: str
    what_to_do: str


class ReconcilePage(Answer):
    """One step of a comparison. With `wait_s` or `stopped` nothing was compared, and the cursor is as it was."""

    portal: str
    since: Moment
    until: Moment
    findings: list[FindingDocument]
    counts: Compared
    next_cursor: str | None
    wait_s: float = Field(description="Ask again with `next_cursor` after so many seconds.")
    wait_reason: str | None
    stopped: Stopped | None


Document = dict[str, object]


def url_of(payment_id: str) -> str:
    """Where a payment is read."""
    return f"{PAYMENTS}/{quote(payment_id, safe='')}"


def accepted(payment: Payment) -> Document:
    """The answer to a request; the same whatever has become of the payment since."""
    place = url_of(payment.id)
    return {"id": payment.id, "portal": payment.portal, "invoice_id": payment.invoice_id, "url": place}


def payment_document(payment: Payment) -> Document:
    """The contract's result, and what else there is to know."""
    return {
        **result_of(payment),
        "idempotency_key": payment.idempotency_key,
        "sent_at": instant(payment.sent_at),
        "error": _reason(payment.error),
        "last_read_error": _reason(payment.last_read_error),
        "because": payment.because,
    }


def payment_details(payment: Payment) -> Document:
    """The same with its way."""
    return {**payment_document(payment), "transitions": way_of(payment)}


def doubt_document(payment: Payment, lane: LaneView | None) -> Document:
    """A payment in doubt, what keeps it, and what to do."""
    held = lane.held if lane else None
    return {
        **payment_document(payment),
        "since": instant(payment.sent_at or payment.enqueued_at),
        "unpaid_counts_from": instant(payment.quiet_until),
        "lane_held": hold_document(payment.portal, held) if held else None,
        "what_to_do": _what_to_do(payment, lane),
    }


def portal_document(lane: LaneView) -> Document:
    """One lane."""
    return {
        "key": lane.portal,
        "held": hold_document(lane.portal, lane.held) if lane.held else None,
        "payments": {state.value: lane.counts[state] for state in State},
        "due_at": instant(lane.due_at),
    }


def portal_details(lane: LaneView, stored: StoredPortal | None) -> Document:
    """One lane and its portal."""
    if stored is None:
        return {**portal_document(lane), "endpoint": None, "credential": None, "plan": None, "limits": None}
    limits = {name: getattr(stored.limits, name) for name in Limits.model_fields}
    kind = "application" if stored.user_id is None else "webhook"
    return {
        **portal_document(lane),
        "endpoint": stored.endpoint,
        "credential": kind,
        "plan": stored.plan,
        "limits": limits,
    }


def hold_document(portal: str, held: Held) -> Document:
    """A hold."""
    goes_on = "Only a person resumes it" if held.probe_at is None else "It is looked at again by itself, or resumed"
    return {
        "code": held.code,
        "text": held.text,
        "since": instant(held.since),
        "next_look_at": instant(held.probe_at),
        "what_to_do": f"{held.remedy or 'Mend the cause.'} {goes_on}: POST /v1/portals/{portal}/resume.",
    }


def reconcile_document(portal: str, period: Period, page: Page, next_cursor: str | None) -> Document:
    """One step of a comparison."""
    stop = page.stop
    return {
        "portal": portal,
        "since": instant(period.since),
        "until": instant(period.until),
        "findings": [document_of(each) for each in page.findings],
        "counts": asdict(page.counts),
        "next_cursor": next_cursor,
        "wait_s": page.wait_s,
        "wait_reason": page.reason or None,
        "stopped": {"code": stop.code, "text": stop.text, "what_to_do": stop.remedy} if stop else None,
    }


def _reason(error: Refusal | None) -> Mapping[str, Any] | None:
    return {"code": error.code, "text": error.text} if error else None


def _what_to_do(payment: Payment, lane: LaneView | None) -> str:
    if lane is None:
        return f"The portal {payment.portal} was removed. Add it again: b24pay portal add {payment.portal}."
    if lane.held is not None:
        return f"Its lane is held. {hold_document(payment.portal, lane.held)['what_to_do']}"
    if payment.last_read_error is None:
        return "Nothing: it is read back by itself. An unpaid counts when the call can no longer run."
    check = f"See what b24pay portal check {payment.portal} says, then POST {_doubt(payment)}/verify"
    return f"{check}; or look into the portal and POST {_doubt(payment)}/resolve."


def _doubt(payment: Payment) -> str:
    return f"/v1/doubts/{quote(payment.id, safe='')}"
