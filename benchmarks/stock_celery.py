"""Kill workers while they pay, once ours and once a plain Celery task: `python -m benchmarks.stock_celery`.

Both sides get the same messages from the same stock producer, the same emulated portals and as many SIGKILLs. Ours are
the Procfile's worker processes; the other side is `benchmarks/stock_celery_worker.py`. Afterwards the portals are asked
what was paid: an invoice nobody paid is lost, a call for an invoice that was paid already is a repetition, and where it
took effect once more the invoice was paid twice.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from celery import Celery

from config.connections import celery_url, redis_client
from tests.house import ROOT, EmulatedPortal, House, a_house, procfile_command

PORTALS = 3
WORKERS = 3
LATENCY_S = 0.05
STOCK_THREADS = 8
LEAST_READY = 2  # so that somebody works while the others start


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one side's messages."""

    side: str
    sent: int
    kills: int
    paid: int
    lost: int
    twice: int  # invoices' payments that took effect once more
    repeats: int  # calls for an invoice that was paid already
    without_result: int | None  # ours: producers that do not read "paid"
    seconds: float


@dataclass
class Crew:
    """So many worker processes; a killed one is replaced at once."""

    command: Sequence[str]
    environ: Mapping[str, str]
    directory: Path
    alive: list[tuple["subprocess.Popen[bytes]", Path]] = field(default_factory=list)
    started: int = 0

    def fill(self) -> None:
        """Start what is missing."""
        while len(self.alive) < WORKERS:
            self.started += 1
            name = f"crew{self.started}@{self.command[-1].rpartition('.')[2]}"
            log = self.directory / f"{name}.log"
            with log.open("wb") as out:
                process = subprocess.Popen(  # noqa: S603 - our own command
                    [*self.command, "--hostname", name],
                    cwd=ROOT,
                    env=dict(self.environ),
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            self.alive.append((process, log))

    def ready(self) -> list[int]:
        """Which of them consume."""
        return [at for at, (_, log) in enumerate(self.alive) if b" ready." in log.read_bytes()]

    def kill(self, at: int) -> None:
        """SIGKILL one with everything it started."""
        process, _ = self.alive.pop(at)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def end(self) -> None:
        """SIGKILL them all."""
        while self.alive:
            self.kill(0)


Send = Callable[[EmulatedPortal, int], str]


def storm(crew: Crew, portals: Sequence[EmulatedPortal], send: Send, plan: "Plan") -> tuple[list[str], int]:
    """Send everything in bursts, with a kill in the middle of each; the task ids, and how many kills there were."""
    luck = random.Random(plan.seed)  # noqa: S311 - the same storm in every run
    messages = [(portals[n % PORTALS], n // PORTALS + 1) for n in range(plan.payments)]
    bursts = [messages[at :: plan.kills] for at in range(plan.kills)]
    ids: list[str] = []
    kills = 0
    end = time.monotonic() + plan.seconds
    crew.fill()
    for burst in bursts:
        while len(crew.ready()) < LEAST_READY and time.monotonic() < end:
            time.sleep(0.05)
        sending = threading.Thread(target=lambda burst=burst: ids.extend(send(*each) for each in burst))
        sending.start()
        ready = crew.ready()
        if ready and time.monotonic() < end:
            time.sleep(luck.uniform(0.02, 0.5))
            crew.kill(luck.choice(ready))
            kills += 1
            crew.fill()
        sending.join()
    return ids, kills


def until_settled(settled: Callable[[], bool], within_s: float) -> None:
    """Wait for a condition, or for as long as anybody would."""
    end = time.monotonic() + within_s
    seen = 0
    # Three times in a row: between two steps a message may be nowhere for a moment.
    while seen < 3 and time.monotonic() < end:  # noqa: PLR2004 - as above
        time.sleep(0.5)
        seen = seen + 1 if settled() else 0


def run_ours(house: House, plan: "Plan") -> Outcome:
    """The Procfile's workers."""
    began = time.monotonic()
    portals = [house.add_portal(latency_s=LATENCY_S, plan="none") for _ in range(PORTALS)]
    celery = house.celery()
    crew = Crew(procfile_command("worker"), house.environment, house.directory)

    def send(portal: EmulatedPortal, invoice: int) -> str:
        kwargs = {"portal": portal.key, "invoice_id": invoice, "pay_system_id": 1}
        return str(celery.send_task("tasks.pay_invoice", kwargs=kwargs, queue="payments").id)

    try:
        ids, kills = storm(crew, portals, send, plan)
        until_settled(lambda: without_result(house, ids) == 0, plan.patience_s)
        return outcome("b24pay", portals, (len(ids), kills, began), without_result(house, ids))
    finally:
        crew.end()


def run_stock(house: House, plan: "Plan") -> Outcome:
    """Plain Celery."""
    began = time.monotonic()
    portals = [house.add_portal(latency_s=LATENCY_S, plan="none") for _ in range(PORTALS)]
    url = celery_url(house.server.url)
    celery = Celery("producer", broker=url, set_as_current=False)
    program = str(Path(sys.executable).parent / "celery")
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat")
    threads = ("--pool", "threads", "--concurrency", str(STOCK_THREADS))
    command = [program, "-A", "benchmarks.stock_celery_worker", "worker", "--loglevel", "info", *threads, *quiet]
    crew = Crew(command, {**os.environ, "STOCK_URL": url}, house.directory)

    def send(portal: EmulatedPortal, invoice: int) -> str:
        task_id = str(uuid.uuid4())
        celery.send_task("stock.pay", args=[portal.authority, invoice], queue="stock", task_id=task_id)
        return task_id

    def is_empty() -> bool:
        with redis_client(house.server.url, decode_responses=True) as client:
            return not client.exists("stock", "unacked")

    try:
        ids, kills = storm(crew, portals, send, plan)
        until_settled(is_empty, plan.patience_s)
        return outcome("stock Celery", portals, (len(ids), kills, began), None)
    finally:
        crew.end()


def without_result(house: House, ids: Sequence[str]) -> int:
    """How many producers would not read "paid"."""
    with redis_client(house.server.url, decode_responses=True) as client:
        results = [
            client.mget([f"celery-task-meta-{each}" for each in ids[at : at + 500]]) for at in range(0, len(ids), 500)
        ]
    return sum(not _is_paid(result) for chunk in results for result in chunk)


def _is_paid(result: str | None) -> bool:
    found: Any = json.loads(result) if result else {}
    return bool(found.get("status") == "SUCCESS" and found["result"]["status"] == "paid")


def outcome(
    side: str, portals: Sequence[EmulatedPortal], storm: tuple[int, int, float], missing: int | None
) -> Outcome:
    """Ask the portals what was really paid."""
    sent, kills, began = storm
    tallies = [portal.tally for portal in portals]
    paid = sum(tally.paid for tally in tallies)
    return Outcome(
        side=side,
        sent=sent,
        kills=kills,
        paid=paid,
        lost=sent - paid,
        twice=sum(tally.doubles for tally in tallies),
        repeats=sum(tally.repeats for tally in tallies),
        without_result=missing,
        seconds=round(time.monotonic() - began, 1),
    )


@dataclass(frozen=True, slots=True)
class Plan:
    """One run."""

    payments: int
    kills: int
    seed: int
    seconds: float  # of each side's storm; later bursts are sent without kills
    patience_s: float  # of the wait after it


def show(outcomes: Sequence[Outcome]) -> None:
    """A table on stderr, JSON on stdout."""
    names = ("side", "sent", "kills", "paid", "lost", "twice", "repeats", "without_result", "seconds")
    rows = [names, *[tuple(str(asdict(each)[name]) for name in names) for each in outcomes]]
    widths = [max(len(row[at]) for row in rows) for at in range(len(names))]
    for row in rows:
        sys.stderr.write("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() + "\n")
    sys.stdout.write(json.dumps([asdict(each) for each in outcomes]) + "\n")


def main() -> int:
    """Run both sides; 0 when ours lost nothing and repeated nothing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--payments", type=int, default=6000)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=110, help="of each side's storm")
    parser.add_argument("--ours-only", action="store_true")
    given = parser.parse_args()
    plan = Plan(given.payments, given.kills, given.seed, given.seconds, patience_s=25)
    with a_house() as house:
        outcomes = [run_ours(house, plan)]
        if not given.ours_only:
            outcomes.append(run_stock(house, plan))
    show(outcomes)
    ours = outcomes[0]
    return int(bool(ours.lost or ours.twice or ours.repeats or ours.without_result))


if __name__ == "__main__":
    sys.exit(main())
