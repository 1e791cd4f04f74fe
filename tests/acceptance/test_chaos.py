"""The storm that a user can run: nothing is lost, nothing is paid twice, whatever dies; and nothing of it stays."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.eventually import eventually_sync

WITHIN_S = 300
ZERO = {
    "lost": 0,
    "refused": 0,
    "paid_twice": 0,
    "overlapping": 0,
    "repeated_before_read": 0,
    "wrong_verdict": 0,
    "unresolved": 0,
    "wrong_result": 0,
}


def command(*arguments: str) -> list[str]:
    return [str(Path(sys.executable).parent / "b24pay"), "chaos", *arguments]


def storm(*arguments: str) -> tuple[int, Any, str]:
    """Run a storm as a user does: the exit code, the report, and what a person would have seen of details."""
    done = subprocess.run(command(*arguments, "--json"), capture_output=True, text=True, timeout=WITHIN_S, check=False)
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    return done.returncode, report, json.dumps(report["details"][:20], indent=1)


@pytest.mark.timeout(WITHIN_S + 60)
def test_a_storm_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    """2,000 payments, 60 worker kills, 15 Redis kills, 5 power losses, 10 zombies, 5 % lost replies: all zeros."""
    code, report, details = storm(
        *("--payments", "2000", "--worker-kills", "60", "--redis-kills", "15", "--power-losses", "5"),
        *("--zombies", "10", "--lost-replies", "5", "--seed", "20261124", "--keep", str(tmp_path)),
    )
    assert report["findings"] == ZERO, details
    assert (code, report["ok"]) == (0, True)
    payments = report["payments"]
    assert payments["accepted"] == 2000
    assert payments["paid"] + payments["failed_after_three_deaths"] == 2000
    assert payments["failed_otherwise"] == 0
    # A storm that met nobody would prove nothing.
    assert report["deaths"]["with_payments_in_sending"] >= 10
    assert report["deaths"]["payments_in_sending"] >= 100
    assert report["faults"]["redis_kill"]["struck"] == 15
    assert report["faults"]["power_loss"]["struck"] == 5
    assert report["portals"]["replies_lost"] >= 5
    assert json.loads((tmp_path / "report.json").read_text()) == report
    history = [json.loads(line) for line in (tmp_path / "history.ndjson").read_text().splitlines()]
    assert {"worker_kill", "power_loss", "told", "resumed", "calm", "fact.calls"} <= {line["what"] for line in history}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_of_an_interrupted_storm_stays(tmp_path: Path, number: int) -> None:
    """Neither a process nor a file, whether it is asked to end or killed."""
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    # As a background job of a shell script, which ignores Ctrl-C.
    ignoring = ["sh", "-c", 'trap "" INT; exec "$@"', "sh"] if number == signal.SIGTERM else []
    running = subprocess.Popen(
        [*ignoring, *command("--payments", "200")], env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        eventually_sync(lambda: len(processes_in(tmp_path)) > 5)
        running.send_signal(number)
        running.wait(30)
    finally:
        running.kill()
    eventually_sync(lambda: not processes_in(tmp_path))
    eventually_sync(lambda: not list(tmp_path.iterdir()))


def processes_in(directory: Path) -> Sequence[str]:
    """Processes that a storm in this temporary directory has started; their environment names it."""
    mark = f"TMPDIR={directory}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in path.read_bytes() and int(path.parent.name) != os.getpid():
                found.append(path.parent.name)
        except OSError:
            continue
    return found
