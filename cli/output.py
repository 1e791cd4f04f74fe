"""What a command writes: data on stdout, everything else on stderr, and no crash when the reader has gone.

rich is imported where something is drawn: plain text and JSON for a pipe cost nothing of it.
"""

import contextlib
import functools
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TextIO

import click

from cli.exits import CommandError, Exit

if TYPE_CHECKING:
    from rich.console import Console, Group, RenderableType
    from rich.status import Status
    from rich.table import Table
    from rich.text import Text

Document = Mapping[str, object]
# Without a terminal there is no width to fit: a row stays one line, whatever a portal's error text is like.
WIDE: Final = 10_000


class Output:
    """One command's voice. With `json` every piece of data is one JSON document on a line of its own."""

    def __init__(self, *, json: bool = False, stdout: TextIO | None = None, stderr: TextIO | None = None) -> None:
        self.json = json
        self.closed = False  # the reader of stdout has gone; nobody sees data any more
        self._spinner: Status | None = None
        self._stdout = stdout or sys.stdout or _nothing()
        self._stderr = stderr or sys.stderr or _nothing()

    @cached_property
    def live(self) -> bool:
        """Whether progress may be drawn: only for a person at a terminal, on stderr."""
        return _may_be_terminal(self._stderr) and self.errors.is_terminal

    @property
    def watched(self) -> bool:
        """Whether stdout is a person's terminal."""
        return not self.json and self._is_terminal

    @cached_property
    def _is_terminal(self) -> bool:
        return _may_be_terminal(self._stdout) and self.console.is_terminal

    @cached_property
    def console(self) -> "Console":
        """The console behind stdout, for live displays on a terminal."""
        return _console(self._stdout)

    @cached_property
    def errors(self) -> "Console":
        """The console behind stderr, for progress on a terminal."""
        return _console(self._stderr)

    def data(self, document: Document, shown: "RenderableType | Callable[[], RenderableType]") -> None:
        """Write one piece of data: the document for scripts, or what is shown to people.

        Raises CommandError where stdout takes no more; a reader that has gone is no error.
        """
        if self.closed:
            return
        try:
            self._stdout.write(_line_of(document) if self.json else self._rendered(shown))
            self._stdout.flush()
        except OSError as error:
            self.closed = True
            self._forget(self._stdout)
            if not isinstance(error, BrokenPipeError | ConnectionResetError):
                cause = f"The output cannot be written: {error.strerror}. What the command has done stays done."
                raise CommandError(cause, "Give stdout a place with room, then look again.", Exit.TEMPORARY) from None

    def _rendered(self, shown: "RenderableType | Callable[[], RenderableType]") -> str:
        if isinstance(shown, str) and not self._is_terminal and _is_plain(shown):
            return _unpadded(shown + "\n")
        with self.console.capture() as capture:
            self.console.print(shown() if callable(shown) else shown, soft_wrap=isinstance(shown, str))
        return capture.get() if self._is_terminal else _unpadded(capture.get())

    def note(self, text: str, style: str = "") -> None:
        """Tell a person something that is not data."""
        try:
            if self.live:
                from rich.text import Text

                self.errors.print(Text(plain(text), style=style), soft_wrap=True)
            else:
                self._stderr.write(plain(text) + "\n")
                self._stderr.flush()
        except OSError:
            self._forget(self._stderr)

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


def cell(value: object, style: str = "") -> "Text":
    """A table cell of plain text; None shows as a dash."""
    from rich.text import Text

    return Text("-" if value is None or value == "" else plain(value), style=style)


def table(
    *columns: str, title: str | None = None, numbers: Sequence[str] = (), words: Sequence[str] | None = None
) -> "Table":
    """A table in the one look that every command has.

    `numbers` names the columns that align right, `words` those that may be folded (the last one, where not given).
    """
    from cli.fitting import FittingTable

    made = FittingTable(
        title=title, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False
    )
    folded = columns[-1:] if words is None else words
    for name in columns:
        whole = len(columns) > 2 and name not in folded  # noqa: PLR2004 - two columns are a list
        made.add_column(name, justify="right" if name in numbers else "left", overflow="fold", no_wrap=whole)
    return made


def group(*parts: "RenderableType") -> "Group":
    """Several things below each other."""
    from rich.console import Group

    return Group(*parts)


def facts(document: Mapping[str, object]) -> "Table":
    """Names and values of one thing, one a line."""
    from rich.table import Table
    from rich.text import Text

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


def state(value: str) -> "Text":
    """A payment's state in its colour."""
    from rich.text import Text

    return Text(value, style=STATE_STYLES.get(value, ""))


def _line_of(document: Document) -> str:
    """One line of JSON; what a terminal might obey (control characters, turned text) is escaped."""
    text = json.dumps(document, ensure_ascii=False, default=_plain)
    if not text.isprintable():
        text = "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)
    return text + "\n"


def _plain(value: object) -> str:
    """What JSON has no type for; an instant as RFC 3339 has it."""
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)


def _unpadded(text: str) -> str:
    """Without the blanks that only make columns equally wide."""
    return "\n".join(line.rstrip() for line in text.split("\n"))


def _nothing() -> TextIO:
    """Where text goes when a process was started with its stream closed."""
    return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123 - a stream like stdout, open until the end


def _may_be_terminal(stream: TextIO) -> bool:
    """Whether it is worth asking a console, which also knows what the environment says of terminals."""
    return stream.isatty() or "FORCE_COLOR" in os.environ or "TTY_COMPATIBLE" in os.environ


def _is_plain(text: str) -> bool:
    """Whether a console would print the text as it is."""
    return all(line.isprintable() for line in text.split("\n"))


def _console(stream: TextIO) -> "Console":
    from rich.console import Console

    terminal = stream.isatty()
    return Console(file=stream, width=None if terminal else WIDE, highlight=False, markup=False, emoji=False)
