"""Payments that only a read-back or a person moves on: which there are, what keeps them, what to do about it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from cli.holds import how_to_go_on, told_held
from cli.lookups import pages
from cli.output import Output, cell, facts, group, table
from cli.session import Session, require_portal
from cli.showing import document_of, told

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ledger.ledger import LaneView
    from ledger.payment import Payment, Refusal

_DECIDE: Final = "b24pay doubts resolve ID --as paid|unpaid --because TEXT"
_MINUTE_S: Final = 60
_HOUR_S: Final = 3600
_DAY_S: Final = 86_400


def is_open_question(payment: "Payment") -> bool:
    """Whether only a read-back or a person moves it on: in doubt, or to be read before it is sent and not readable."""
    from ledger.payment import State

    if payment.state is State.QUEUED:
        return payment.last_read_error is not None
    return payment.state is State.IN_DOUBT


async def now_of(session: Session) -> datetime:
    """The ledger's clock, by which quiet times and lanes go."""
    seconds, micros = await session.redis.time()
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros)


async def lanes_of(session: Session, payments: "Sequence[Payment]") -> "dict[str, LaneView]":
    """The lanes of some payments by portal."""
    return {lane.portal: lane for lane in await session.ledger.lanes(sorted({each.portal for each in payments}))}


@dataclass(slots=True)
class Questions:
    """What a list has shown so far."""

    in_doubt: int = 0
    read_first: int = 0
    lanes: "dict[str, LaneView]" = field(default_factory=dict)
    remedies: dict[str, str] = field(default_factory=dict)  # what keeps payments in doubt -> what to do about it

    def add(self, payments: "Sequence[Payment]", lanes: "Mapping[str, LaneView]") -> None:
        """Count a page."""
        self.lanes |= lanes
        for each in payments:
            self.in_doubt += each.state == "in_doubt"
            self.read_first += each.state == "queued"
            self.remedies.setdefault(*remedy_for(each, lanes.get(each.portal)))

    def total(self) -> str:
        """One line for a person."""
        if not self.remedies:
            return "No payment is in doubt."
        held = sum(lane.held is not None for lane in self.lanes.values())
        parts = [f"{self.in_doubt:,} in doubt"]
        parts += [f"{self.read_first:,} to be read before they are sent"] if self.read_first else []
        parts += [f"{held:,} lane{'' if held == 1 else 's'} held"] if held else []
        return ", ".join(parts) + "."


def what_to_do(questions: Questions) -> "RenderableType":
    """What a person can do about everything that was shown."""
    return group("", "What to do", facts({**questions.remedies, "decide yourself": _DECIDE}))


async def open_questions(session: Session, portal: str | None) -> "AsyncIterator[list[Payment]]":
    """Page by page what only a read-back or a person moves on."""
    from ledger.payment import State

    if portal is not None:
        await require_portal(session, portal)
    lanes = await session.ledger.lanes(None if portal is None else [portal])
    async for page in pages(session, [lane.portal for lane in lanes if lane.counts[State.IN_DOUBT]], ["in_doubt"]):
        yield page
    for lane in lanes:
        async for page in pages(session, [lane.portal] if lane.counts[State.QUEUED] else [], ["queued"]):
            if unread := [each for each in page if is_open_question(each)]:
                yield unread
            # What must be read first stands before what waits to be sent, and nobody wants to see a million of those.
            if not any(each.sent_at or each.after or each.last_read_error for each in page):
                break


def show_questions(
    output: Output, payments: "Sequence[Payment]", lanes: "Mapping[str, LaneView]", now: datetime
) -> None:
    """Them as a table, nothing for none; with --json one document a line."""
    if not payments:
        return
    if output.json:
        for each in payments:
            output.data(document_of_question(each, lanes.get(each.portal)), "")
        return
    shown = table(
        *("id", "portal", "invoice", "since", "unpaid counts", "next read", "latest read"),
        numbers=("invoice",),
        words=("portal", "latest read"),
    )
    for each in payments:
        quiet, since = each.quiet_until, each.sent_at or each.enqueued_at
        counts = f"in {_span(now, quiet)}" if quiet and quiet > now else "now"
        row = (each.id, each.portal, each.invoice_id, f"{_span(since, now)} ago", counts)
        shown.add_row(*map(cell, row), _next_read(lanes.get(each.portal), now), cell(told(each.last_read_error)))
    output.data({}, shown)


def _next_read(lane: "LaneView | None", now: datetime) -> "RenderableType":
    if lane is None or lane.held:
        return cell("held" if lane else "never", "yellow")
    if lane.owner or lane.due_at is None or lane.due_at <= now:
        return cell("now")
    return cell(f"in {_span(now, lane.due_at)}")


def document_of_question(payment: "Payment", lane: "LaneView | None") -> dict[str, object]:
    """A payment for scripts, with what keeps it and what to do."""
    from tasks.result import instant

    return {
        **document_of(payment),
        "since": instant(payment.sent_at or payment.enqueued_at),
        "unpaid_counts_from": instant(payment.quiet_until),
        # Of the lane: a payment of its own is read then, or later.
        "next_read_at": instant(lane.due_at) if lane else None,
        "last_read_error": told(payment.last_read_error),
        "lane_held": told_held(lane.held) if lane and lane.held else None,
        "what_to_do": remedy_for(payment, lane)[1],
    }


def remedy_for(payment: "Payment", lane: "LaneView | None") -> tuple[str, str]:
    """What keeps a payment in doubt, and what a person can do about it."""
    error = payment.last_read_error
    if lane is None:
        return f"{payment.portal} has no lane", f"Add the portal again: b24pay portal add {payment.portal}"
    if lane.held is not None:
        return f"{lane.portal} is held", f"{told_held(lane.held)}. {how_to_go_on(lane.held, lane.portal)}"
    if error is None:
        return "waiting", "Nothing: it is read by itself. An unpaid counts when the call can no longer run."
    return error.code or error.text, f"{_mending(error, payment.portal)} Then: b24pay doubts verify"


def _mending(error: "Refusal", portal: str) -> str:
    from bitrix24.classification import Body, Ending, Where, classify

    if error.code == "NOT_READABLE":
        return "Look for the invoice in the portal. If it is there, give the webhook's user the right to read it."
    ending = Ending(where=Where.REPLY, code=error.code, text=error.text, body=Body.ERROR, reading=True)
    return classify(ending).remedy or f"See what b24pay portal check {portal} says."


def _span(start: datetime, end: datetime) -> str:
    seconds = max(0.0, (end - start).total_seconds())
    if seconds < 2 * _MINUTE_S:
        return f"{seconds:.0f} s"
    if seconds < 2 * _HOUR_S:
        return f"{seconds / _MINUTE_S:.0f} min"
    return f"{seconds / _HOUR_S:.0f} h" if seconds < 2 * _DAY_S else f"{seconds / _DAY_S:.0f} d"
