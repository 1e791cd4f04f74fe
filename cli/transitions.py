"""The way of one payment, for `b24pay inspect`: what its row proves, and what people did to it by the audit.

The row keeps the latest of each: earlier sendings are counted in it and not kept one by one.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cli.output import STATE_STYLES, cell, state, table
from cli.showing import told

if TYPE_CHECKING:
    from rich.table import Table

    from access.audit import Entry
    from ledger.payment import Payment

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def transitions_of(payment: "Payment", entries: "Sequence[Entry]" = ()) -> list[dict[str, object]]:
    """Each step in order: at (None where only the fact is known), state, by whom, and the evidence for it."""
    steps = [*_of_row(payment), *(_by_person(payment, entry) for entry in entries)]
    # What has no moment is the latest: how the payment stands now.
    steps.sort(key=lambda step: (step[0] is None, step[0] or _LONG_AGO))
    return [
        {"at": at.isoformat(timespec="milliseconds").replace("+00:00", "Z") if at else None, **rest}
        for at, rest in steps
    ]


def shown_transitions(steps: Sequence[Mapping[str, object]]) -> "Table":
    """Them for people, one a line."""
    shown = table("at", "state", "by", "evidence", words=("evidence",))
    for step in steps:
        name = step["state"]
        known = state(str(name)) if name else cell(None)
        shown.add_row(cell(step["at"] or "now"), known, cell(step["by"]), cell(step["evidence"]))
    return shown


_Step = tuple[datetime | None, dict[str, object]]


def _step(at: datetime | None, name: str | None, by: str, evidence: str) -> _Step:
    return at, {"state": name, "by": by, "evidence": evidence}


def _of_row(payment: "Payment") -> list[_Step]:
    from ledger.payment import State

    steps = [_step(payment.enqueued_at, State.QUEUED.value, "producer", "accepted")]
    if payment.sent_at is not None:
        steps.append(_step(payment.sent_at, State.SENDING.value, "worker", _sending(payment)))
    by = "person" if payment.because is not None else "worker"
    match payment.state:
        case State.PAID | State.FAILED | State.CANCELLED:
            ended_by = "person" if payment.state is State.CANCELLED else by
            steps.append(_step(payment.finished_at, payment.state.value, ended_by, _ending(payment)))
        case State.IN_DOUBT:
            steps.append(_step(None, payment.state.value, "worker", _doubt(payment)))
        case State.QUEUED if payment.sent_at is not None:
            steps.append(_step(None, payment.state.value, "ledger", "waits to be sent, or read back, again"))
        case _:
            pass  # the latest step says it
    return steps


def _sending(payment: "Payment") -> str:
    text = f"the latest sending, claim {payment.claim}"
    deaths = payment.deaths
    return text + (f"; workers that died while it was sent: {deaths}" if deaths else "")


def _ending(payment: "Payment") -> str:
    proof = payment.evidence.value if payment.evidence else None
    return ": ".join(filter(None, (proof, told(payment.error), payment.because))) or "withdrawn before it was sent"


def _doubt(payment: "Payment") -> str:
    parts = ["sent, without a trustworthy answer"]
    if payment.error is not None:
        parts.append(f"the portal said {told(payment.error)}")
    if payment.last_read_error is not None:
        parts.append(f"the latest read-back said {told(payment.last_read_error)}")
    if payment.quiet_until is not None:
        parts.append(f"an unpaid counts from {payment.quiet_until:%H:%M:%S} UTC")
    return "; ".join(parts)


def _by_person(payment: "Payment", entry: "Entry") -> _Step:
    before, after = _state_in(entry.before, payment.id), _state_in(entry.after, payment.id)
    parts = [entry.what, f"{before} -> {after}" if before and after else "", entry.outcome.value, entry.why or ""]
    return _step(entry.at, after, entry.who, ", ".join(filter(None, parts)))


def _state_in(told_states: object, payment_id: str) -> str | None:
    """The command line tells the states of several payments by id, the HTTP doors that of the one payment."""
    known = told_states.get(payment_id) if isinstance(told_states, Mapping) else told_states
    return known if isinstance(known, str) and known in STATE_STYLES else None
