"""The scene of a storm: its own Redis, emulated portals behind a fault proxy, workers and producers; nothing stays."""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from chaos.history import History
from chaos.plan import Plan
from chaos.processes import Process
from chaos.producers import Producer, Producers
from chaos.proxy import Gate, Proxy, running_proxy
from chaos.server import StormServer
from cli.exits import CommandError, Exit
from cli.procfile import ROOT, command_of
from cli.session import Session, connected

if TYPE_CHECKING:
    from config.settings import Settings

# In the proportions of production, and short: what a death leaves behind is decided within seconds. As there, a portal
# may go on with a call for longer than its caller's lease lasts: only the quiet time keeps the next driver away.
QUICK: Final = {"B24PAY_HTTP_TOTAL_S": "3", "B24PAY_PORTAL_CUT_S": "3", "B24PAY_LEASE_S": "4"}
LEASE_S: Final = 4.0
# A request of 5 payments takes 1.5 s, one of 49 2.4 s: long enough to be met by a kill, shorter than the HTTP total.
LATENCY_S: Final = 1.4
PAY_S: Final = 0.02
_LATE_S: Final = 3.5
_JOURNAL_SIZE: Final = 1_000_000  # nothing is forgotten
_READY_WITHIN_S: Final = 60.0
_POLL_S: Final = 0.02
_WORKER_READY: Final = "runtime.started"
_LOST_KINDS: Final = ("reset", "close", "504_html", "truncated", "cut_body", "empty")


@dataclass(frozen=True, slots=True)
class Place:
    """The directory that the processes run in and write their logs to."""

    directory: Path
    kept: bool  # else it is thrown away, even when this program is killed

    def start(self, name: str, command: Sequence[str], environ: Mapping[str, str], *, piped: bool = False) -> Process:
        """Start a process here."""
        return Process(
            name,
            command,
            environ=environ,
            log=self.directory / f"{name}.log",
            cwd=self.directory,
            throw_away=None if self.kept else self.directory,
            piped=piped,
        )


class Worker:
    """A worker as the Procfile starts it. After a SIGKILL its place gets a new process."""

    def __init__(self, name: str, *, environ: Mapping[str, str], place: "Place") -> None:
        self.name = name
        self._environ = environ
        self._place = place
        self._log = place.directory / f"{name}.log"
        self._read_from = 0
        self._ready = False
        self.process = self._start()

    def _start(self) -> Process:
        self._expect_anew()
        return self._place.start(self.name, command_of("worker"), self._environ)

    @property
    def ready(self) -> bool:
        """Whether its latest process has said that it works."""
        if not self._ready:
            with self._log.open("rb") as log:
                log.seek(self._read_from)
                self._ready = _WORKER_READY.encode() in log.read()
        return self._ready

    def _expect_anew(self) -> None:
        """Only what is written from now on says that it works."""
        self._ready = False
        self._read_from = self._log.stat().st_size if self._log.exists() else 0

    def kill(self) -> None:
        """SIGKILL for the supervisor and what it started; a new one starts at once."""
        self.process.close()
        self.process = self._start()

    def kill_child(self) -> int:
        """SIGKILL for what the supervisor started; it has to start it again."""
        self._expect_anew()
        return self.process.kill_children()


@dataclass(slots=True)
class Scene:
    """Everything that runs."""

    plan: Plan
    history: History
    server: StormServer
    settings: "Settings"
    session: Session
    emulator: str  # its address, for the admin
    portals: tuple[str, ...]  # keys
    gates: tuple[Gate, ...]  # one per portal; a gate's address is the portal's name at the emulator
    redis_gate: Gate  # every second worker reaches Redis through it
    workers: list[Worker]
    producers: Producers
    others: list[Process] = field(default_factory=list)

    def check(self) -> None:
        """Raise CommandError when something has ended that no fault of ours has ended."""
        for process in [*self.others, *(worker.process for worker in self.workers)]:
            if not process.running:
                cause = f"The process {process.name} has ended by itself: {process.last_words}"
                raise CommandError(cause, "Look at its log (--keep DIR keeps it).", Exit.TEMPORARY)


@asynccontextmanager
async def set_scene(plan: Plan, history: History, place: Place) -> AsyncIterator[Scene]:
    """Start everything; on the way out, whatever the way, everything is gone."""
    async with StormServer().running() as server, running_proxy() as proxy:
        redis_gate = proxy.open(server.socket)
        environ = _environ(server.url)
        processes: list[Process] = []
        workers: list[Worker] = []
        try:
            emulator, address = await _start_emulator(plan, environ, place)
            processes.append(emulator)
            producers = [_start_producer(door, environ, place) for door in ("ledger", "celery")]
            processes += producers
            for number in range(1, plan.scale.workers + 1):
                through = {} if number % 2 else {"REDIS_URL": f"redis://{redis_gate.authority}/0"}
                workers.append(Worker(f"worker-{number}", environ={**environ, **through}, place=place))
            settings = _settings(environ)
            async with connected(settings) as session:
                keys, gates = await _open_portals(plan, session, proxy, address)
                by_ledger, by_celery = (Producer(each, history) for each in producers)
                scene = Scene(
                    plan=plan,
                    history=history,
                    server=server,
                    settings=settings,
                    session=session,
                    emulator=address,
                    portals=keys,
                    gates=gates,
                    redis_gate=redis_gate,
                    workers=workers,
                    producers=Producers(by_ledger, by_celery, plan.scale.seed),
                    others=processes,
                )
                await _until_ready(scene)
                yield scene
        finally:
            for process in [*(worker.process for worker in workers), *processes]:
                process.close()


def _environ(redis_url: str) -> Mapping[str, str]:
    """An environment in which only our own settings speak, and our own programs are found first."""
    from cryptography.fernet import Fernet

    from config.connections import celery_url

    ours = ("REDIS_URL", "BROKER_URL", "RESULT_BACKEND_URL")
    inherited = {k: v for k, v in os.environ.items() if k not in ours and not k.startswith("B24PAY_")}
    programs = os.pathsep.join([str(Path(sys.executable).parent), inherited.get("PATH", os.defpath)])
    return {
        **inherited,
        **QUICK,
        "PATH": programs,
        # The children run in a directory of their own: no .env of the developer speaks to them.
        "PYTHONPATH": str(ROOT),
        "REDIS_URL": redis_url,
        "CELERY_URL": celery_url(redis_url),
        "B24PAY_SECRET_KEYS": Fernet.generate_key().decode(),
        "B24PAY_ALLOW_INSECURE_PORTALS": "1",
        "B24PAY_LOG_FORMAT": "json",
    }


def _settings(environ: Mapping[str, str]) -> "Settings":
    from config.settings import WORKER, load_settings

    return load_settings(environ, require=WORKER)


async def _start_emulator(plan: Plan, environ: Mapping[str, str], place: Place) -> tuple[Process, str]:
    """The emulator's process and its address."""
    config, ready = place.directory / "emulator.json", place.directory / "emulator-ready.json"
    ready.unlink(missing_ok=True)  # an earlier storm's
    template = {"plan": "enterprise", "latency_s": LATENCY_S, "pay_s": PAY_S}
    content = {"template": template, "seed": plan.scale.seed, "journal_size": _JOURNAL_SIZE, "faults": _lost(plan)}
    config.write_text(json.dumps(content))
    command = [sys.executable, "-m", "emulator", "--listen", "127.0.0.1:0"]
    command += ["--config", str(config), "--ready-file", str(ready)]
    emulator = place.start("emulator", command, environ)
    try:
        await _until(ready.exists, emulator)
        [address] = json.loads(ready.read_text())["listen"]
    except BaseException:
        emulator.close()
        raise
    return emulator, str(address)


def _lost(plan: Plan) -> list[dict[str, object]]:
    """Rules by which portals lose replies: of work that was done, was half done, was not done, or is done later."""
    rules: list[dict[str, object]] = [{"kind": kind, "place": "after"} for kind in _LOST_KINDS]
    rules += [{"kind": kind, "place": "before"} for kind in ("reset", "504_html")]
    rules.append({"kind": "500_html", "place": "after_k", "k": 2, "method": "batch"})
    # Late work ends before a portal would cut it: 3.5 s later than in order, 6 s after the send at most.
    rules += [{"kind": kind, "place": "during", "late_s": _LATE_S} for kind in ("504_html", "close")]
    rules += [{"kind": "hang", "place": "before", "seconds": _LATE_S}] * 2
    # Tried in order, each with its own chance; together about what was asked for.
    chance = round(plan.scale.lost_replies / 100 / len(rules), 6)
    return [{**rule, "probability": chance} for rule in rules] if chance else []


def _start_producer(door: str, environ: Mapping[str, str], place: Place) -> Process:
    return place.start(f"producer-{door}", [sys.executable, "-m", "chaos.producing"], environ, piped=True)


async def _open_portals(
    plan: Plan, session: Session, proxy: Proxy, emulator: str
) -> tuple[tuple[str, ...], tuple[Gate, ...]]:
    """A gate in front of the emulator for each portal; the registry and the ledger learn its address."""
    from bitrix24.portal import parse_portal
    from emulator.settings import DEFAULT_SECRET

    keys, gates = [], []
    for number in range(1, plan.scale.portals + 1):
        gate, key = proxy.open(emulator), f"portal-{number:02}"
        description = {"webhook": f"http://{gate.authority}/rest/1/{DEFAULT_SECRET}/", "plan": "enterprise"}
        await session.registry.put(parse_portal(key, description, allow_insecure=True))
        await session.ledger.add_lane(key)
        keys.append(key)
        gates.append(gate)
    return tuple(keys), tuple(gates)


async def _until_ready(scene: Scene) -> None:
    for worker in scene.workers:
        await _until(lambda worker=worker: worker.ready, worker.process)  # type: ignore[misc] # bound at once


async def _until(holds: Callable[[], bool], process: Process) -> None:
    end = time.monotonic() + _READY_WITHIN_S
    while not holds():
        if not process.running or time.monotonic() > end:
            fate = "did not get ready" if process.running else "has ended"
            cause = f"The process {process.name} {fate}: {process.last_words}"
            raise CommandError(cause, "Try again; if it stays, see `b24pay doctor`.", Exit.TEMPORARY)
        await asyncio.sleep(_POLL_S)
