"""The demonstration's stage: a server, emulated portals and workers as in the Procfile; nothing of it stays."""

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cli.children import Child, stop_all
from cli.embedded import embedded_server
from cli.exits import CommandError, Exit
from cli.procfile import ROOT, command_of
from config.ending import ended_as_by_ctrl_c

if TYPE_CHECKING:
    from config.settings import Settings

HOST: Final = "127.0.0.1"
_READY_WITHIN_S: Final = 30.0
_POLL_S: Final = 0.02
# What a worker says when its payments loop runs.
_WORKER_READY: Final = "runtime.started"


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that runs, and the settings to reach it with."""

    settings: "Settings"
    authorities: tuple[str, ...]  # the emulated portals' addresses
    children: "list[Child]"
    start: "Callable[..., Child]"  # one more process, by name and command, with further variables

    def check(self) -> None:
        """Raise CommandError when a process has ended before its time."""
        for child in self.children:
            if not child.running:
                cause = f"The process {child.name} has ended: {child.last_words}"
                raise CommandError(cause, "See `b24pay doctor`, then try again.", Exit.TEMPORARY)


@asynccontextmanager
async def set_stage(*, portals: int, workers: int) -> AsyncIterator[Stage]:
    """Start everything; on the way out, whatever the way, everything is stopped and every file removed."""
    with ended_as_by_ctrl_c(), tempfile.TemporaryDirectory(prefix="b24pay-demo-") as name:
        directory = Path(name)
        # Always a server of its own: a demonstration has no business in a REDIS_URL that somebody uses.
        with embedded_server(environ={}) as redis_url:
            environ = _environ(redis_url)
            children: list[Child] = []
            calm = False
            try:
                ready_file = directory / "emulator.json"
                emulator = [sys.executable, "-m", "emulator", "--ready-file", str(ready_file)]
                emulator += ["--listen", "127.0.0.1:0"] * portals
                children.append(Child("emulator", emulator, environ=environ, directory=directory))
                for number in range(1, workers + 1):
                    command = command_of("worker")
                    children.append(Child(f"worker-{number}", command, environ=environ, directory=directory))
                await _until_ready(children, ready_file)
                authorities = tuple(json.loads(ready_file.read_text())["listen"])

                def start(name: str, command: Sequence[str], **more: str) -> Child:
                    child = Child(name, command, environ={**environ, **more}, directory=directory)
                    children.append(child)
                    return child

                yield Stage(_settings(environ), authorities, children, start)
                calm = True
            finally:
                with _undisturbed():
                    stop_all(children, hurry=not calm)


def _environ(redis_url: str) -> Mapping[str, str]:
    """An environment in which only our own settings speak, and our own programs are found first."""
    from cryptography.fernet import Fernet

    ours = ("REDIS_URL", "BROKER_URL", "RESULT_BACKEND_URL")
    inherited = {k: v for k, v in os.environ.items() if k not in ours and not k.startswith("B24PAY_")}
    programs = os.pathsep.join([str(Path(sys.executable).parent), inherited.get("PATH", os.defpath)])
    return {
        **inherited,
        "PATH": programs,
        # The children run in an empty directory: no .env of the developer speaks to them.
        "PYTHONPATH": str(ROOT),
        "REDIS_URL": redis_url,
        "B24PAY_SECRET_KEYS": Fernet.generate_key().decode(),
        "B24PAY_ALLOW_INSECURE_PORTALS": "1",
        "B24PAY_LOG_FORMAT": "json",
        "B24PAY_CALLBACK_HOSTS": HOST,
    }


def _settings(environ: Mapping[str, str]) -> "Settings":
    from config.settings import WORKER, load_settings

    return load_settings(environ, require=WORKER)


async def _until_ready(children: Sequence[Child], ready_file: Path) -> None:
    end = time.monotonic() + _READY_WITHIN_S
    emulator, *workers = children
    while not (ready_file.exists() and all(_WORKER_READY in worker.log for worker in workers)):  # noqa: ASYNC240 - small files
        for child in (emulator, *workers):
            if not child.running or time.monotonic() > end:
                fate = "did not get ready" if child.running else "has ended"
                cause = f"The process {child.name} {fate}: {child.last_words}"
                raise CommandError(cause, "Try again; if it stays, see `b24pay doctor`.", Exit.TEMPORARY)
        await asyncio.sleep(_POLL_S)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """A second Ctrl-C must not leave half of the processes behind; this takes a second at most."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
