"""The way of one payment, for `b24pay inspect`: what its row tells, and who did what to it by the audit."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from cli.output import STATE_STYLES, cell, state, table

if TYPE_CHECKING:
    from rich.table import Table

    from access.audit import Entry
    from ledger.payment import Payment

# An entry of the audit and the step that it made are timed by two clocks, and one is written behind the other.
_APART: Final = timedelta(seconds=5)
_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)
_Step = tuple[datetime, dict[str, object]]


def transitions_of(payment: "Payment", entries: "Sequence[Entry]" = ()) -> list[dict[str, object]]:
    """Each step in order, as `tasks.result.way_of` tells it; a person's step has the person's name where the audit has
    it. What people did that moved nothing is a step as well."""
    from tasks.result import way_of

    steps = _dated(way_of(payment))
    steps += [_by_person(payment, entry) for entry in entries if not _sign(steps, payment, entry)]
    return [step for _, step in sorted(steps, key=lambda each: each[0])]


def shown_transitions(steps: Sequence[Mapping[str, object]]) -> "Table":
    """Them for people, one a line."""
    shown = table("at", "state", "by", "evidence", words=("evidence",))
    for step in steps:
        name, often = step["state"], step["times"] != 1 and step["at"] is not None
        known = state(str(name)) if name else cell(None)
        evidence = (
            f"{step['evidence']} ({step['times']} times, the latest at this moment)" if often else step["evidence"]
        )
        shown.add_row(cell(step["at"] or "not known"), known, cell(step["by"]), cell(evidence))
    return shown


def _dated(steps: Sequence[dict[str, object]]) -> list[_Step]:
    """What has no moment stays behind what stands before it."""
    moment, dated = _LONG_AGO, list[_Step]()
    for step in steps:
        moment = datetime.fromisoformat(str(step["at"])) if step["at"] else moment
        dated.append((moment, step))
    return dated


def _sign(steps: Sequence[_Step], payment: "Payment", entry: "Entry") -> bool:
    """Name the person in the step that the entry is about; False where it moved nothing that the row knows of."""
    after = _state_in(entry.after, payment.id)
    for at, step in steps:
        if step["by"] == "person" and step["state"] == after and abs(at - entry.at) <= _APART:
            said = _told(payment, entry)
            # A person's word on a doubt stands in the row with its reason; of other steps the audit knows more.
            step["evidence"] = f"{step['evidence']}; {said}" if step["cause"] == "decided" else said
            step["by"] = entry.who
            return True
    return False


def _by_person(payment: "Payment", entry: "Entry") -> _Step:
    at = entry.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    plain = dict.fromkeys(("code", "attempt", "fence"))
    after = _state_in(entry.after, payment.id)
    told = {"state": after, "cause": "acted", "by": entry.who, "evidence": _told(payment, entry)}
    return entry.at, {"at": at, **told, **plain, "times": 1}


def _told(payment: "Payment", entry: "Entry") -> str:
    before, after = _state_in(entry.before, payment.id), _state_in(entry.after, payment.id)
    parts = [entry.what, f"{before} -> {after}" if before and after else "", entry.outcome.value, entry.why or ""]
    return ", ".join(filter(None, parts))


def _state_in(told_states: object, payment_id: str) -> str | None:
    """The command line tells the states of several payments by id, the HTTP doors that of the one payment."""
    known = told_states.get(payment_id) if isinstance(told_states, Mapping) else told_states
    return known if isinstance(known, str) and known in STATE_STYLES else None
