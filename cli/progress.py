"""Progress of an import for a person at a terminal."""

from types import TracebackType
from typing import Self

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from cli.output import STATE_STYLES, Output
from cli.waiting import Standing


class _Rate(ProgressColumn):
    """Things per second, over the last seconds."""

    def render(self, task: Task) -> Text:
        """Blank until there is a rate."""
        rate = task.finished_speed or task.speed
        return Text(f"{rate:,.0f}/s" if rate else "", style="dim")


class ImportProgress:
    """Two bars: rows written down, payments ended; with rate and time left."""

    def __init__(self, output: Output) -> None:
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=32),
            TaskProgressColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            TextColumn("{task.fields[note]}"),
            console=output.errors,
        )
        self._reading: TaskID | None = None
        self._paying: TaskID | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()

    def reading(self, rows: int, *, share: float) -> None:
        """So many rows were taken in, which is this share of the file."""
        expected = max(rows, round(rows / share)) if share > 0 else rows
        if self._reading is None:
            self._reading = self._progress.add_task("Accepting", total=expected, note="")
        self._progress.update(self._reading, completed=rows, total=expected)

    def paying(self, standing: Standing, total: int) -> None:
        """So many of the payments have ended."""
        if self._paying is None:
            self._paying = self._progress.add_task("Paying   ", total=total, note="")
        names = ("paid", "failed", "sending", "in_doubt")
        counts = [(name, standing.states[name]) for name in names if standing.states[name]]
        note = " ".join(f"[{STATE_STYLES[name]}]{name} {count}[/]" for name, count in counts)
        self._progress.update(self._paying, completed=standing.final, note=note)
