"""
Charts as SVG, drawn here: no script, no inline style (the policy allows none), colours by class from the style sheet.

Each chart has its message as text for whoever does not see it; series differ by pattern (base.html has the hatching),
not by colour alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

_HEIGHT: Final = 120
_STEP: Final = 10  # units between the starts of two columns
_BAR: Final = 8
_LEAST: Final = 1.5  # of a value that is not 0: it must be seen


@dataclass(frozen=True, slots=True)
class Series:
    """One series of a chart; `kind` is a class of the style sheet: accepted, paid, failed, ..."""

    name: str
    kind: str
    values: Sequence[float]


def columns(series: Sequence[Series], *, told: str, line: Sequence[float] = (), top: float | None = None) -> Markup:
    """Series on top of each other, one column for each moment, and a line in front; `told` says what is seen."""
    moments = max((len(each.values) for each in series), default=0)
    totals = [sum(each.values[n] for each in series) for n in range(moments)]
    top = top or nice_top(max([*totals, *line], default=0))
    parts = [_lines(moments)]
    parts += [_column(n, [(each.kind, each.values[n]) for each in series], top) for n in range(moments)]
    if line:
        points = " ".join(f"{n * _STEP + _BAR / 2:.0f},{_HEIGHT - v / top * _HEIGHT:.1f}" for n, v in enumerate(line))
        parts.append(Markup('<polyline class="line front" points="{}"/>').format(points))
    return _svg("chart columns", moments * _STEP, _HEIGHT, told, Markup("").join(parts))


def line(values: Sequence[float], *, told: str, kind: str = "paid") -> Markup:
    """A line with the area below it."""
    top = nice_top(max(values, default=0))
    width = max(1, len(values) - 1) * _STEP
    points = " ".join(f"{n * _STEP},{_HEIGHT - value / top * _HEIGHT:.1f}" for n, value in enumerate(values))
    area = Markup('<polygon class="area {}" points="0,{} {} {},{}"/>').format(kind, _HEIGHT, points, width, _HEIGHT)
    drawn = Markup('<polyline class="line {}" points="{}"/>').format(kind, points)
    return _svg("chart", width, _HEIGHT, told, _lines(len(values)) + area + drawn)


def shares(counts: Mapping[str, int], *, told: str) -> Markup:
    """One bar, divided by what the parts are of the whole; `counts` by class. Parts that are not 0 are never unseen."""
    width, height = 1000, 12
    total = sum(counts.values())
    if not total:
        return _svg("chart shares", width, height, told, Markup('<rect class="track" width="1000" height="12"/>'))
    wide = {kind: max(6.0, count / total * width) for kind, count in counts.items() if count}
    scale = width / sum(wide.values())
    parts, x = list[Markup](), 0.0
    for kind, share in wide.items():
        parts.append(_rect(kind, x, 0, max(2.0, share * scale - 2), height))
        x += share * scale
    return _svg("chart shares", width, height, told, Markup("").join(parts))


def meter(used: float, whole: float, *, told: str) -> Markup:
    """How much of a whole is used; from nine tenths on it is told as nearly full."""
    share = min(1.0, max(0.0, used / whole)) if whole else 0.0
    kind = "full" if share >= 0.9 else "used"  # noqa: PLR2004 - as it says
    track = Markup('<rect class="track" width="100" height="8"/>')
    bar = Markup('<rect class="{}" width="{:.1f}" height="8"/>').format(kind, share * 100)
    return _svg("chart meter", 100, 8, told, track + bar)


def nice_top(highest: float) -> float:
    """The next round number at or above a value, at least 1."""
    if highest <= 1:
        return 1.0
    size = 10.0 ** (len(str(int(highest))) - 1)
    return next(step * size for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if step * size >= highest)


def _column(n: int, parts: Sequence[tuple[str, float]], top: float) -> Markup:
    drawn, y = Markup(""), float(_HEIGHT)
    for kind, value in parts:
        if value <= 0:
            continue
        height = max(_LEAST, value / top * _HEIGHT)
        y -= height
        drawn += _rect(kind, n * _STEP, max(0.0, y), _BAR, height)
    return drawn


def _rect(kind: str, x: float, y: float, width: float, height: float) -> Markup:
    place = Markup('x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"').format(x, y, width, height)
    return Markup('<rect class="fill {}" {}/>').format(kind, place)


def _lines(moments: int) -> Markup:
    drawn = Markup("")
    for y in (0, _HEIGHT // 2, _HEIGHT):
        drawn += Markup('<line class="grid" x1="0" x2="{}" y1="{}" y2="{}"/>').format(moments * _STEP, y, y)
    return drawn


def _svg(kind: str, width: float, height: float, told: str, inner: Markup) -> Markup:
    head = Markup('class="{}" viewBox="0 0 {} {}" role="img" aria-label="{}"').format(kind, width, height, told)
    return Markup('<svg {} preserveAspectRatio="none">{}</svg>').format(head, inner)
