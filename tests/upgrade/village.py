"""Processes of two releases on one ledger, and doors of both that payments come in by."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from cli.guarded import KILL_GROUP, Guarded
from tests.eventually import eventually_sync
from tests.house import EmulatedPortal, House, Worker, procfile_command, wait_for

_ENQUEUE = (
    "import sys; from tasks import enqueue_many; key, count = sys.argv[1], int(sys.argv[2]);"
    "made = enqueue_many([{'portal': key, 'invoice_id': n, 'pay_system_id': 1} for n in range(1, count + 1)]);"
    "print(len(made))"
)


@dataclass
class Village:
    """A house, and where the code of the other release is."""

    house: House
    former: Path
    started: list[Guarded] = field(default_factory=list)
    workers: list[Worker] = field(default_factory=list)
    drove: set[tuple[str, int]] = field(default_factory=set)  # whose lanes were seen: release, process

    def begin(self, command: list[str], name: str, code: Path, **environ: str) -> tuple[Guarded, Path]:
        """Start a process on the code of one release."""
        log = self.house.directory / f"{name}.log"
        ours = {**self.house.environment, "PYTHONPATH": str(code), **environ}
        with log.open("ab") as out:
            guarded = Guarded(command, KILL_GROUP, environ=ours, cwd=code, out=out)
        self.started.append(guarded)
        return guarded, log

    def worker(self, name: str, code: Path) -> Worker:
        """A worker that has been started; whether it consumes is for its caller to wait for."""
        command = [*procfile_command("worker"), "--hostname", f"{name}@house"]
        worker = Worker(*self.begin(command, name, code))
        self.workers.append(worker)
        return worker

    def web(self, name: str, code: Path) -> str:
        """The address of a web process."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
        environ = {"B24PAY_WEB_LISTEN": f"127.0.0.1:{port}"}
        _, log = self.begin(procfile_command("web"), name, code, **environ)
        eventually_sync(lambda: "web.started" in log.read_text())
        return f"http://127.0.0.1:{port}"

    def enqueue(self, code: Path, portal: EmulatedPortal, count: int) -> None:
        """A producer of one release, on its way in a process of its own."""
        environ = {"REDIS_URL": self.house.server.url, "PYTHONPATH": str(code), "PATH": os.environ["PATH"]}
        command = [sys.executable, "-c", _ENQUEUE, portal.key, str(count)]
        done = subprocess.run(command, env=environ, cwd=code, capture_output=True, text=True, timeout=60, check=False)
        assert done.stdout.strip() == str(count), done.stderr

    def look(self, portals: Iterable[EmulatedPortal]) -> None:
        """Remember who drives a lane now."""
        [first, *_] = portals
        for lane in first.ledger(lambda ledger: ledger.lanes()):
            if lane.owner:
                for worker in self.workers:
                    pid = _child_of(worker)
                    if pid and str(pid) in lane.owner:
                        self.drove.add((worker.log.name.partition("-")[0], pid))

    def close(self) -> None:
        """End every process that was started."""
        for guarded in self.started:
            if guarded.process.poll() is None:
                guarded.process.terminate()
        for guarded in self.started:
            try:
                guarded.process.wait(20)
            except subprocess.TimeoutExpired:
                guarded.process.kill()
            guarded.dismiss()


@contextmanager
def a_village(house: House, former: Path) -> Iterator[Village]:
    """A village whose processes are gone afterwards."""
    village = Village(house, former)
    try:
        yield village
    finally:
        village.close()


def post(address: str, portal: EmulatedPortal, count: int) -> None:
    """Payments of the invoices 1, 2, ... as one stream."""

    async def sent() -> None:
        rows = ({"portal": portal.key, "invoice_id": n, "pay_system_id": 1} for n in range(1, count + 1))
        body = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
        headers = {"Content-Type": "application/x-ndjson"}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{address}/v1/payments", data=body, headers=headers) as came,
        ):
            accepted = [line for line in (await came.text()).splitlines() if '"accepted"' in line]
            assert (came.status, len(accepted) >= count) == (202, True)

    wait_for(sent())


def send(house: House, portal: EmulatedPortal, count: int) -> None:
    """The same as Celery messages of somebody who has none of our code."""
    celery = house.celery()
    for n in range(1, count + 1):
        fields = {"portal": portal.key, "invoice_id": n, "pay_system_id": 1}
        celery.send_task("tasks.pay_invoice", kwargs=fields, queue="payments")


def until_all_paid(
    portals: Iterable[EmulatedPortal], count: int, *, meanwhile: Callable[[], None], within_s: float
) -> None:
    """Wait until each portal's payments are paid by the ledger."""
    portals, ends = list(portals), time.monotonic() + within_s
    while left := {each.key: each.counts() for each in portals if each.counts()["paid"] < count}:
        assert time.monotonic() < ends, left
        meanwhile()
        time.sleep(0.1)


def assert_once(portals: Iterable[EmulatedPortal], count: int) -> None:
    """Both sides agree: every invoice was paid once, and nothing else happened."""
    for portal in portals:
        tally, counts = portal.tally, {state: number for state, number in portal.counts().items() if number}
        assert counts == {"paid": count}, portal.key
        assert (tally.paid, tally.effects, tally.doubles, tally.overlaps) == (count, count, 0, 0), portal.key


def _child_of(worker: Worker) -> int | None:
    started: list[dict[str, Any]] = []
    for line in worker.lines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        started += [event] if event.get("event") == "worker.started" else []
    return int(started[-1]["pid"]) if started else None
