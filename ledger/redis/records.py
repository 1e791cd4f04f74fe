"""How payments, lanes and verdicts look on the wire to and from the scripts (fields: lua/prelude.lua)."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import assert_never

from ledger.ledger import Backlog, Held, LaneView
from ledger.payment import Evidence, Handle, NewPayment, Payment, PaymentId, PortalKey, Refusal, State
from ledger.verdict import Decision, Failed, InDoubt, Paid, Requeue, Unpaid, Unreadable
from ledger.walks import Sought

# What a script answers: nested lists of strings and integers. Lua does not tell an empty list from an empty table.
Reply = str | int | list["Reply"] | dict[str, "Reply"]
Argument = str | int

STATE_LETTERS: Mapping[State, str] = {
    State.QUEUED: "q",
    State.SENDING: "s",
    State.IN_DOUBT: "d",
    State.PAID: "p",
    State.FAILED: "f",
    State.CANCELLED: "c",
}
_STATES = {letter: state for state, letter in STATE_LETTERS.items()}
# A person's word is a `response` with a reason: versions that do not know it read the weaker of what they know.
_EVIDENCE_LETTERS: Mapping[Evidence, str] = {Evidence.READ_BACK: "b", Evidence.RESPONSE: "r", Evidence.OPERATOR: "r"}
_EVIDENCES: Mapping[str, Evidence] = {"b": Evidence.READ_BACK, "r": Evidence.RESPONSE}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


class BadReply(Exception):  # noqa: N818 - a fact about the server's answer
    """A script answered in a shape that its header does not promise."""


def items(reply: Reply) -> list[Reply]:
    """The list that a script promised."""
    if reply == {}:
        return []
    if not isinstance(reply, list):
        raise BadReply(f"a list was expected, not {type(reply).__name__}")
    return reply


def number(reply: Reply) -> int:
    """The integer that a script promised."""
    if not isinstance(reply, (str, int)):
        raise BadReply(f"an integer was expected, not {type(reply).__name__}")
    return int(reply)


def text(reply: Reply) -> str:
    """The string that a script promised."""
    if not isinstance(reply, (str, int)):
        raise BadReply(f"a string was expected, not {type(reply).__name__}")
    return str(reply)


def fields(reply: Reply) -> dict[str, str]:
    """A hash as a script returns it: field, value, field, value, ..."""
    flat = [text(part) for part in items(reply)]
    return dict(zip(flat[::2], flat[1::2], strict=True))


def ms(seconds: float) -> int:
    """Seconds as the scripts count them."""
    return round(seconds * 1000)


def ms_of(instant: datetime) -> int:
    """An instant as the scripts write it."""
    return (instant - _EPOCH) // _MS


def instant(written: str | int) -> datetime:
    """The instant that a script wrote, in UTC."""
    return _EPOCH + int(float(written)) * _MS


def _instant_of(record: Mapping[str, str], field: str) -> datetime | None:
    written = record.get(field)
    return None if written is None else instant(written)


def _refusal_of(record: Mapping[str, str], code: str, description: str) -> Refusal | None:
    return Refusal(record[code], record.get(description, "")) if code in record else None


def _evidence_of(record: Mapping[str, str]) -> Evidence | None:
    if "v" not in record:
        return None
    return Evidence.OPERATOR if "n" in record else _EVIDENCES[record["v"]]


def payment(reply: Reply, read_at: datetime | None = None) -> Payment | None:
    """A row {id, duplicate, fields} as a payment; None for the empty row of an unknown one."""
    row = items(reply)
    if not row:
        return None
    record = fields(row[2])
    return Payment(
        id=PaymentId(text(row[0])),
        portal=PortalKey(record["l"]),
        invoice_id=int(record["i"]),
        pay_system_id=int(record["y"]) if "y" in record else None,
        bx_rest_handler=record.get("b"),
        idempotency_key=record.get("k"),
        state=_STATES[record["s"]],
        attempts=int(record.get("a", 0)),
        deaths=int(record.get("x", 0)),
        enqueued_at=instant(record["e"]),
        sent_at=_instant_of(record, "t"),
        finished_at=_instant_of(record, "f"),
        paid_at=_instant_of(record, "p"),
        evidence=_evidence_of(record),
        error=_refusal_of(record, "g", "m"),
        duplicate=number(row[1]) == 1 or "d" in record,
        claim=record.get("c", ""),
        quiet_until=_instant_of(record, "u"),
        last_read_error=_refusal_of(record, "w", "z"),
        read_at=read_at,
        because=record.get("n"),
        traceparent=record.get("q"),
        after=PaymentId(record["r"]) if record.get("r") else None,
        history=record.get("H", ""),
    )


@lru_cache(maxsize=8)
def _moment(written: str) -> datetime:
    """An instant that all requests of a step have in common."""
    return instant(written)


def accepted(ask: NewPayment, enqueued_at: Reply, after: Sequence[Reply]) -> Payment:
    """The payment that a request has become, as it was written down; `after` holds its `r`, where it has one."""
    paid_before = text(after[0]) if after else ""
    return Payment(
        id=PaymentId(ask.id),
        portal=ask.portal,
        invoice_id=ask.invoice_id,
        pay_system_id=ask.pay_system_id,
        bx_rest_handler=ask.bx_rest_handler,
        idempotency_key=ask.idempotency_key,
        state=State.QUEUED,
        attempts=0,
        deaths=0,
        enqueued_at=_moment(text(enqueued_at)),
        sent_at=None,
        finished_at=None,
        paid_at=None,
        evidence=None,
        error=None,
        duplicate=False,
        claim="",
        quiet_until=None,
        traceparent=ask.traceparent,
        after=PaymentId(paid_before) if paid_before else None,
    )


def known_payment(reply: Reply, read_at: datetime | None = None) -> Payment:
    """A row that cannot be empty."""
    found = payment(reply, read_at)
    if found is None:
        raise BadReply("a payment was expected, not an empty row")
    return found


def payments(replies: Sequence[Reply], read_at: datetime | None = None) -> list[Payment]:
    """Rows that cannot be empty."""
    return [known_payment(reply, read_at) for reply in replies]


def backlog(reply: Sequence[Reply]) -> Backlog:
    """What a lane has to do: waiting, suspects, doubts."""
    waiting, suspects, doubts = map(number, reply)
    return Backlog(waiting, suspects, doubts)


def handles(reply: Reply) -> tuple[Handle, ...]:
    """Names under which a result is waited for."""
    return tuple(Handle(text(handle)) for handle in items(reply))


def with_remedy(text: str, remedy: str) -> str:
    """Both as one text, which is all that older versions know."""
    return " ".join(filter(None, (text, remedy)))


def _held(lane: Mapping[str, str], probe: Reply) -> Held:
    told, remedy = lane["held_text"], lane.get("held_remedy", "")
    # An older version holds and resumes without the newer fields: what an earlier hold left does not fit this one.
    fits = bool(remedy) and told.endswith(remedy)
    probed = bool(probe) and lane.get("probe_of") == lane["held_at"]
    return Held(
        code=lane["held"],
        text=told.removesuffix(remedy).removesuffix(" ") if fits else told,
        since=instant(lane["held_at"]),
        remedy=remedy if fits else "",
        probe_at=instant(text(probe)) if probed else None,
    )


def lane_view(reply: Reply, now: datetime) -> LaneView:
    """A lane {portal, due at, fields, next probe} as an operator sees it."""
    portal, due, hashed, probe = items(reply)
    lane = fields(hashed)
    held = _held(lane, probe) if "held" in lane else None
    leased = "owner" in lane and instant(lane["until"]) > now
    return LaneView(
        portal=PortalKey(text(portal)),
        counts={state: int(lane.get(letter, 0)) for state, letter in STATE_LETTERS.items()},
        held=held,
        due_at=None if held or not due else instant(text(due)),
        owner=lane["owner"] if leased else None,
    )


def sought(wanted: Sought) -> tuple[Argument, ...]:
    """What a walk looks for: code, since, until, and whether only what has an error."""
    since, until = (ms_of(moment) if moment else "" for moment in (wanted.since, wanted.until))
    return wanted.code or "", since, until, int(wanted.troubled)


def result(ended: Payment) -> tuple[Argument, Argument]:
    """What tells a payment's result from that of its retry: state, and when it had finished."""
    return STATE_LETTERS[ended.state], ms_of(ended.finished_at) if ended.finished_at else ""


def _refusal(error: Refusal | None) -> tuple[str, str]:
    if error is None:
        return "", ""
    kept = error.bounded()
    return kept.code, kept.text


def decision(made: Decision) -> tuple[Argument, ...]:
    """A decision as the settle step takes it: id, claim, state, verdict and three parts of the verdict."""
    paid = made.payment
    return (paid.id, paid.claim, STATE_LETTERS[paid.state], *_verdict(made))


def _verdict(made: Decision) -> tuple[Argument, Argument, Argument, Argument]:
    match made.verdict:
        case Paid(evidence, paid_at):
            return "P", _EVIDENCE_LETTERS[evidence], ms_of(paid_at) if paid_at else "", ""
        case Failed(error):
            return "F", *_refusal(error), ""
        case Requeue(spent):
            return "R", int(spent), "", ""
        case InDoubt(quiet_s, if_unpaid):
            return "D", ms(quiet_s), *_refusal(if_unpaid)
        case Unpaid():
            return "U", ms_of(made.payment.read_at) if made.payment.read_at else "", "", ""
        case Unreadable(error, retry_s):
            return "N", *_refusal(error), ms(retry_s)
        case _ as never:
            assert_never(never)
