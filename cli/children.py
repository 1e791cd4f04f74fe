"""Child processes of the demonstration: each ends with its parent, however that ends."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from cli.guarded import KILL_GROUP, TERMINATE, THROW_AWAY, Guarded

# Nothing of a demonstration is worth waiting for longer; the ledger is thrown away.
_STOP_WITHIN_S: Final = 8.0
_HURRY_WITHIN_S: Final = 1.0
# The directory is thrown away with the process: nobody is left to do it.
_ORDERS: Final = TERMINATE + "sleep 2; " + KILL_GROUP + THROW_AWAY


class Child:
    """One process in a session of its own, with its output in a file; Ctrl-C at the terminal does not reach it.

    When the parent is killed, the directory is removed with the process.
    """

    def __init__(self, name: str, command: Sequence[str], *, environ: Mapping[str, str], directory: Path) -> None:
        self.name = name
        self._log = directory / f"{name}.log"
        with self._log.open("wb") as log:
            self._guarded = Guarded(command, _ORDERS, directory=directory, environ=environ, cwd=directory, out=log)
        self._process = self._guarded.process

    @property
    def running(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    @property
    def log(self) -> str:
        """What the process has written so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    @property
    def last_words(self) -> str:
        """The last line that the process wrote."""
        lines = self.log.strip().splitlines()
        return lines[-1] if lines else "it wrote nothing"

    def ask_to_stop(self) -> None:
        """Send SIGTERM and go on."""
        if self.running:
            self._process.terminate()

    def stop(self, *, hurry: bool) -> None:
        """Make sure that the process is gone."""
        self.ask_to_stop()
        try:
            self._process.wait(_HURRY_WITHIN_S if hurry else _STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            # A worker is two processes, the supervisor and its child; the session's group holds both.
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._guarded.dismiss()


def stop_all(children: Sequence[Child], *, hurry: bool) -> None:
    """Stop children together, so that their patience adds up only once."""
    for child in children:
        child.ask_to_stop()
    end = time.monotonic() + _STOP_WITHIN_S
    for child in children:
        child.stop(hurry=hurry or time.monotonic() > end)
