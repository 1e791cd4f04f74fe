"""Processes of a storm: each in a group of its own that can be killed, stopped and continued, and that ends with us.

Signals go to nothing but a process that was started here and its own descendants in the same group.
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final

from cli.guarded import KILL_GROUP, THROW_AWAY, Guarded

# A stopped process would not hear a SIGTERM. The directory is thrown away with it: nobody is left to do it.
_ORDERS: Final = KILL_GROUP + THROW_AWAY


class Process:
    """One command with its output in a file; it is killed when this program ends, however that ends."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environ: Mapping[str, str],
        log: Path,
        cwd: Path,
        throw_away: Path | None = None,
        piped: bool = False,
    ) -> None:
        self.name = name
        self.log = log
        self.stopped = False
        with log.open("ab") as out:
            self._guarded = Guarded(
                command,
                _ORDERS,
                directory=throw_away,
                environ=environ,
                cwd=cwd,
                out=subprocess.PIPE if piped else out,
                err=out,
                piped=piped,
            )
        self._process = self._guarded.process

    @property
    def pid(self) -> int:
        """The process, which is also its group."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    @property
    def pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        """Its stdin and stdout, where they are pipes."""
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError(f"{self.name} was not started with pipes")
        return self._process.stdin, self._process.stdout

    @property
    def last_words(self) -> str:
        """The last line that it wrote."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else "it wrote nothing"

    def children(self) -> list[int]:
        """The processes that it has started, in its own group."""
        return [pid for pid, parent, group in _all_processes() if parent == self.pid and group == self.pid]

    def kill(self) -> None:
        """SIGKILL for the whole group; returns when the process has gone."""
        self.signal_group(signal.SIGKILL)
        self._process.wait()
        self.stopped = False

    def kill_children(self) -> int:
        """SIGKILL for what it has started, and not for itself; how many there were."""
        children = self.children()
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return len(children)

    def stop(self) -> None:
        """Let the whole group stand still."""
        self.signal_group(signal.SIGSTOP)
        self.stopped = True

    def resume(self) -> None:
        """Let it go on."""
        self.signal_group(signal.SIGCONT)
        self.stopped = False

    def signal_group(self, number: int) -> None:
        """Send a signal to the group; nothing happens when it has gone."""
        # The process is not yet waited for, so nobody else can have its number.
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def close(self) -> None:
        """Make sure that nothing of it is left."""
        self.kill()
        self._guarded.dismiss()


def groups() -> Mapping[int, int]:
    """The group of every process of this machine."""
    return {pid: group for pid, _, group in _all_processes()}


def _all_processes() -> list[tuple[int, int, int]]:
    """Number, parent and group of every process of this machine."""
    if Path("/proc/self/stat").exists():
        return [row for path in Path("/proc").glob("[0-9]*/stat") if (row := _proc_row(path))]
    told = subprocess.run(["/bin/ps", "-A", "-o", "pid=,ppid=,pgid="], capture_output=True, text=True, check=False)
    rows = [line.split() for line in told.stdout.splitlines()]
    return [(int(pid), int(parent), int(group)) for pid, parent, group in rows]


def _proc_row(path: Path) -> tuple[int, int, int] | None:
    try:
        # The name in brackets may hold anything; what follows the last bracket is state, parent, group.
        words = path.read_text(errors="replace").rpartition(")")[2].split()
    except OSError:  # it has ended
        return None
    return int(path.parent.name), int(words[1]), int(words[2])
