"""No limits at the portal and no latency: what the machinery around a payment costs."""

import statistics
from typing import Any

from benchmarks.meters import Reading, peak_mb, read
from benchmarks.stage import UNLIMITED, Stage, a_program, a_stage
from benchmarks.table import Table

EMULATED = {"plan": "none", "operating_limit_s": None}
DOORS = {"bulk": "enqueue_many", "stock": "single stock messages"}


async def run(*, quick: bool) -> Table:
    """Bulk and single stock messages over a few portals, two workers and one."""
    table = Table("unlimited", "No limits at the portal, 0 latency", "≤ 0.35 ms bulk, ≤ 1.2 ms stock; ≥ 3,000/s bulk")
    count, rounds = (6000, 1) if quick else (20_000, 3)
    for workers in (1, 2):
        for door, title in DOORS.items():
            rows = []
            for _ in range(rounds):
                async with a_stage(workers=workers, emulated=EMULATED) as stage:
                    rows.append(await once(stage, door, count if door == "bulk" else count // 2))
            rows.sort(key=lambda row: row["ours_ms"])
            table.add(door=title, workers=workers, **rows[len(rows) // 2])
            table.notes.append(
                f"{title}, {workers} workers: CPU per payment of all rounds "
                f"{[round(row['ours_ms'], 3) for row in rows]}, median rate "
                f"{statistics.median(row['per_s'] for row in rows):.0f}/s"
            )
    return table


async def once(stage: Stage, door: str, count: int, portals: int = 20) -> dict[str, Any]:
    """One run: all processes of ours, the producer's included."""
    keys = await stage.add_portals(portals, UNLIMITED)
    each = count // portals
    async with a_program(stage, "benchmarks.producing", door) as warm:
        await warm.run({"ranges": [[portal.key, 1, 5] for portal in keys]})
        await stage.until_paid(keys, 5 * portals, 60)
    async with a_program(stage, "benchmarks.producing", door) as producer:
        before = await read(stage)
        told = await producer.run({"ranges": [[portal.key, 10, each] for portal in keys]})
        ended = await stage.until_paid(keys, (5 + each) * portals, 120, every_s=0.05)
        used: Reading = await read(stage) - before
    paid = each * portals
    # A stock producer runs none of our code.
    ours_s = used.workers_s + (told["cpu_s"] if door == "bulk" else 0.0)
    return {
        "payments": paid,
        "per_s": paid / (ended - told["began"]),
        "enqueue_per_s": paid / (told["ended"] - told["began"]),
        "ours_ms": ours_s / paid * 1000,
        "worker_ms": used.workers_s / paid * 1000,
        "producer_ms": told["cpu_s"] / paid * 1000,
        "server_ms": used.server_s / paid * 1000,
        "emulator_ms": used.emulator_s / paid * 1000,
        "redis_calls": sum(n for name, n in used.calls.items() if name in CLIENT_CALLS) / paid,
        "redis_bytes": used.net_bytes / paid,
        "peak_mb": max(peak_mb(worker) for worker in stage.workers),
    }


# What clients send; the rest of the server's statistics happened inside of scripts or not at all.
CLIENT_CALLS = (
    "evalsha",
    "eval",
    "set",
    "publish",
    "blmove",
    "lmove",
    "lpush",
    "lrem",
    "blpop",
    "brpop",
    "mget",
    "multi",
)
