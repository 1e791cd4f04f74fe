"""The screen of `b24pay watch`: totals first, then as many lanes as there are lines, each on one line at 80 columns."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from cli.holds import told_held
from cli.output import STATE_STYLES, cell

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from ledger.ledger import LaneView

# Title, heads, totals, what is left out, and the line the cursor stands on.
_OTHER_LINES: Final = 5
_FEWEST_LANES: Final = 3
_COLUMNS: Final[Mapping[str, str]] = {
    "queued": "waiting",
    "sending": "sending",
    "in_doubt": "doubts",
    "failed": "failed",
    "paid": "paid",
}


class Rates:
    """Payments paid a second between two looks, by lane."""

    def __init__(self) -> None:
        self.by_lane: Mapping[str, float] = {}
        self._before: Mapping[str, int] = {}
        self._at_s: float | None = None

    @property
    def total(self) -> float:
        """Of all lanes."""
        return sum(self.by_lane.values())

    def look(self, lanes: "Sequence[LaneView]", now_s: float) -> None:
        """Note a look; a lane that was not there before has no rate yet. What retention forgets does not count."""
        paid = {str(lane.portal): _counts(lane)["paid"] for lane in lanes}
        if self._at_s is not None:
            seconds = max(now_s - self._at_s, 1e-9)
            self.by_lane = {
                name: max(0, count - self._before.get(name, count)) / seconds for name, count in paid.items()
            }
        self._before, self._at_s = paid, now_s


def screen_of(lanes: "Sequence[LaneView]", rates: Rates, *, lines: int, at: str) -> "Table":
    """What one look shows on a terminal of so many lines."""
    from rich.table import Table

    held = sum(lane.held is not None for lane in lanes)
    title = f"{len(lanes):,} portal{'' if len(lanes) == 1 else 's'}, {held:,} held   {at} UTC   Ctrl-C stops"
    shown = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        header_style="bold",
        box=None,
        pad_edge=False,
        expand=True,
    )
    shown.add_column("portal", no_wrap=True, overflow="ellipsis", ratio=2)
    for name in (*_COLUMNS.values(), "per s"):
        shown.add_column(name, justify="right", no_wrap=True, min_width=len(name))
    shown.add_column("lane", no_wrap=True, overflow="ellipsis", ratio=3)
    totals = {name: sum(_counts(lane)[name] for lane in lanes) for name in _COLUMNS}
    shown.add_row(cell("all", "bold"), *_numbers(totals, rates.total), cell(""), end_section=True)
    first = sorted(lanes, key=lambda lane: _urgency(lane, rates))
    room = max(_FEWEST_LANES, lines - _OTHER_LINES)
    for lane in first[:room]:
        numbers = _numbers(_counts(lane), rates.by_lane.get(lane.portal, 0.0))
        shown.add_row(cell(lane.portal), *numbers, _lane_state(lane))
    if len(lanes) > room:
        shown.add_row(cell(f"+ {len(lanes) - room:,} more", "dim"))
    return shown


def _urgency(lane: "LaneView", rates: Rates) -> tuple[object, ...]:
    """The held ones first, then those in doubt, then the busy ones: those are what one looks for."""
    counts = _counts(lane)
    busy = rates.by_lane.get(lane.portal, 0.0)
    return lane.held is None, not counts["in_doubt"], lane.owner is None, lane.due_at is None, -busy, lane.portal


def _counts(lane: "LaneView") -> dict[str, int]:
    return {state.value: count for state, count in lane.counts.items()}


def _numbers(counts: Mapping[str, int], per_s: float) -> "list[Text]":
    made = [cell(_short(counts[name]), STATE_STYLES[name] if counts[name] else "dim") for name in _COLUMNS]
    return [*made, cell(f"{per_s:.1f}", "green" if per_s else "dim")]


def _short(number: int) -> str:
    """At most seven characters, exact up to a million."""
    return f"{number:,}" if number < 1_000_000 else f"{number / 1_000_000:,.2f}M"  # noqa: PLR2004 - as it says


def _lane_state(lane: "LaneView") -> "Text":
    if lane.held:
        return cell(f"held: {told_held(lane.held)}", "yellow")
    if lane.owner:
        return cell("driven", "green")
    return cell("waits" if lane.due_at else "idle", "dim")
