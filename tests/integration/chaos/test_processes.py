"""Processes of a storm: a group is killed, stopped and continued as one, and nothing outlives its parent."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.processes import Process
from tests.eventually import eventually_sync

# A parent that starts a child, tells its number, and starts another one when it dies.
PARENT = """
import subprocess, sys
while True:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    print("child", child.pid, flush=True)
    child.wait()
"""
SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def family(tmp_path: Path) -> Iterator[Process]:
    process = Process("family", [sys.executable, "-c", PARENT], environ=os.environ, log=tmp_path / "log", cwd=tmp_path)
    yield process
    process.close()


def child_of(process: Process) -> int:
    eventually_sync(process.children)
    [child] = process.children()
    return child


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has died and is not yet waited for does not."""
    status = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(status.strip()) and not status.startswith("Z")


def test_a_killed_group_leaves_nobody(family: Process) -> None:
    """The child goes with its parent."""
    child = child_of(family)
    family.kill()
    assert not family.running
    eventually_sync(lambda: not is_alive(child))


def test_only_the_child_is_killed(family: Process) -> None:
    """The parent lives on and starts another one."""
    child = child_of(family)
    assert family.kill_children() == 1
    eventually_sync(lambda: family.children() not in ([], [child]))
    assert family.running


def test_a_stopped_group_can_be_killed_and_continued(family: Process) -> None:
    """SIGSTOP holds parent and child."""
    child = child_of(family)
    family.stop()
    assert family.stopped
    status = Path(f"/proc/{child}/stat") if Path("/proc/self/stat").exists() else None
    if status is not None:
        eventually_sync(lambda: status.read_text().rpartition(")")[2].split()[0] == "T")
    family.resume()
    assert not family.stopped
    family.stop()
    family.kill()
    eventually_sync(lambda: not is_alive(child))


def test_nothing_outlives_a_parent_that_was_killed(tmp_path: Path) -> None:
    """The guard ends the group, stopped or not, and throws the directory away."""
    place = tmp_path / "place"
    place.mkdir()
    code = (
        "import os, sys; from pathlib import Path; from chaos.processes import Process\n"
        f"p = Process('s', {SLEEPER!r}, environ=os.environ, log=Path({str(place)!r}) / 'log',\n"
        f"            cwd=Path({str(place)!r}), throw_away=Path({str(place)!r}))\n"
        "p.stop(); print(p.pid, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        parent.send_signal(signal.SIGKILL)
    eventually_sync(lambda: not is_alive(pid))
    eventually_sync(lambda: not place.exists())
