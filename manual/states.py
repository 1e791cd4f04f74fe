"""docs/states.svg: the states of a payment and every arrow of `ARROWS`, drawn; and the legend of its numbers."""

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Final

from ledger.payment import ARROWS, OPEN, State
from manual.markdown import table

_WIDTH: Final = 860
_HEIGHT: Final = 470
_BOX: Final = (150, 54)  # width and height of a state


@dataclass(frozen=True, slots=True)
class Way:
    """How an arrow runs: where it leaves and arrives (relative to the boxes' middles), its bend, and who moves it."""

    leaves: tuple[int, int]
    arrives: tuple[int, int]
    bend: tuple[int, int]
    why: str


PLACES: Final = {
    State.QUEUED: (150, 80),
    State.SENDING: (430, 80),
    State.PAID: (710, 80),
    State.IN_DOUBT: (430, 250),
    State.FAILED: (710, 250),
    State.CANCELLED: (150, 410),
}
WAYS: Final = {
    (State.QUEUED, State.SENDING): Way(
        (75, -10), (-75, -10), (0, 0), "a driver claims it; written down before a byte leaves"
    ),
    (State.SENDING, State.QUEUED): Way((-75, 12), (75, 12), (0, 0), "certainly not executed"),
    (State.SENDING, State.PAID): Way((75, 0), (-75, 0), (0, 0), "proven, or claimed without the right to read"),
    (State.SENDING, State.FAILED): Way((60, 27), (-75, -12), (0, 0), "refused for good"),
    (State.SENDING, State.IN_DOUBT): Way((0, 27), (0, -27), (0, 0), "no trustworthy answer, or the driver died"),
    (State.IN_DOUBT, State.PAID): Way((60, -27), (-60, 27), (40, 30), "read back as paid, or a person says so"),
    (State.IN_DOUBT, State.FAILED): Way(
        (75, 8),
        (-75, 8),
        (0, 0),
        "read back as unpaid after a refusal, five attempts or three deaths, or a person says so",
    ),
    (State.IN_DOUBT, State.QUEUED): Way((-75, -8), (45, 27), (-50, 10), "read back as unpaid after the quiet time"),
    (State.QUEUED, State.IN_DOUBT): Way(
        (12, 27), (-75, 12), (-90, 50), "perhaps sent in a history that the server lost"
    ),
    (State.QUEUED, State.PAID): Way((0, -27), (0, -27), (0, -80), "read first, found paid"),
    (State.QUEUED, State.FAILED): Way((-22, 27), (-20, 27), (-60, 210), "read first, refused"),
    (State.FAILED, State.QUEUED): Way((20, 27), (-52, 27), (-90, 290), "an operator's retry"),
    (State.QUEUED, State.CANCELLED): Way((-68, 27), (-68, -27), (0, 0), "withdrawn before anything was sent"),
}
_STYLE: Final = """
  rect.page { fill: #ffffff } rect.state { fill: #eef2f7; stroke: #44546a; stroke-width: 1.5 }
  rect.end { stroke-width: 3 } path { fill: none; stroke: #44546a; stroke-width: 1.5 }
  marker path { fill: #44546a; stroke: none } circle { fill: #1f4e9c } text { font-family: system-ui, sans-serif }
  text.state { font-size: 17px; fill: #1b2430; text-anchor: middle } text.number { font-size: 11px; fill: #ffffff;
  text-anchor: middle }
  @media (prefers-color-scheme: dark) { rect.page { fill: #1e2129 } rect.state { fill: #2b313d; stroke: #9fb0c8 }
  path { stroke: #9fb0c8 } marker path { fill: #9fb0c8 } text.state { fill: #e8edf5 } }
"""


def picture() -> str:
    """The drawing. An arrow's number is its place in `WAYS`."""
    told = escape("; ".join(f"{a.value} to {b.value}: {way.why}" for (a, b), way in WAYS.items()))
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{told}">',
        f"<style>{_STYLE}</style>",
        (
            '<marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">'
            '<path d="M0 0L10 5L0 10z"/></marker>'
        ),
        f'<rect class="page" width="{_WIDTH}" height="{_HEIGHT}" rx="8"/>',
        *_arrows(),
        *_boxes(),
    ]
    return "\n".join([*lines, "</svg>"]) + "\n"


def legend() -> str:
    """The numbers of the drawing, in words."""
    rows = ((str(n), a.value, b.value, way.why) for n, ((a, b), way) in enumerate(WAYS.items(), start=1))
    return table(["", "from", "to", "when"], rows)


def arrows() -> str:
    """The table of `ARROWS`."""
    rows = ([state.value, ", ".join(sorted(ends)) or "-"] for state, ends in ARROWS.items())
    return table(["from", "may become"], rows)


def _boxes() -> Iterator[str]:
    width, height = _BOX
    size = f'width="{width}" height="{height}" rx="10"'
    for state, (x, y) in PLACES.items():
        kind = "state" if state in OPEN else "state end"
        yield f'<rect class="{kind}" x="{x - width // 2}" y="{y - height // 2}" {size}/>'
        yield f'<text class="state" x="{x}" y="{y + 6}">{state.value}</text>'


def _arrows() -> Iterator[str]:
    for number, ((a, b), way) in enumerate(WAYS.items(), start=1):
        (x1, y1), (x2, y2) = _moved(PLACES[a], way.leaves), _moved(PLACES[b], way.arrives)
        cx, cy = _moved(((x1 + x2) // 2, (y1 + y2) // 2), way.bend)
        # The middle of a quadratic curve lies half-way between its control point and the middle of its ends.
        x, y = (x1 + 2 * cx + x2) // 4, (y1 + 2 * cy + y2) // 4
        yield f'<path d="M{x1} {y1}Q{cx} {cy} {x2} {y2}" marker-end="url(#tip)"/>'
        yield f'<circle cx="{x}" cy="{y}" r="9"/><text class="number" x="{x}" y="{y + 4}">{number}</text>'


def _moved(point: tuple[int, int], by: tuple[int, int]) -> tuple[int, int]:
    return point[0] + by[0], point[1] + by[1]
