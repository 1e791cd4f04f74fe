"""What a command writes, to whom, and to a reader who has gone."""

import errno
import io
import json
import os
import sys

import pytest

from cli.exits import CommandError
from cli.output import Output, plain, table


class ClosedPipe(io.StringIO):
    """A stdout whose reader has gone."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_data_goes_to_stdout_and_notes_to_stderr():
    """A script that reads stdout sees nothing but data."""
    out, err = io.StringIO(), io.StringIO()
    output = Output(json=True, stdout=out, stderr=err)
    output.note("by the way")
    output.data({"id": "é"}, "for people")
    assert json.loads(out.getvalue()) == {"id": "é"}
    assert out.getvalue().count("\n") == 1
    assert err.getvalue() == "by the way\n"


def test_people_read_what_is_shown():
    """Without --json the document stays out of sight."""
    out = io.StringIO()
    Output(stdout=out, stderr=io.StringIO()).data({"id": 1}, "one payment")
    assert out.getvalue() == "one payment\n"


def test_a_reader_who_has_gone_stops_the_data_and_nothing_else():
    """A closed pipe is noticed once; the command goes on."""
    output = Output(json=True, stdout=ClosedPipe(), stderr=io.StringIO())
    output.data({"id": 1}, "")
    assert output.closed
    output.data({"id": 2}, "")


def test_a_real_closed_pipe_makes_no_noise():
    """The stream's descriptor points at nothing afterwards, so the interpreter's last flush succeeds."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        output = Output(stdout=stream, stderr=io.StringIO())
        output.data({}, "x" * 100_000)
        assert output.closed
        stream.write("late")
        stream.flush()


def test_text_from_a_portal_cannot_steer_the_terminal():
    """Escape sequences of an error text are shown, not obeyed."""
    assert plain("\x1b[31mred\x07 ок") == "\\x1b[31mred\\x07 ок"


def test_a_table_is_not_cut_without_a_terminal():
    """A long id stays whole in a pipe."""
    out = io.StringIO()
    shown = table("id", "why")
    shown.add_row("f" * 60, "w" * 90)
    Output(stdout=out, stderr=io.StringIO()).data({}, shown)
    assert "f" * 60 in out.getvalue()
    assert "w" * 90 in out.getvalue()


class FullDisk(io.StringIO):
    """A stdout on a disk without room."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("as_json", [True, False])
def test_a_full_disk_is_told_with_what_it_means(as_json: bool):
    """The command's work is done; the exit code says that the answer is missing."""
    output = Output(json=as_json, stdout=FullDisk(), stderr=io.StringIO())
    with pytest.raises(CommandError, match=r"No space left.*stays done") as raised:
        output.data({"id": 1}, "one")
    assert raised.value.code == 75


def test_closed_streams_are_no_reason_to_fail(monkeypatch: pytest.MonkeyPatch):
    """A process may be started with stdout or stderr closed; Python then has None."""
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    output = Output()
    output.data({}, "data")
    output.note("note")


def test_documents_cannot_steer_the_terminal_and_keep_their_meaning():
    """Control characters and turned text arrive as escapes of JSON."""
    out = io.StringIO()
    text = "\x9b31m \u202e ok \U000e0001 ж"
    Output(json=True, stdout=out, stderr=io.StringIO()).data({"text": text}, "")
    assert out.getvalue().rstrip("\n").isprintable()
    assert "ж" in out.getvalue()
    assert json.loads(out.getvalue()) == {"text": text}


def test_lines_have_no_blanks_at_their_ends_without_a_terminal():
    """Scripts and diffs see the words only."""
    out = io.StringIO()
    shown = table("id", "why")
    shown.add_row("1", "long words")
    shown.add_row("2", "x")
    Output(stdout=out, stderr=io.StringIO()).data({}, shown)
    assert [line for line in out.getvalue().splitlines() if line != line.rstrip()] == []


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


PAYMENT_ID = "1b9e6673-f6c4-4451-a9aa-d4b23851befc"


@pytest.mark.parametrize("text", ["", "one line", "two\nlines  ", "✓ ж", "a\tb", "[bold]x[/] :smile: 12", "end\n"])
def test_plain_text_is_written_as_a_console_would(text: str):
    """The short way to a pipe and the long one agree."""
    out, err, console = io.StringIO(), io.StringIO(), io.StringIO()
    output = Output(stdout=out, stderr=err)
    output.data({}, text)
    output.note(text)
    Output(stdout=console, stderr=io.StringIO()).data({}, lambda: text)
    assert out.getvalue() == console.getvalue()
    assert err.getvalue() == plain(text) + "\n"


@pytest.mark.parametrize("forced", [{"FORCE_COLOR": "1"}, {"TTY_COMPATIBLE": "1"}])
def test_a_pipe_that_is_said_to_be_a_terminal_is_taken_for_one(monkeypatch: pytest.MonkeyPatch, forced: dict[str, str]):
    """`b24pay ... | less -R` with FORCE_COLOR=1 shows colours."""
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in forced.items():
        monkeypatch.setenv(name, value)
    output = Output(stdout=io.StringIO(), stderr=io.StringIO())
    assert (output.live, output.watched) == (True, True)


@pytest.mark.parametrize(("columns", "in_a_table"), [(120, True), (80, True), (60, False), (50, False)])
def test_ids_stay_whole_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch, columns: int, in_a_table: bool):
    """An id that is folded cannot be copied: words fold first, then the table is shown row by row."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    shown = table("id", "portal", "invoice", "status", "why", numbers=("invoice",), words=("portal", "why"))
    for _ in range(2):
        shown.add_row(PAYMENT_ID, "acme", "24", "failed", "somebody has a lot to say about this one and says it")
    out = Screen()
    Output(stdout=out, stderr=io.StringIO()).data({}, shown)
    lines = out.getvalue().splitlines()
    assert sum(PAYMENT_ID in line for line in lines) == 2
    assert any("portal" in line and "invoice" in line for line in lines) == in_a_table
