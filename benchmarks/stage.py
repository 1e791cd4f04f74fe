"""What a scenario runs on: a server of its own, an emulator process, Procfile workers and producer processes.

Settings are production's, except that the portals are on loopback. Everything ends with this program.
"""

import asyncio
import compileall
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from redis.asyncio import Redis

from bitrix24.portal import parse_portal
from bitrix24.registry import PortalRegistry
from chaos.processes import Process
from cli.embedded import EmbeddedServer
from cli.procfile import ROOT, command_of
from config.connections import async_redis_client, celery_url
from emulator import Handle
from emulator.settings import DEFAULT_SECRET
from ledger.payment import State
from ledger.redis import RedisLedger

READY_WITHIN_S: Final = 60.0
POLL_S: Final = 0.01
# What our registry can say of a portal without limits: the largest numbers it takes.
UNLIMITED: Final = {"requests_per_second": 1000, "burst": 100_000, "execution_seconds_per_10_min": 600}


@dataclass(frozen=True, slots=True)
class Portal:
    """A portal under its key in the ledger and its address at the emulator."""

    key: str
    authority: str

    @property
    def webhook(self) -> str:
        """The address a client is given."""
        return f"http://{self.authority}/rest/1/{DEFAULT_SECRET}/"


@dataclass(slots=True)
class Stage:
    """Everything that runs."""

    server: EmbeddedServer
    redis: Redis
    ledger: RedisLedger
    registry: PortalRegistry
    portal_handle: Handle
    emulator: Process
    port: int
    tls: str  # the emulator's https address
    ca_file: str
    environ: Mapping[str, str]
    directory: Path
    workers: list[Process] = field(default_factory=list)
    others: list[Process] = field(default_factory=list)
    portals: int = 0

    async def start_workers(self, count: int, **changes: str) -> None:
        """Start Procfile workers and wait until they consume."""
        began = [self._start_worker(changes) for _ in range(count)]
        for worker in began:
            await until(lambda worker=worker: b"runtime.started" in worker.log.read_bytes())  # type: ignore[misc]
            await until(lambda worker=worker: b" ready." in worker.log.read_bytes())  # type: ignore[misc]

    def _start_worker(self, changes: Mapping[str, str]) -> Process:
        number = len(self.workers) + 1
        command = [*command_of("worker"), "--hostname", f"worker{number}@bench"]
        worker = self.start(f"worker-{number}", command, piped=False, **changes)
        self.others.remove(worker)
        self.workers.append(worker)
        return worker

    async def stop_workers(self) -> None:
        """End the workers; what they hold is released in order."""
        for worker in self.workers:
            worker.signal_group(15)
        for worker in self.workers:
            await until(lambda worker=worker: not worker.running)  # type: ignore[misc]
            worker.close()
        self.workers.clear()

    def start(self, name: str, command: Sequence[str], *, piped: bool = False, **changes: str) -> Process:
        """Start any process of this stage."""
        log = self.directory / f"{name}.log"
        environ = {**self.environ, **changes}
        process = Process(name, command, environ=environ, log=log, cwd=self.directory, piped=piped)
        self.others.append(process)
        return process

    async def add_portals(self, count: int, limits: Mapping[str, object] | None = None) -> list[Portal]:
        """New portals as the emulator's template has them, known to registry and ledger."""
        made = []
        for _ in range(count):
            self.portals += 1
            number = self.portals
            portal = Portal(
                f"p{number}", f"127.{number // 60_000 + 1}.{number // 250 % 250}.{number % 250 + 1}:{self.port}"
            )
            description: dict[str, object] = {"webhook": portal.webhook}
            if limits:
                description["limits"] = dict(limits)
            await self.registry.put(parse_portal(portal.key, description, allow_insecure=True))
            await self.ledger.add_lane(portal.key)
            made.append(portal)
        return made

    async def counts(self, portals: Sequence[Portal]) -> dict[State, int]:
        """How many payments of these portals are in each state."""
        total = dict.fromkeys(State, 0)
        for lane in await self.ledger.lanes([portal.key for portal in portals]):
            for state, number in lane.counts.items():
                total[state] += number
        return total

    async def until_paid(
        self, portals: Sequence[Portal], number: int, within_s: float, every_s: float = POLL_S
    ) -> float:
        """Wait until so many are paid; epoch seconds of the look that saw it."""
        end = time.monotonic() + within_s
        while True:
            counts = await self.counts(portals)
            if counts[State.PAID] + counts[State.FAILED] >= number:
                return time.time()
            if time.monotonic() > end:
                raise TimeoutError(f"{counts} after {within_s} s, {number} were expected to be paid")
            await asyncio.sleep(every_s)

    async def until_results(self, ids: Sequence[str], within_s: float) -> float:
        """Wait until a producer can read every result; epoch seconds of the look that saw the last."""
        end = time.monotonic() + within_s
        left = [f"celery-task-meta-{each}" for each in ids]
        while left and time.monotonic() < end:
            found = [value for at in range(0, len(left), 1000) for value in await self.redis.mget(left[at : at + 1000])]
            left = [key for key, value in zip(left, found, strict=True) if not value or b'"SUCCESS"' not in value]
            if left:
                await asyncio.sleep(POLL_S)
        if left:
            raise TimeoutError(f"{len(left)} results of {len(ids)} are missing after {within_s} s")
        return time.time()


class Program:
    """A producer or a peer: it gets ready, waits for one line on stdin, works, and prints one line of JSON."""

    def __init__(self, stage: Stage, module: str, *arguments: str, **changes: str) -> None:
        name = f"{module.rpartition('.')[2]}-{len(stage.others)}"
        self.process = stage.start(name, [sys.executable, "-m", module, *arguments], piped=True, **changes)

    async def ready(self) -> None:
        """Wait until it has imported what it needs."""
        await asyncio.to_thread(self.process.pipes[1].readline)

    async def run(self, task: Mapping[str, object]) -> dict[str, Any]:
        """Let it work and return what it reports."""
        stdin, stdout = self.process.pipes
        stdin.write((json.dumps(task) + "\n").encode())
        stdin.flush()
        line = await asyncio.to_thread(stdout.readline)
        if not line:
            raise RuntimeError(f"{self.process.name} ended: {self.process.last_words}")
        told: dict[str, Any] = json.loads(line)
        return told


@asynccontextmanager
async def a_program(stage: Stage, module: str, *arguments: str, **changes: str) -> AsyncIterator[Program]:
    """A program that is ready to work."""
    program = Program(stage, module, *arguments, **changes)
    try:
        await program.ready()
        yield program
    finally:
        stage.others.remove(program.process)
        program.process.close()


@asynccontextmanager
async def a_stage(*, workers: int = 1, emulated: Mapping[str, object], **changes: str) -> AsyncIterator[Stage]:
    """Start everything; `emulated` is the emulator's template of a portal."""
    from tests.canaries import SECRET_KEY

    for package in ("bitrix24", "cli", "config", "ledger", "limiter", "tasks", "worker"):
        compileall.compile_dir(ROOT / package, quiet=2)
    server = EmbeddedServer()
    with tempfile.TemporaryDirectory(prefix="b24pay-bench-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        stage = None
        emulator = None
        try:
            server.start()
            environ = _environ(server.url, SECRET_KEY, changes)
            emulator, ready = await _start_emulator(directory, environ, emulated)
            port = int(ready["listen"][0].rpartition(":")[2])
            async with (
                async_redis_client(server.url, max_connections=8, decode_responses=False) as redis,
                Handle.connect(f"127.0.0.1:{port}") as handle,
            ):
                ledger = RedisLedger(redis, lease_s=75, retention_s=35 * 86_400, max_attempts=5, quiet_s=135)
                registry = PortalRegistry(redis, [SECRET_KEY])
                tls, ca_file = str(ready["tls"][0]), str(ready["ca_file"])
                stage = Stage(server, redis, ledger, registry, handle, emulator, port, tls, ca_file, environ, directory)
                await stage.start_workers(workers)
                try:
                    yield stage
                finally:
                    await ledger.close()
        finally:
            for process in [*(stage.workers if stage else []), *(stage.others if stage else [])]:
                process.close()
            if emulator is not None:
                emulator.close()
            server.stop()


def _environ(url: str, secret_key: str, changes: Mapping[str, str]) -> dict[str, str]:
    # Nor may every process compile our sources again: an installed program has been compiled.
    ours = ("REDIS_URL", "BROKER_URL", "RESULT_BACKEND_URL", "PYTHONDONTWRITEBYTECODE")
    inherited = {k: v for k, v in os.environ.items() if k not in ours and not k.startswith("B24PAY_")}
    return {
        **inherited,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), inherited.get("PATH", os.defpath)]),
        "PYTHONPATH": str(ROOT),
        "REDIS_URL": url,
        "CELERY_URL": celery_url(url),
        "B24PAY_SECRET_KEYS": secret_key,
        "B24PAY_ALLOW_INSECURE_PORTALS": "1",
        "B24PAY_LOG_FORMAT": "json",
        **changes,
    }


async def _start_emulator(
    directory: Path, environ: Mapping[str, str], emulated: Mapping[str, object]
) -> tuple[Process, dict[str, Any]]:
    config, ready = directory / "emulator.json", directory / "ready.json"
    config.write_text(json.dumps({"template": dict(emulated), "journal_size": 200_000}))
    command = [sys.executable, "-m", "emulator", "--any-loopback", "0", "--tls", "127.0.0.1:0"]
    command += ["--config", str(config), "--ready-file", str(ready)]
    emulator = Process("emulator", command, environ=environ, log=directory / "emulator.log", cwd=directory)
    try:
        await until(ready.exists)
    except TimeoutError:
        emulator.close()
        raise
    told: dict[str, Any] = json.loads(ready.read_text())
    return emulator, told


async def until(holds: Callable[[], bool]) -> None:
    """Wait for a condition; TimeoutError when it does not come."""
    end = time.monotonic() + READY_WITHIN_S
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError("a process did not get ready")
        await asyncio.sleep(POLL_S)
