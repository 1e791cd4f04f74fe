"""The small parent of a worker: starts it again whenever it ends unasked.

Kombu ends a worker after some restarts of Redis ("Unrecoverable error"), the payments loop may fail, the system may
run out of memory. Nothing here imports a library, so the parent starts at once, stays small and has little to die of.
"""

import json
import os
import re
import resource
import select
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

# Contract: a process stops within 30 s of SIGTERM. The worker itself needs 28 s at most.
STOP_WITHIN_S: Final = 30.0
# The longest pause and a start (1.2 s of processor time) stay under the 5 s within which a worker must consume again
# once Redis is back; a worker that fails at once costs a third of a core at most.
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 2.0
HEALTHY_S: Final = 60.0
# A wrong configuration (78) or command line (2) is the same at the next start: it is told to whoever started us.
FINAL: Final = frozenset({2, 78})
CANNOT_START: Final = 71  # EX_OSERR of sysexits.h
# `celery control shutdown`: whoever stops a worker does not want another one in its place.
DISMISSED: Final = 79
# Stands in the child's command for the number of its end of the pipe.
PIPE: Final = "{pipe}"
# 1000 requests to portals, three pools of Redis connections, and what Python and Celery keep open.
FILES_WANTED: Final = 2048
FILES_ENOUGH: Final = 65_536
CELERY: Final = ("-A", "worker", "worker", "--pool", "threads", "--concurrency", "2")
# Workers that greet each other and listen to each other's events would be paid for by every one of them.
CELERY_QUIET: Final = ("--without-gossip", "--without-mingle")
_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}


class Lines:
    """Writes lines as `config.logging` does, without its libraries; an output that is gone costs the line."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._least = _LEVELS.get(environ.get("B24PAY_LOG_LEVEL", "").lower(), 20)
        self._format = environ.get("B24PAY_LOG_FORMAT", "").lower()

    def info(self, event: str, **fields: object) -> None:
        """What is as it should be."""
        self._write("info", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """What somebody may want to look at."""
        self._write("warning", event, fields)

    def error(self, event: str, **fields: object) -> None:
        """What somebody must look at."""
        self._write("error", event, fields)

    def _write(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        if _LEVELS[level] < self._least:
            return
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        line = json.dumps({"timestamp": now, "level": level, "event": event, "logger": "worker.supervisor", **fields})
        with suppress(OSError):
            if self._format == "console" or (not self._format and os.isatty(1)):
                line = " ".join([now, f"[{level}]", event, *(f"{name}={value}" for name, value in fields.items())])
            os.write(1, f"{line}\n".encode())


log = Lines()


class Supervisor:
    """Keeps one child running until it is told to stop; `run` gives the exit code to leave with."""

    def __init__(self, command: Sequence[str], *, stop_within_s: float = STOP_WITHIN_S) -> None:
        self._command = list(command)
        self._stop_within_s = stop_within_s
        self._signals: list[int] = []
        self._stopping = False
        self._renewing = False
        self._overdue_at: float | None = None
        self._failures = 0
        self._wake = -1

    def run(self) -> int:
        """Start the child, and start it again, until its end is final."""
        with self._listening():
            while True:
                code = self._live()
                if code is not None:
                    return code

    def _live(self) -> int | None:
        """One life of the child; the exit code if it was the last one."""
        began = time.monotonic()
        code = self._watched()
        lived_s = time.monotonic() - began
        if self._stopping:
            log.info("worker.stopped", exit_code=code)
            return 0 if code == -signal.SIGTERM else exit_code(code)
        if code == DISMISSED:
            log.info("worker.stopped", exit_code=code)
            return 0
        if code in FINAL:
            log.error("worker.refused", exit_code=code)
            return code
        if self._renewing:
            self._renewing = False
            log.info("worker.renewed", exit_code=code)
            return None
        self._failures = 1 if lived_s >= HEALTHY_S else self._failures + 1
        pause_s = pause_after(self._failures)
        log.error("worker.restarted", cause=cause_of(code), lived_s=round(lived_s, 1), pause_s=pause_s)
        self._rest(pause_s)
        return 0 if self._stopping else None

    def _watched(self) -> int:
        """Start the child and see it through to its end; the return code as subprocess gives it."""
        self._overdue_at = None
        theirs, ours = os.pipe()
        try:
            child = self._start(theirs)
            if child is None:
                return CANNOT_START
            while child.poll() is None:
                self._sleep(None if self._overdue_at is None else self._overdue_at - time.monotonic())
                self._obey(child)
            return int(child.returncode)
        finally:
            # The end of this pipe tells a child that lives on that its parent has gone.
            os.close(ours)

    def _start(self, pipe: int) -> "subprocess.Popen[bytes] | None":
        command = [word.replace(PIPE, str(pipe)) for word in self._command]
        try:
            child = subprocess.Popen(command, pass_fds=(pipe,), stdin=subprocess.DEVNULL)  # noqa: S603 - our own command
        except OSError as error:  # no memory or no room for a process: both may pass
            log.error("worker.unstartable", error=error.strerror or type(error).__name__)  # noqa: TRY400 - not a logger
            return None
        else:
            log.info("worker.started", pid=child.pid)
            return child
        finally:
            os.close(pipe)

    def _obey(self, child: "subprocess.Popen[bytes]") -> None:
        """Do what the signals said, and lose patience with a child that should have ended."""
        while self._signals:
            number = self._signals.pop(0)
            if number == signal.SIGHUP:
                self._renewing = not self._stopping
            elif self._stopping and number == signal.SIGINT:
                child.send_signal(signal.SIGQUIT)  # the second Ctrl-C: Celery's cold shutdown
            else:
                self._stopping = True
            if self._overdue_at is None:
                self._overdue_at = time.monotonic() + self._stop_within_s
                child.send_signal(signal.SIGTERM)
        if self._overdue_at is not None and time.monotonic() >= self._overdue_at and child.poll() is None:
            log.error("worker.overdue", stop_within_s=self._stop_within_s)
            child.kill()
            child.wait()

    def _rest(self, pause_s: float) -> None:
        """Wait before the next start; a signal to stop ends it."""
        end = time.monotonic() + pause_s
        while not self._stopping and (left_s := end - time.monotonic()) > 0:
            self._sleep(left_s)
            while self._signals:  # one by one: another may come meanwhile
                self._stopping |= self._signals.pop(0) != signal.SIGHUP

    def _sleep(self, for_s: float | None) -> None:
        """Until a signal comes, the end of a child among them."""
        select.select([self._wake], [], [], None if for_s is None else max(for_s, 0))
        with suppress(BlockingIOError):
            os.read(self._wake, 512)

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Turn signals into bytes of a pipe, so that none is lost between looking and sleeping."""
        self._wake, writing = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(writing, False)
        before_fd = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        before = {
            number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        }
        before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(before_fd)
            os.close(self._wake)
            os.close(writing)

    def _note(self, number: int, _frame: object) -> None:
        self._signals.append(number)


def pause_after(failures: int) -> float:
    """Seconds before the next start: short at first, then growing to a bound."""
    return min(FIRST_PAUSE_S * 2.0 ** min(failures - 1, 10), LONGEST_PAUSE_S)


def exit_code(code: int) -> int:
    """A shell's number for an end by signal, which subprocess gives as a negative one."""
    return code if code >= 0 else 128 - code


def cause_of(code: int) -> str:
    """Why a child ended, as far as its parent can see."""
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    if code == 0:
        return "it stopped without having been asked to by its supervisor"
    return f"exit code {code}; the lines before this one say why"


def node_name(arguments: Sequence[str]) -> str:
    """The Celery node name that the arguments give, else one that no other worker has: containers share host names.

    The name as Celery reads it (a test compares them): a word without `@` is a host, `%h`, `%n` and `%d` are filled in.
    """
    given = f"worker-{uuid.uuid4().hex[:8]}@{socket.gethostname()}"
    for number, word in enumerate(arguments):
        name, equals, value = word.partition("=")
        if name == "--hostname" and equals:
            given = value
        elif word in {"-n", "--hostname"} and number + 1 < len(arguments):
            given = arguments[number + 1]
        elif word.startswith("-n") and word != "-n":
            given = word.removeprefix("-n")
    return _as_celery_reads_it(given)


def _as_celery_reads_it(given: str) -> str:
    here = socket.gethostname()
    name, at, host = given.partition("@")
    if not at:
        name, host = "", given
    short, _, domain = here.partition(".")
    filled = {"h": here, "n": short, "d": domain, "i": "0", "I": "", "%": "%"}
    # What Celery does not know it refuses by itself, in words.
    return re.sub("%(.)", lambda found: filled.get(found[1], found[0]), f"{name or 'celery'}@{host or here}")


def raise_file_limit() -> int:
    """Raise this process's limit of open files, which the worker inherits, as far as it may; the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_ENOUGH if hard == resource.RLIM_INFINITY else min(hard, FILES_ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        # macOS names a hard limit that it does not grant.
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    if soft != resource.RLIM_INFINITY and soft < FILES_WANTED:
        log.warning("files.scarce", limit=soft, wanted=FILES_WANTED, remedy="raise the hard limit (ulimit -Hn)")
    return soft


def main(arguments: list[str]) -> int:
    """Run a worker with these further arguments of `celery worker` until it is told to stop."""
    if {"--help", "-h"} & set(arguments):
        os.execv(sys.executable, [sys.executable, "-m", "celery", *CELERY, *arguments])  # noqa: S606 - no shell is wanted
    raise_file_limit()
    node = node_name(arguments)
    if note := os.environ.get("WORKER_NODE_FILE"):
        # For health checks, which must ask this worker and no other.
        Path(note).write_text(node, encoding="utf-8")
    given = [sys.executable, "-m", "worker.supervised", PIPE, *CELERY, *CELERY_QUIET]
    log.info("supervisor.started", node=node, pid=os.getpid())
    return Supervisor([*given, *arguments, "--hostname", node.replace("%", "%%")]).run()
