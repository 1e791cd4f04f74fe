"""A million payments queued: how fast they come in, what they take, how fast they go, and how quickly one is answered.

The same first 10,000 payments are measured with nothing behind them, with very many, and with nothing again: a machine
that others use as well would make one comparison worth little. Of the million about a minute's work is paid.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from statistics import median
from typing import Any

from benchmarks.meters import memory_bytes, peak_mb, rss_mb
from benchmarks.producing import B24PAY
from benchmarks.stage import UNLIMITED, Portal, Stage, a_program, a_stage
from benchmarks.table import Table
from ledger.payment import State

PORTALS = 100
FEW = 10_000
LONGEST_S = 60.0  # of paying
COMMANDS = {
    "stats": ("stats",),
    "list": ("list",),
    "status": ("status", "--portal", "p51", "--invoice", "7"),
    "help": ("--help",),
}


async def run(*, quick: bool) -> Table:
    """Few, very many, few again."""
    count = 100_000 if quick else 1_000_000
    wanted = "≥ 10,000/s in; ≤ 600 and ≤ 400 bytes; ≤ 150 MB and flat; ≤ 50 ms; within 10 %"
    table = Table("million", f"{count:,} payments queued", wanted)
    rates = []
    for number in (FEW, count, FEW):
        async with a_stage(workers=0, emulated={"plan": "none", "operating_limit_s": None}) as stage:
            rates.append(await once(stage, table, number))
    before, many, after = rates
    table.notes += [
        f"Throughput of the first 10,000 with {count:,} queued: {many / (before + after) * 2:.2f} of that with few.",
        "Bytes are the ledger's, without Celery's results; what is still open counts as waiting.",
        "`*_ms` are the ledger's answers, `*_command_ms` whole commands with the interpreter's start.",
    ]
    return table


async def once(stage: Stage, table: Table, number: int) -> float:
    """One row; the rate of the first 10,000."""
    portals = await stage.add_portals(PORTALS, UNLIMITED)
    async with a_program(stage, "benchmarks.producing", "bulk") as producer:
        await producer.run({"ranges": [[portal.key, 10_000_000, 1] for portal in portals]})
        await pay_all(stage, portals)
        empty = await memory_bytes(stage)
        ranges = [[portal.key, 1, number // PORTALS] for portal in portals]
        told = await producer.run({"ranges": ranges, "tell": 0})
    waiting = (await memory_bytes(stage) - empty) / number
    questions = await ask(stage, portals)
    await stage.start_workers(1)
    going = await throughput(stage, portals, number)
    await stage.stop_workers()
    await forget_results(stage)
    left = number - going["paid"]
    finished = (await memory_bytes(stage) - empty - left * waiting) / going["paid"]
    table.add(
        queued=number,
        enqueue_per_s=number / (told["ended"] - told["began"]),
        waiting_bytes=waiting,
        finished_bytes=finished,
        **going,
        **questions,
    )
    return going["first_10k_per_s"]


async def pay_all(stage: Stage, portals: list[Portal]) -> None:
    """Let a worker pay what there is: what it leaves behind for good (steps, what is learnt) is no payment's."""
    await stage.start_workers(1)
    await stage.until_paid(portals, len(portals), 60)
    await stage.stop_workers()
    await forget_results(stage)


async def throughput(stage: Stage, portals: list[Portal], number: int) -> dict[str, float]:
    """How fast payments go and what the worker takes, at the first 10,000 and at the end (all paid, or time is up)."""
    await stage.until_paid(portals, len(portals) + 1, 60)
    began, start = time.monotonic(), await newly_paid(stage, portals)
    worker, first, first_mb = stage.workers[0], 0.0, 0.0
    while True:
        await asyncio.sleep(0.05)
        paid, took = await newly_paid(stage, portals), time.monotonic() - began
        if not first and paid >= FEW:
            first, first_mb = (paid - start) / took, rss_mb(worker)
        if took >= LONGEST_S or paid >= number:
            break
    return {
        "first_10k_per_s": first,
        "per_s": (paid - start) / took,
        "paid": paid,
        "sending": (await stage.counts(portals))[State.SENDING],
        "mb_at_10k": first_mb,
        "mb_at_end": rss_mb(worker),
        "mb_peak": peak_mb(worker),
    }


async def newly_paid(stage: Stage, portals: list[Portal]) -> int:
    """How many are paid, besides the first of each portal."""
    return (await stage.counts(portals))[State.PAID] - len(portals)


async def forget_results(stage: Stage) -> None:
    """Take away what belongs to the result backend."""
    async for keys in _pages(stage, "celery-task-meta-*"):
        await stage.redis.unlink(*keys)


async def _pages(stage: Stage, pattern: str) -> AsyncIterator[list[Any]]:
    cursor = 0
    while True:
        cursor, keys = await stage.redis.scan(cursor, match=pattern, count=5000)
        if keys:
            yield keys
        if not cursor:
            return


async def ask(stage: Stage, portals: list[Portal]) -> dict[str, float]:
    """Milliseconds of the operator's questions: of the ledger's answers, and of whole commands."""
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
    return told | {f"{name}_command_ms": await command_ms(stage, *words) for name, words in COMMANDS.items()}


async def command_ms(stage: Stage, *words: str) -> float:
    """A whole command, from the shell's point of view."""
    took = []
    for _ in range(5):
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
