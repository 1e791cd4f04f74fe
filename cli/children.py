"""Child processes of the demonstration: each ends with its parent, however that ends."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

# Nothing of a demonstration is worth waiting for longer; the ledger is thrown away.
_STOP_WITHIN_S: Final = 8.0
_HURRY_WITHIN_S: Final = 1.0
# Waits for the pipe from the parent to close, that is, for the parent's end of whatever kind.
# The directory is thrown away with the process: nobody is left to do it.
_GUARD: Final = 'read -r _; kill -TERM "$1" 2>/dev/null; sleep 2; kill -s KILL -- "-$1" 2>/dev/null; rm -rf -- "$2"'

# A command begins when its guard is there: if we are killed in between, its pipe ends and it never begins.
_BEGIN: Final = 'read -r _ && exec "$@" </dev/null'


class Child:
    """One process in a session of its own, with its output in a file; Ctrl-C at the terminal does not reach it.

    When the parent is killed, the directory is removed with the process.
    """

    def __init__(self, name: str, command: Sequence[str], *, environ: Mapping[str, str], directory: Path) -> None:
        self.name = name
        self._log = directory / f"{name}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own module or the Procfile's line, no shell
                ["/bin/sh", "-c", _BEGIN, "sh", *command],
                env=dict(environ),
                cwd=directory,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._guard = subprocess.Popen(  # noqa: S603 - a fixed script; the arguments are a number and our own directory
            ["/bin/sh", "-c", _GUARD, "sh", str(self._process.pid), str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        if self._process.stdin is not None:
            with suppress(BrokenPipeError), self._process.stdin as begin:
                begin.write(b"begin\n")

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
        self._guard.kill()
        self._guard.wait()
        if self._guard.stdin is not None:
            self._guard.stdin.close()


def stop_all(children: Sequence[Child], *, hurry: bool) -> None:
    """Stop children together, so that their patience adds up only once."""
    for child in children:
        child.ask_to_stop()
    end = time.monotonic() + _STOP_WITHIN_S
    for child in children:
        child.stop(hurry=hurry or time.monotonic() > end)
