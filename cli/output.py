"""What a command writes: data on stdout, everything else on stderr, and no crash when the reader has gone."""

import contextlib
import functools
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TextIO

import click
from rich.console import Console, RenderableType
from rich.status import Status
from rich.table import Table
from rich.text import Text

Document = Mapping[str, object]
# Without a terminal there is no width to fit; a table then is as wide as it needs to be.
_WIDE: Final = 240


class Output:
    """One command's voice. With `json` every piece of data is one JSON document on a line of its own."""

    def __init__(self, *, json: bool = False, stdout: TextIO | None = None, stderr: TextIO | None = None) -> None:
        self.json = json
        self.closed = False  # the reader of stdout has gone; nobody sees data any more
        self._spinner: Status | None = None
        self._stdout = stdout or sys.stdout
        self._console = _console(self._stdout)
        self.errors = _console(stderr or sys.stderr)

    @property
    def live(self) -> bool:
        """Whether progress may be drawn: only for a person at a terminal, on stderr."""
        return self.errors.is_terminal

    @property
    def watched(self) -> bool:
        """Whether stdout is a person's terminal."""
        return self._console.is_terminal and not self.json

    @property
    def console(self) -> Console:
        """The console behind stdout, for live displays on a terminal."""
        return self._console

    def data(self, document: Document, shown: RenderableType | Callable[[], RenderableType]) -> None:
        """Write one piece of data: the document for scripts, or what is shown to people."""
        if self.json:
            self._write(json.dumps(document, ensure_ascii=False, default=str) + "\n")
        elif not self.closed:
            with self._console.capture() as capture:
                self._console.print(shown() if callable(shown) else shown, soft_wrap=isinstance(shown, str))
            self._write(capture.get())

    def note(self, text: str, style: str = "") -> None:
        """Tell a person something that is not data."""
        try:
            self.errors.print(Text(plain(text), style=style), soft_wrap=True)
        except OSError:
            self._forget(self.errors.file)

    @contextlib.contextmanager
    def busy(self, text: str) -> Iterator[None]:
        """Show that something takes a moment, until the first `done`; a spinner at a terminal, else a line."""
        if not self.live:
            self.note(f"  {text} ...")
            yield
            return
        self._spinner = self.errors.status(f" {text}", spinner="dots")
        self._spinner.start()
        try:
            yield
        finally:
            self._spinner.stop()

    def done(self, text: str) -> None:
        """Tell that a step is done."""
        if self._spinner is not None:
            self._spinner.stop()
        self.note(f"  ✓ {text}", style="green" if self.live else "")

    def _write(self, text: str) -> None:
        if self.closed:
            return
        try:
            self._stdout.write(text)
            self._stdout.flush()
        except (BrokenPipeError, ConnectionResetError):
            self.closed = True
            self._forget(self._stdout)

    @staticmethod
    def _forget(stream: Any) -> None:
        """Point a dead stream at nothing, so that the interpreter does not complain when it flushes at its end."""
        try:
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, stream.fileno())
            os.close(nothing)
        except (OSError, ValueError, AttributeError):
            return


def speaks(command: Callable[..., object]) -> Callable[..., object]:
    """Give a command the option --json and, as its first argument, the Output to speak through."""

    @click.option("--json", "as_json", is_flag=True, help="JSON on stdout: one document, or one per line.")
    @functools.wraps(command)
    def speaking(*, as_json: bool, **given: object) -> object:
        return command(Output(json=as_json), **given)

    return speaking


def plain(text: object) -> str:
    """Text from outside as it may reach a terminal: control characters, and with them escape sequences, are shown."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in str(text))


def cell(value: object, style: str = "") -> Text:
    """A table cell of plain text; None shows as a dash."""
    return Text("-" if value is None or value == "" else plain(value), style=style)


def table(*columns: str, title: str | None = None, numbers: Sequence[str] = ()) -> Table:
    """A table in the one look that every command has; `numbers` names the columns that align right."""
    made = Table(title=title, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False)
    for name in columns:
        made.add_column(name, justify="right" if name in numbers else "left", overflow="fold")
    return made


def facts(document: Mapping[str, object]) -> Table:
    """Names and values of one thing, one a line."""
    made = Table(show_header=False, box=None, pad_edge=False)
    made.add_column(style="dim")
    made.add_column(overflow="fold")
    for name, value in document.items():
        made.add_row(name, value if isinstance(value, Text) else cell(value))
    return made


STATE_STYLES: Final[Mapping[str, str]] = {
    "queued": "cyan",
    "sending": "blue",
    "in_doubt": "yellow",
    "paid": "green",
    "failed": "red",
    "cancelled": "dim",
}


def state(value: str) -> Text:
    """A payment's state in its colour."""
    return Text(value, style=STATE_STYLES.get(value, ""))


def _console(stream: TextIO) -> Console:
    terminal = stream.isatty()
    return Console(file=stream, width=None if terminal else _WIDE, highlight=False, markup=False, emoji=False)
