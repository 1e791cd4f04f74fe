"""`b24pay import`: every row is accounted for, and no row is paid twice however often the file comes."""

import csv
import signal

from tests.eventually import eventually_sync
from tests.integration.cli.conftest import Terminal

HEADER = "invoice_id,pay_system_id\n"


def test_a_messy_file_pays_its_good_rows_and_tells_the_bad_ones_by_line(terminal: Terminal):
    """BOM, CRLF, semicolons, duplicates, nonsense: exit code 4, a report with every line, each invoice paid once."""
    portal = terminal.house.add_portal(invoices={"canceled": [3]})
    rows = ["invoice_id;pay_system_id", "1;1", "", "2;1", "3;1", "abc;1", "1;1", "4;99", "5;1;1", '"6";1', "1;2"]
    path = terminal.file("messy.csv", "\ufeff" + "\r\n".join(rows))
    said = terminal.json("import", path, "--portal", portal.key, "--wait", "--timeout", "60", "--report", "out.csv")
    assert said.code == 4, said.err
    told = said.document
    assert (told["rows"], told["accepted"], told["joined"] + told["already_paid"], told["rejected"]) == (9, 5, 1, 3)
    assert told["states"] == {"paid": 4, "failed": 2}
    assert told["failed_by_code"] == {"ERROR_PROCESS_REQUEST_RESULT": 1, "ERROR_CHECK_FAILURE": 1}
    for words in ("line 6: ", "line 9: ", "line 11: "):
        assert words in said.err
    with (terminal.directory / "out.csv").open(newline="") as file:
        lines = {row["line"]: row for row in csv.DictReader(file)}
    assert [lines[str(line)]["status"] for line in (2, 4, 5, 6, 7, 8, 9, 10, 11)] == [
        "paid",
        "paid",
        "failed",
        "rejected",
        "paid",
        "failed",
        "rejected",
        "paid",
        "rejected",
    ]
    assert lines["5"]["code"] == "ERROR_PROCESS_REQUEST_RESULT"
    assert portal.tally.effects == 3
    again = terminal.json("import", path, "--portal", portal.key, "--wait")
    assert again.document["resumed"] == 5
    assert again.document["accepted"] == 0
    assert portal.tally.pays == 3


def test_a_file_without_the_right_columns_is_refused_as_a_whole(terminal: Terminal):
    """Exit code 2 with the columns, and nothing reaches the ledger."""
    portal = terminal.house.add_portal()
    said = terminal("import", terminal.file("x.csv", "invoice,system\n1,1\n"), "--portal", portal.key)
    assert said.code == 2
    assert "'invoice', 'system'" in said.err
    assert "invoice_id, pay_system_id" in said.err
    assert sum(portal.counts().values()) == 0


def test_an_unknown_portal_is_refused_before_the_first_row(terminal: Terminal):
    """Exit code 1 and a next step."""
    said = terminal("import", terminal.file("x.csv", HEADER + "1,1\n"), "--portal", "nobody")
    assert said.code == 1
    assert "nobody" in said.err


def test_rows_come_from_stdin_and_name_their_own_portals(terminal: Terminal):
    """`-` is spooled; one file may pay several portals."""
    first, second = terminal.house.add_portal(), terminal.house.add_portal()
    rows = f"portal\tbx_rest_handler\tinvoice_id\n{first.key}\temulator_rest\t1\n{second.key}\temulator_rest\t1\n"
    said = terminal.feed(rows, "import", "-", "--wait", "--timeout", "60", "--json")
    assert said.code == 0, said.err
    assert (first.tally.effects, second.tally.effects) == (1, 1)


def test_a_dry_run_accepts_nothing(terminal: Terminal):
    """Rows are checked and counted; the ledger stays as it was."""
    portal = terminal.house.add_portal()
    path = terminal.file("x.csv", HEADER + "1,1\nabc,1\n")
    said = terminal.json("import", path, "--portal", portal.key, "--dry-run", "--report", "dry.csv")
    assert said.code == 4
    assert said.document["dry_run"]
    assert sum(portal.counts().values()) == 0
    assert "not imported" in (terminal.directory / "dry.csv").read_text()


def test_an_import_that_is_interrupted_while_it_reads_says_how_to_go_on(terminal: Terminal):
    """Ctrl-C between two rows: the next step is told, and the same command completes the file."""
    portal = terminal.house.add_portal()
    terminal("portal", "hold", portal.key)
    path = terminal.file("x.csv", HEADER + "".join(f"{number},1\n" for number in range(1, 40_001)))
    process = terminal.start("import", path, "--portal", portal.key)
    eventually_sync(lambda: sum(portal.counts().values()) > 0)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "same command again" in err
    assert terminal("import", path, "--portal", portal.key).code == 0
    assert sum(portal.counts().values()) == 40_000


def test_a_report_that_cannot_be_written_is_told_before_anything_is_sent(terminal: Terminal):
    """Exit code 2, nothing accepted."""
    portal = terminal.house.add_portal()
    path = terminal.file("x.csv", HEADER + "1,1\n")
    assert terminal("import", path, "--portal", portal.key, "--report", "no/such/place.csv").code == 2
    assert sum(portal.counts().values()) == 0


def test_a_held_portal_ends_the_wait_with_a_next_step(terminal: Terminal):
    """Exit code 75; the payments stay queued."""
    portal = terminal.house.add_portal()
    terminal("portal", "hold", portal.key)
    path = terminal.file("x.csv", HEADER + "1,1\n2,1\n")
    said = terminal("import", path, "--portal", portal.key, "--wait")
    assert said.code == 75
    assert f"portal resume {portal.key}" in said.err


def test_an_interrupted_import_goes_on_where_it_stopped(terminal: Terminal):
    """Ctrl-C while it waits: a word instead of a traceback, nothing lost, and the same command finishes the job."""
    portal = terminal.house.add_portal(latency_s=1.5, pay_s=0.01)
    rows = "".join(f"{number},1\n" for number in range(1, 201))
    path = terminal.file("x.csv", HEADER + rows)
    process = terminal.start("import", path, "--portal", portal.key, "--wait", "--json")
    eventually_sync(lambda: sum(portal.counts().values()) == 200)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert out == ""
    assert "Traceback" not in err
    assert "stays accepted" in err
    said = terminal.json("import", path, "--portal", portal.key, "--wait", "--timeout", "60")
    assert said.code == 0, said.err
    assert said.document["resumed"] == 200
    assert (portal.tally.effects, portal.tally.doubles) == (200, 0)


def test_a_closed_stdout_does_not_stop_an_import(terminal: Terminal):
    """The reader has gone; the payments go on and the exit code is right."""
    portal = terminal.house.add_portal()
    path = terminal.file("x.csv", HEADER + "1,1\n2,1\n")
    process = terminal.start("import", path, "--portal", portal.key, "--wait", "--json")
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(60) == 0
    assert portal.tally.effects == 2
