"""`b24pay stats` and `watch`: the lanes at a glance, once or live."""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Self

import click

from cli.codes import MOST_FAILURES, failure_document, failures_shown
from cli.exits import Exit
from cli.numbers import Seconds, WholeNumber
from cli.output import STATE_STYLES, Output, cell, group, speaks, table
from cli.screen import Rates, screen_of
from cli.session import Session, open_session, require_portal, run

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table
    from rich.text import Text

    from ledger.ledger import LaneView

_STATES: Final = tuple(STATE_STYLES)
# More lanes than a screen has lines would only scroll away; the totals count all of them.
_SHOWN_LANES: Final = 40


@click.command()
@click.option("--portal", metavar="KEY", help="Only this portal.")
@speaks
def stats(output: Output, portal: str | None) -> int:
    """Count payments by portal and state, and failed ones by code.

    \b
    Examples:
      b24pay stats
      b24pay stats --portal acme --json | jq .totals
      b24pay stats --json | jq -c '.failures[]'
    """

    async def work() -> int:
        async with open_session() as session:
            if portal is not None:
                await require_portal(session, portal)
            lanes = await session.ledger.lanes([portal] if portal else None)
            failures = await session.ledger.figures.failures([portal] if portal else None)
        document = {**_document(lanes), "failures": [failure_document(row) for row in failures[:MOST_FAILURES]]}
        output.data(document, lambda: group(_lanes_table(lanes), *failures_shown(failures)))
        return Exit.DONE

    return run(work())


@click.command()
@click.option("--portal", metavar="KEY", help="Only this portal.")
@click.option(
    "--interval",
    "interval_s",
    default=1.0,
    show_default=True,
    type=Seconds(min=0.1),
    metavar="S",
    help="Seconds from one look to the next.",
)
@click.option("--count", type=WholeNumber(min=1), help="Stop after so many looks; without it, Ctrl-C stops.")
@speaks
def watch(output: Output, portal: str | None, interval_s: float, count: int | None) -> int:
    """Watch the lanes live; with --json, or into a pipe, one snapshot after the other.

    \b
    Examples:
      b24pay watch --interval 5
      b24pay watch --portal acme --count 1 --json
    """

    async def work() -> int:
        async with open_session() as session:
            if portal is not None:
                await require_portal(session, portal)
            await _watch(session, output, [portal] if portal else None, interval_s, count)
        return Exit.DONE

    try:
        return run(work())
    except KeyboardInterrupt:
        return Exit.DONE  # the ordinary way to stop watching


async def _watch(
    session: Session, output: Output, portals: Sequence[str] | None, interval_s: float, count: int | None
) -> None:
    from asyncio import sleep

    rates, looks = Rates(), 0
    with _live(output) if output.watched else _Plain() as shown:
        while True:
            lanes = await session.ledger.lanes(portals)
            rates.look(lanes, time.monotonic())
            looks += 1
            if isinstance(shown, _Plain):
                document = {**_document(lanes), "paid_per_s": round(rates.total, 1)}
                output.data(document, _line(_totals(lanes), rates.total))
            else:
                at = f"{datetime.now(UTC):%H:%M:%S}"
                shown.update(screen_of(lanes, rates, lines=output.console.height, at=at), refresh=True)
            if output.closed or looks == count:
                return
            await sleep(interval_s)


def _live(output: Output) -> "Live":
    from rich.live import Live

    return Live(console=output.console, screen=False, auto_refresh=False)


class _Plain:
    """Stands in for a live display where there is no terminal."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None


def _totals(lanes: Sequence["LaneView"]) -> dict[str, int]:
    return {name: sum(dict(lane.counts).get(name, 0) for lane in lanes) for name in _STATES}  # type: ignore[call-overload]  # a State is its text


def _document(lanes: Sequence["LaneView"]) -> dict[str, object]:
    return {
        "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "totals": _totals(lanes),
        "held": sum(lane.held is not None for lane in lanes),
        "lanes": [
            {
                "portal": lane.portal,
                "payments": {state.value: count for state, count in lane.counts.items()},
                "held": f"{lane.held.code}: {lane.held.text}" if lane.held else None,
                "due_at": lane.due_at.isoformat() if lane.due_at else None,
                "driver": lane.owner,
            }
            for lane in lanes
        ],
    }


def _lanes_table(lanes: Sequence["LaneView"]) -> "Table":
    title = f"{len(lanes)} portal{'' if len(lanes) == 1 else 's'}"
    shown = table("portal", *_STATES, "lane", title=title, numbers=_STATES)
    # The lanes with work first: those are what one looks for.
    busiest = sorted(lanes, key=lambda lane: (lane.held is None, lane.owner is None, lane.due_at is None, lane.portal))
    for lane in busiest[:_SHOWN_LANES]:
        counts = {state.value: count for state, count in lane.counts.items()}
        shown.add_row(cell(lane.portal), *(_count(name, counts[name]) for name in _STATES), _lane_state(lane))
    if len(lanes) > 1:
        totals = _totals(lanes)
        more = f"{len(lanes) - _SHOWN_LANES} more" if len(lanes) > _SHOWN_LANES else ""
        shown.add_section()
        shown.add_row(cell("all", "bold"), *(_count(name, totals[name]) for name in _STATES), cell(more, "dim"))
    return shown


def _count(name: str, number: int) -> "Text":
    from rich.text import Text

    return Text(f"{number:,}", style=STATE_STYLES[name] if number else "dim")


def _lane_state(lane: "LaneView") -> "Text":
    if lane.held:
        return cell(f"held: {lane.held.code}: {lane.held.text}", "yellow")
    if lane.owner:
        return cell("driven", "green")
    return cell("waits" if lane.due_at else "idle", "dim")


def _line(totals: Mapping[str, int], paid_per_s: float) -> str:
    counts = "  ".join(f"{name} {number}" for name, number in totals.items())
    return f"{datetime.now(UTC):%H:%M:%S}  {counts}  {paid_per_s:.1f} paid/s"
