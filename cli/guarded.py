"""Processes that end with their parent, however that ends: also when it is killed in the middle of starting them.

A guard, a small shell, waits for the end of a pipe from the parent and then does what it was told. The command itself
begins only when its guard is there: if the parent is killed between the two, the command's own pipe ends first.
"""

import contextlib
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final

# Orders for a guard; $1 is the process, which is also its group, $2 a directory that is thrown away with it, or "".
TERMINATE: Final = 'kill -TERM "$1" 2>/dev/null; '
KILL_GROUP: Final = 'kill -s KILL -- "-$1" 2>/dev/null; '
THROW_AWAY: Final = 'if [ -n "$2" ]; then sleep 0.5; rm -rf -- "$2"; fi'

_WHEN_WE_ARE_GONE: Final = "read -r _; "
# A shell reads no further than the line, so what follows in a pipe is the command's.
_WHEN_GUARDED: Final = 'read -r _ && exec "$@"'
_NOTHING_TO_READ: Final = " </dev/null"


class Guarded:
    """A command in a session of its own, started together with its guard."""

    def __init__(
        self,
        command: Sequence[str],
        orders: str,
        *,
        directory: Path | None = None,
        environ: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        out: IO[bytes] | int = subprocess.DEVNULL,
        err: IO[bytes] | int = subprocess.STDOUT,
        piped: bool = False,
    ) -> None:
        begin = _WHEN_GUARDED + ("" if piped else _NOTHING_TO_READ)
        self.process = subprocess.Popen(  # noqa: S603 - a fixed script in front of our own commands
            ["/bin/sh", "-c", begin, "sh", *command],
            env=None if environ is None else dict(environ),
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=err,
            # Ctrl-C at the terminal is the parent's to handle.
            start_new_session=True,
        )
        self._guard = subprocess.Popen(  # noqa: S603 - our own orders; the arguments are a number and our own directory
            ["/bin/sh", "-c", _WHEN_WE_ARE_GONE + orders, "sh", str(self.process.pid), str(directory or "")],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._begin(piped=piped)

    def dismiss(self) -> None:
        """The process has ended, or the parent sees to it: nobody is needed for it any more."""
        self._guard.kill()
        self._guard.wait()
        for pipe in (self._guard.stdin, self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _begin(self, *, piped: bool) -> None:
        stdin = self.process.stdin
        if stdin is None:
            return
        with contextlib.suppress(BrokenPipeError):  # it could not even start: whoever waits for it finds it ended
            stdin.write(b"begin\n")
            stdin.flush()
        if not piped:
            stdin.close()
