"""A million payments queued: how fast they come in, what they take, and how quickly questions are answered."""

import asyncio
import time
from statistics import median
from typing import Any

from benchmarks.meters import memory_bytes, peak_mb, rss_mb
from benchmarks.producing import B24PAY
from benchmarks.stage import UNLIMITED, Portal, Stage, a_program, a_stage
from benchmarks.table import Table
from ledger.payment import State

PORTALS = 100
MEASURED_S = 15.0  # of the throughput with this many waiting


async def run(*, quick: bool) -> Table:
    """First with few waiting, then with very many."""
    count = 100_000 if quick else 1_000_000
    table = Table(
        "million", f"{count:,} payments queued", "≥ 10,000/s in; ≤ 600 and ≤ 400 bytes; ≤ 150 MB; ≤ 50 ms; within 10 %"
    )
    for number in (10_000, count):
        async with a_stage(workers=0, emulated={"plan": "none", "operating_limit_s": None}) as stage:
            await once(stage, table, number)
    table.notes.append(
        "Bytes of finished payments: `python -m benchmarks.ledger_memory`, which has no results beside them."
    )
    return table


async def once(stage: Stage, table: Table, number: int) -> None:
    """One row."""
    portals = await stage.add_portals(PORTALS, UNLIMITED)
    each = number // PORTALS
    async with a_program(stage, "benchmarks.producing", "bulk") as producer:
        await producer.run({"ranges": [[portals[0].key, 10_000_000, 1]]})
        empty = await memory_bytes(stage)
        told = await producer.run({"ranges": [[portal.key, 1, each] for portal in portals], "tell": 0})
    waiting = await memory_bytes(stage)
    questions = await ask(stage, portals)
    await stage.start_workers(1)
    rate, paid = await throughput(stage, portals, number)
    counts = await stage.counts(portals)
    left, sending = counts[State.QUEUED], counts[State.SENDING]
    worker = stage.workers[0]
    rss, peak = rss_mb(worker), peak_mb(worker)
    table.add(
        queued=number,
        enqueue_per_s=number / (told["ended"] - told["began"]),
        waiting_bytes=(waiting - empty) / number,
        paid_per_s=rate,
        paid_meanwhile=paid,
        waiting_after=left,
        sending_after=sending,
        worker_mb=rss,
        worker_peak_mb=peak,
        **questions,
    )


async def throughput(stage: Stage, portals: list[Portal], number: int) -> tuple[float, int]:
    """Payments per second from the first paid on, for a while or to the end."""
    await stage.until_paid(portals, 1, 60)
    began, start = time.monotonic(), (await stage.counts(portals))[State.PAID]
    while True:
        await asyncio.sleep(0.1)
        paid = (await stage.counts(portals))[State.PAID]
        took = time.monotonic() - began
        if took >= MEASURED_S or paid >= number:
            return (paid - start) / took, paid


async def ask(stage: Stage, portals: list[Portal]) -> dict[str, float]:
    """Milliseconds of the operator's questions in the ledger, and of the whole command (its start included)."""
    keys = [portal.key for portal in portals]
    told: dict[str, float] = {}
    questions: dict[str, Any] = {
        "stats_ms": stage.ledger.lanes,
        "list_ms": lambda: stage.ledger.payments(keys[0], State.QUEUED, 0, 50),
        "list_deep_ms": lambda: stage.ledger.payments(keys[0], State.QUEUED, 5000, 50),
        "status_ms": lambda: stage.ledger.find_invoice(keys[50], 7),
    }
    for name, question in questions.items():
        took = []
        for _ in range(20):
            began = time.perf_counter()
            await question()
            took.append((time.perf_counter() - began) * 1000)
        told[name] = median(took)
    return told | {
        "stats_command_ms": await command_ms(stage, "stats"),
        "version_ms": await command_ms(stage, "--help"),
    }


async def command_ms(stage: Stage, *words: str) -> float:
    """A whole command, from the shell's point of view."""
    took = []
    for _ in range(3):
        began = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            *B24PAY,
            *words,
            env=dict(stage.environ),
            cwd=stage.directory,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        await process.wait()
        took.append((time.perf_counter() - began) * 1000)
    return median(took)
