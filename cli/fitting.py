"""A table that knows how much room it needs."""

from typing import Final

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from cli.output import WIDE, facts

# A column of words stays readable down to this width; below it a table is shown row by row.
_NARROWEST: Final = 12


class FittingTable(Table):
    """A table that is shown row by row where the terminal is too narrow to keep its ids and numbers whole."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table, or one list of names and values per row."""
        if len(self.columns) < 3 or self._least(console) <= options.max_width:  # noqa: PLR2004 - two columns are a list
            yield from super().__rich_console__(console, options)
            return
        if self.title:
            yield Text(str(self.title), style="bold")
        names = [str(column.header) for column in self.columns]
        for number, row in enumerate(zip(*(column.cells for column in self.columns), strict=True)):
            if number:
                yield ""
            yield facts(dict(zip(names, row, strict=True)))

    def _least(self, console: Console) -> int:
        """The width at which nothing but columns of words is folded."""
        unlimited, kept = console.options.update(width=WIDE), []
        for column in self.columns:
            width = max(console.measure(each, options=unlimited).maximum for each in (column.header, *column.cells))
            kept.append(width if column.no_wrap else min(width, _NARROWEST))
        return sum(kept) + 2 * (len(kept) - 1)
