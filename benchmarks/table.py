"""One scenario's outcome: a table, what binds where a figure is missed, and what a plot shows."""

import sys
from dataclasses import dataclass, field
from typing import Any

THREE_DIGITS = 100
Cell = str | int | float | bool | None


@dataclass(slots=True)
class Table:
    """Rows of one scenario. `wanted` says what the figures should be."""

    name: str
    title: str
    wanted: str
    rows: list[dict[str, Cell]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    series: dict[str, list[tuple[float, float]]] = field(default_factory=dict)  # lines of a plot
    axes: tuple[str, str] = ("", "")

    def add(self, **cells: Cell) -> None:
        """Add a row; it is shown at once, because a scenario takes a while."""
        rounded = {name: round(value, 4) if isinstance(value, float) else value for name, value in cells.items()}
        self.rows.append(rounded)
        sys.stderr.write(f"  {self.name}: " + ", ".join(f"{name} {value}" for name, value in rounded.items()) + "\n")

    @property
    def columns(self) -> list[str]:
        """All columns in the order in which they came up."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def document(self) -> dict[str, Any]:
        """For results.json."""
        return {
            "title": self.title,
            "wanted": self.wanted,
            "rows": self.rows,
            "notes": self.notes,
            "axes": list(self.axes),
            "series": self.series,
        }


def text_of(title: str, rows: list[dict[str, Cell]], columns: list[str]) -> str:
    """A table for a terminal."""
    cells = [columns, *[[shown(row.get(name)) for name in columns] for row in rows]]
    widths = [max(len(line[at]) for line in cells) for at in range(len(columns))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    return "\n".join([title, *lines]) + "\n"


def shown(value: Cell) -> str:
    """A number as people read it."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < THREE_DIGITS else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
