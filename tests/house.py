"""A whole house for acceptance tests: a real server, an emulator process, and workers exactly as the Procfile says.

Every test gets a portal of its own (a loopback address), so tests share the processes and nothing else.
"""

import asyncio
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from celery import Celery
from celery.result import AsyncResult
from kombu import Queue

from bitrix24.portal import Portal, parse_portal
from bitrix24.registry import PortalRegistry
from cli.embedded import EmbeddedServer
from cli.guarded import KILL_GROUP, Guarded
from config.connections import async_redis_client, celery_url
from emulator import Handle
from ledger.redis import RedisLedger
from tests.canaries import SEARCH, SECRET_KEY, WEBHOOK_CODE
from tests.eventually import eventually_sync
from tests.sinks import GuardedServer

ROOT = Path(__file__).resolve().parent.parent
T = TypeVar("T")

# Short, so that doubts and leases run out while a test waits; the proportions are those of production.
QUICK = {"B24PAY_HTTP_TOTAL_S": "3", "B24PAY_PORTAL_CUT_S": "1", "B24PAY_LEASE_S": "4"}


def procfile_command(name: str) -> list[str]:
    """The command of one Procfile process, run with this environment's programs."""
    lines = (ROOT / "Procfile").read_text().splitlines()
    [command] = [line.partition(":")[2].strip() for line in lines if line.startswith(f"{name}:")]
    program, *rest = shlex.split(command)
    return [str(Path(sys.executable).parent / program), *rest]


@dataclass
class Worker:
    """One worker as the Procfile starts it: the supervisor and its child, in a process group of their own."""

    guarded: Guarded
    log: Path

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        """The supervisor."""
        return self.guarded.process

    def lines(self) -> list[str]:
        """Everything it has written so far, stdout and stderr."""
        return self.log.read_text().splitlines()

    def events(self) -> list[dict[str, Any]]:
        """Its lines as JSON; a line that is not fails the test."""
        return [json.loads(line) for line in self.lines()]

    def is_consuming(self) -> bool:
        """Whether it has said that it is ready, in whichever life."""
        return self.times_ready() > 0

    def times_ready(self) -> int:
        """How often it has begun to consume: once for each life of the child."""
        return sum(" ready." in line for line in self.lines())

    def never_died(self) -> bool:
        """Whether it works in its first life still: nothing ended the process that consumes."""
        started = sum(event["event"] == "worker.started" for event in self.events())
        return started == 1 and self.process.poll() is None

    def child_pid(self) -> int:
        """The process id of the Celery process in its present life."""
        return int([event["pid"] for event in self.events() if event["event"] == "worker.started"][-1])

    def stop(self, within_s: float = 30.0) -> int:
        """SIGTERM to the supervisor, as a deploy does; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(within_s)

    def kill(self) -> None:
        """SIGKILL of supervisor and child, as a machine that goes down does."""
        with suppress(ProcessLookupError, PermissionError):  # macOS has no permission for what has ended
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.guarded.dismiss()

    def kill_child(self) -> None:
        """SIGKILL of the Celery process alone; the supervisor starts another."""
        os.kill(self.child_pid(), signal.SIGKILL)

    def freeze(self) -> None:
        """SIGSTOP of the group: it holds its leases and does nothing."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT of the group."""
        os.killpg(self.process.pid, signal.SIGCONT)


@dataclass
class House:
    """The processes of one test module."""

    server: EmbeddedServer
    emulator: str  # an address of the emulator, host:port
    directory: Path
    settings: Mapping[str, str]
    workers: list[Worker] = field(default_factory=list)
    portals: int = 0

    @property
    def environment(self) -> dict[str, str]:
        """What every process of ours is started with."""
        ours = {"REDIS_URL": self.server.url, "B24PAY_SECRET_KEYS": SECRET_KEY, "B24PAY_ALLOW_INSECURE_PORTALS": "1"}
        return {**os.environ, **ours, **self.settings}

    def start_worker(self, **changes: str) -> Worker:
        """Start a worker and wait until it consumes."""
        worker = self.begin_worker(f"worker-{len(self.workers)}", **changes)
        self.workers.append(worker)
        eventually_sync(worker.is_consuming)
        return worker

    def begin_worker(self, name: str, **changes: str) -> Worker:
        """Start a worker as the Procfile does; whoever waits for it and ends it is the caller."""
        log = self.directory / f"{name}.log"
        command = [*procfile_command("worker"), "--hostname", f"{name}@house"]
        with log.open("wb") as out:
            guarded = Guarded(command, KILL_GROUP, environ={**self.environment, **changes}, cwd=ROOT, out=out)
        return Worker(guarded, log)

    def celery(self) -> Celery:
        """A producer's Celery application that has none of our code."""
        url = celery_url(self.server.url)
        app = Celery("somebody-else", broker=url, backend=url, set_as_current=False)
        app.conf.task_queues = [Queue("payments")]
        # Celery's results unsubscribe when they are collected, and hang for 20 s when the server has gone by then.
        app.AsyncResult = type("AsyncResult", (AsyncResult,), {"app": app, "__del__": lambda _result: None})
        return app

    def add_portal(self, **settings: object) -> "EmulatedPortal":
        """A new portal at the emulator, known to the ledger."""
        self.portals += 1
        key = f"portal-{self.portals}"
        port = self.emulator.partition(":")[2]
        authority = f"127.0.{self.portals // 250 + 1}.{self.portals % 250 + 1}:{port}"
        wait_for(_configure(self.emulator, authority, settings))
        wait_for(_register(self.server.url, key, authority))
        return EmulatedPortal(self, key, authority)

    def add_application(self, *, settings: Mapping[str, object] | None = None, **oauth: object) -> "EmulatedPortal":
        """A new portal at the emulator that is paid through an OAuth application."""
        portal = self.add_portal(**(settings or {}))
        portal.give(portal.ask(lambda emulator, name: emulator.credential(name, **oauth)))
        return portal

    def add_unreachable_portal(self) -> "EmulatedPortal":
        """A portal at an address where nobody listens."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            authority = f"127.0.0.1:{taken.getsockname()[1]}"
        wait_for(_register(self.server.url, "unreachable", authority))
        return EmulatedPortal(self, "unreachable", authority)

    def close(self) -> None:
        """End every process that was started, and look whether one said or showed a secret."""
        SEARCH.command_lines()
        for worker in self.workers:
            if worker.process.poll() is None:
                with suppress(subprocess.TimeoutExpired, ProcessLookupError):
                    worker.thaw()
                    worker.stop(10)
            worker.kill()
        SEARCH.directory(self.directory)


@dataclass(frozen=True)
class EmulatedPortal:
    """One portal, seen from outside: the emulator's truth."""

    house: House
    key: str
    authority: str

    def ask(self, question: Any) -> Any:
        """Ask the emulator about this portal: `portal.ask(lambda emulator, name: emulator.effects(name))`."""

        async def asked() -> Any:
            async with Handle.connect(self.house.emulator) as handle:
                return await question(handle, self.authority)

        return wait_for(asked())

    def ledger(self, question: Any) -> Any:
        """Ask the ledger: `portal.ledger(lambda ledger: ledger.lanes())`."""

        async def asked() -> Any:
            async with open_ledger(self.house.server.url) as (ledger, _):
                return await question(ledger)

        return wait_for(asked())

    def held(self) -> str | None:
        """The code that the lane is held for."""
        [lane] = self.ledger(lambda ledger: ledger.lanes([self.key]))
        return lane.held.code if lane.held else None

    def register_again(self) -> None:
        """Make the portal known to a ledger that has forgotten it."""
        wait_for(_register(self.house.server.url, self.key, self.authority))

    def give(self, description: Mapping[str, object]) -> None:
        """Store a credential, as `portal add` does."""

        async def stored() -> None:
            async with open_ledger(self.house.server.url) as (_, registry):
                await registry.put(parse_portal(self.key, description, allow_insecure=True))

        wait_for(stored())

    def stored(self) -> Portal:
        """The portal as the registry has it."""

        async def asked() -> Portal:
            async with open_ledger(self.house.server.url) as (_, registry):
                return await registry.get(self.key)

        found: Portal = wait_for(asked())
        return found

    def hold(self) -> None:
        """Stop the lane, as an operator does."""
        assert self.ledger(lambda ledger: ledger.hold(self.key, "TEST", "held by a test"))

    def resume(self) -> None:
        """Let the held lane go on."""
        assert self.ledger(lambda ledger: ledger.resume(self.key))

    def counts(self) -> dict[str, int]:
        """How many payments of this portal are in each state."""
        [lane] = self.ledger(lambda ledger: ledger.lanes([self.key]))
        return {state.value: number for state, number in lane.counts.items()}

    @property
    def tally(self) -> Any:
        """What was really paid at this portal."""
        return self.ask(lambda emulator, name: emulator.effects(name)).tally

    @property
    def counters(self) -> Any:
        """How often this portal was asked."""
        return self.ask(lambda emulator, name: emulator.counters(name))

    def fault(self, kind: str, **rule: object) -> None:
        """Make this portal misbehave."""
        self.ask(lambda emulator, name: emulator.add_fault(kind, portal=name, **rule))

    def change(self, **settings: object) -> None:
        """Change the portal's settings."""
        self.ask(lambda emulator, name: emulator.patch(name, **settings))


def wait_for(work: Any) -> Any:
    """Run one coroutine from a synchronous test."""
    return asyncio.run(work)


@asynccontextmanager
async def open_ledger(url: str) -> AsyncIterator[tuple[RedisLedger, PortalRegistry]]:
    """The ledger and the registry of a house, as an operator's command has them."""
    async with async_redis_client(url, max_connections=4, decode_responses=False) as client:
        yield (
            RedisLedger(client, lease_s=75, retention_s=3600, max_attempts=5, quiet_s=135),
            PortalRegistry(client, [SECRET_KEY]),
        )


async def _configure(emulator: str, authority: str, settings: Mapping[str, object]) -> None:
    async with Handle.connect(emulator) as handle:
        await handle.put(authority, **settings)


async def _register(url: str, key: str, authority: str) -> None:
    webhook = f"http://{authority}/rest/1/{WEBHOOK_CODE}/"
    async with open_ledger(url) as (ledger, registry):
        await registry.put(parse_portal(key, {"webhook": webhook}, allow_insecure=True))
        await ledger.add_lane(key)


@contextmanager
def a_house(**settings: str) -> Iterator[House]:
    """Start a server and an emulator; workers are started by the tests."""
    with tempfile.TemporaryDirectory(prefix="b24pay-house-") as directory:
        server = GuardedServer()
        emulator, ready = _start_emulator(Path(directory))
        house = None
        try:
            server.start()
            house = House(server, ready, Path(directory), {**QUICK, **settings})
            yield house
        finally:
            if house is not None:
                house.close()
            emulator.terminate()
            emulator.wait()
            server.stop()


def _start_emulator(directory: Path) -> "tuple[subprocess.Popen[bytes], str]":
    ready = directory / "emulator.json"
    command = [sys.executable, "-m", "emulator", "--any-loopback", "0", "--ready-file", str(ready)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    end = time.monotonic() + 20
    while not ready.exists() and time.monotonic() < end and process.poll() is None:
        time.sleep(0.02)
    [address] = json.loads(ready.read_text())["listen"]
    return process, f"127.0.0.1:{str(address).rpartition(':')[2]}"
