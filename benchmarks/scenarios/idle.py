"""One payment in an idle system: from `enqueue` to the request at the portal, on one machine's clock."""

import asyncio
import random
import statistics

from benchmarks.meters import read
from benchmarks.stage import UNLIMITED, Portal, Program, Stage, a_program, a_stage
from benchmarks.table import Table
from benchmarks.trips import told_since, watched

GAP_S = (0.03, 0.3)  # between an end and the next beginning, by chance: workers' rhythms must not fall in with it
DOORS = {"single": "tasks.enqueue", "stock": "stock message"}


async def run(*, quick: bool) -> Table:
    """Through both doors, on portals asked before and on portals never asked."""
    table = Table("idle", "One payment, idle system: enqueue to request at the portal", "p50 ≤ 10 ms, p99 ≤ 40 ms")
    table.axes = ("ms from enqueue to request", "share of payments")
    count = 100 if quick else 400
    for workers in (1, 4) if not quick else (1,):
        async with a_stage(workers=workers, emulated={"plan": "none", "operating_limit_s": None}) as stage:
            for door, name in DOORS.items():
                for fresh in (False, True):
                    await measure(table, stage, (door, name, workers), count, fresh=fresh)
    return table


async def measure(table: Table, stage: Stage, how: tuple[str, str, int], count: int, *, fresh: bool) -> None:
    """One row."""
    door, name, workers = how
    portals = await stage.add_portals(count if fresh else 1, UNLIMITED)
    async with a_program(stage, "benchmarks.producing", door) as producer:
        [warm] = await stage.add_portals(1, UNLIMITED)
        await one(stage, producer, warm, 1, paid=1)
        before = await read(stage)
        took = []
        for n in range(count):
            took.append(await one(stage, producer, portals[n % len(portals)], n + 1, paid=1 if fresh else n + 1))
            await asyncio.sleep(random.uniform(*GAP_S))  # noqa: S311 - not a secret
        used = await read(stage) - before
        ms = sorted((asked - began) * 1000 for began, asked, _ in took)
        ended = sorted((end - began) * 1000 for began, _, end in took)
        table.add(
            door=name,
            workers=workers,
            portals="never asked before" if fresh else "known",
            payments=count,
            p50_ms=statistics.median(ms),
            p90_ms=ms[int(len(ms) * 0.9)],
            p99_ms=ms[int(len(ms) * 0.99)],
            max_ms=ms[-1],
            paid_p50_ms=statistics.median(ended),
            worker_cpu_ms=used.workers_s / count * 1000,
        )
        label = f"{name}, {workers} worker(s), {'new' if fresh else 'known'} portal"
        table.series[label] = [
            (value, (at + 1) / len(ms)) for at, value in enumerate(ms) if at % max(1, len(ms) // 100) == 0
        ]
        if not fresh and workers == 1:
            async with watched(stage.redis) as trips:
                began, asked, _ = await one(stage, producer, portals[0], count + 7, paid=count + 1)
                await asyncio.sleep(0.1)
            table.notes.append(
                f"Round trips of one payment ({name}); its request was there after {(asked - began) * 1000:.1f} ms:"
            )
            table.notes += [f"`{line}`" for line in told_since(trips, began)]


async def one(
    stage: Stage, producer: Program, portal: Portal, invoice: int, *, paid: int
) -> tuple[float, float, float]:
    """One payment: when it was asked for, when the portal was, and when it was seen paid (epoch seconds)."""
    told = await producer.run({"ranges": [[portal.key, invoice, 1]]})
    ended = await stage.until_paid([portal], paid, 30, every_s=0.005)
    [*_, request] = await stage.portal_handle.requests(portal=portal.authority, limit=1_000_000)
    return told["began"], request.t, ended
