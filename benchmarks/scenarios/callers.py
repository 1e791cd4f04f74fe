"""Callers who send a stock message, wait for its result and send the next: how long each payment takes them."""

from benchmarks.meters import read
from benchmarks.stage import UNLIMITED, a_program, a_stage
from benchmarks.table import Table

CALLERS = (1, 4, 16)


async def run(*, quick: bool) -> Table:
    """More callers side by side, each with a portal of its own."""
    table = Table("callers", "Send, wait for the result, send the next", "one caller's p50 ≤ 20 ms")
    each = 100 if quick else 400
    for workers in (1, 2):
        async with a_stage(workers=workers, emulated={"plan": "none", "operating_limit_s": None}) as stage:
            for callers in CALLERS:
                portals = await stage.add_portals(callers, UNLIMITED)
                async with a_program(stage, "benchmarks.producing", "asking") as producer:
                    await producer.run({"ranges": [[portal.key, 1, 5] for portal in portals]})
                    before = await read(stage)
                    ranges = [[portal.key, 10, each] for portal in portals]
                    told = await producer.run({"ranges": ranges, "tell": each * callers})
                    used = await read(stage) - before
                ms = sorted(float(wait) * 1000 for wait in told["ids"])
                table.add(
                    callers=callers,
                    workers=workers,
                    payments=len(ms),
                    p50_ms=ms[len(ms) // 2],
                    p90_ms=ms[int(len(ms) * 0.9)],
                    p99_ms=ms[int(len(ms) * 0.99)],
                    per_s=len(ms) / (told["ended"] - told["began"]),
                    worker_cpu_ms=used.workers_s / len(ms) * 1000,
                )
    table.notes.append("From sending the message to the result in the caller's hands; the portal has no latency.")
    return table
