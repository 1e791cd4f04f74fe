"""`b24pay demo` and `b24pay emulator`: what a stranger tries first."""

import os
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.eventually import eventually_sync
from tests.house import ROOT
from tests.integration.cli.conftest import COMMAND, Said


def start(*arguments: str, temporary: Path) -> "subprocess.Popen[str]":
    """The command in an environment without any setting, with a temporary directory of its own."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)}
    return subprocess.Popen(
        [*COMMAND, *arguments],
        env=environ,
        cwd=temporary,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def left_running(temporary: Path) -> list[str]:
    """Command lines of living processes that were started with this temporary directory."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"TMPDIR={temporary}".encode() in environ.read_bytes().split(b"\0"):
                found.append((environ.parent / "cmdline").read_text())
        except OSError:
            continue  # it ended while we looked, or it is not ours
    return found


@pytest.fixture
def temporary() -> Path:
    """A short path: a server's socket must fit into it."""
    with tempfile.TemporaryDirectory(prefix="b24-", dir="/tmp") as name:
        yield Path(name)


def test_the_demonstration_ends_well_and_leaves_nothing(temporary: Path):
    """Exit code 0, every payment accounted for on both sides, no process and no file left."""
    process = start("demo", "--json", temporary=temporary)
    out, err = process.communicate(timeout=120)
    said = Said(process.returncode, out, err)
    assert said.code == 0, err
    told = said.document
    assert told["ok"]
    assert told["differences"] == []
    assert (told["rows"], told["accepted"], told["rejected"], told["duplicates"]) == (505, 500, 4, 1)
    assert (told["paid"], told["paid_once_at_portal"], told["paid_twice_at_portal"]) == (488, 488, 0)
    assert told["failed_by_code"] == {
        "ERROR_CHECK_FAILURE": 4,
        "ERROR_PROCESS_REQUEST_RESULT": 4,
        "ACCEPTED_NOT_PAID": 4,
    }
    assert (told["in_doubt"], told["http_503"]) == (0, 0)
    eventually_sync(lambda: left_running(temporary) == [])
    assert list(temporary.iterdir()) == []


def test_a_demonstration_that_stays_is_paid_by_curl(temporary: Path):
    """What it prints works as it is: the dashboard, a payment, its callback, the list; Ctrl-C ends it well."""
    process = start("demo", "--stay", temporary=temporary)
    assert process.stderr is not None
    try:
        said: list[str] = []
        while "Callbacks that come" not in (said[-1] if said else ""):
            said.append(process.stderr.readline())
            assert said[-1], said
        guide = "".join(said).partition("In another terminal:")[2].partition("Callbacks")[0]
        dashboard = "".join(said).partition("In a browser: ")[2].partition(" ")[0]
        # The process believes for two seconds that no token was made yet.
        eventually_sync(lambda: "<title>Sign in" in subprocess.check_output(["curl", "-sL", dashboard], text=True))
        done = subprocess.run(["sh", "-ec", guide], capture_output=True, text=True, timeout=30, check=True)
        assert '"invoice_id": 5001' in done.stdout
        assert "b24pay_" in done.stdout
        assert "invoice 5001 of acme, signature verified" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    finally:
        process.kill()
    eventually_sync(lambda: left_running(temporary) == [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_demonstration_leaves_nothing_running(temporary: Path, number: signal.Signals):
    """Whatever ends it, its processes end and its files go; Ctrl-C makes no noise."""
    process = start("demo", temporary=temporary)
    try:
        eventually_sync(lambda: any("worker" in each for each in left_running(temporary)))
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()  # of a process that has ended, nothing
    eventually_sync(lambda: left_running(temporary) == [])
    eventually_sync(lambda: list(temporary.iterdir()) == [])
    if number is not signal.SIGKILL:
        assert process.returncode == 130
        assert "Traceback" not in err
        assert "has been stopped" in err


def test_the_emulator_gets_its_options_and_its_signals(temporary: Path):
    """Everything after `emulator` goes to it; wrong options are its own exit code 2."""
    process = start("emulator", "--listen", "127.0.0.1:0", temporary=temporary)
    assert process.stdout is not None
    assert "emulator.ready" in process.stdout.readline()
    process.terminate()
    assert process.wait(20) == 0
    wrong = start("emulator", "--colour", temporary=temporary)
    assert wrong.wait(20) == 2
