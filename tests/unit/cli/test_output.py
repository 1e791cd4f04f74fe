"""What a command writes, to whom, and to a reader who has gone."""

import io
import json
import os

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
