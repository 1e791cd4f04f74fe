"""One portal with 100,000 waiting and 50 with one payment each: how long the small ones wait."""

import asyncio
from statistics import median

from benchmarks.stage import UNLIMITED, Stage, a_program, a_stage
from benchmarks.table import Table

SMALL = 50


async def run(*, quick: bool) -> Table:
    """Alone, beside the backlog, and beside a portal that hangs as well."""
    waiting = 20_000 if quick else 100_000
    table = Table(
        "small", f"50 small portals beside {waiting:,} waiting payments", "p95 ≤ 0.5 s; hanging: at most 20 % more"
    )
    rounds = 1 if quick else 3
    for name, backlog, hanging in (("nothing else", 0, 0), ("backlog", waiting, 0), ("backlog, one hangs", waiting, 1)):
        for kind, limits in (("a portal without limits", UNLIMITED), ("a standard portal", None)):
            if not backlog and limits is None:
                continue
            async with a_stage(
                workers=1, emulated={"plan": "none", "operating_limit_s": None, "latency_s": 0.05}
            ) as stage:
                await fill(stage, backlog, hanging, limits)
                times = [row for _ in range(rounds) for row in await once(stage)]
            times.sort()
            table.add(
                beside=name,
                backlog_at=kind if backlog else "",
                p50_s=median(times),
                p95_s=times[int(len(times) * 0.95)],
                max_s=times[-1],
            )
    table.notes.append("From enqueue to the request at the portal; the small ones come one after another, 20 ms apart.")
    return table


async def fill(stage: Stage, backlog: int, hanging: int, limits: dict[str, int] | None) -> None:
    """Make the others busy."""
    async with a_program(stage, "benchmarks.producing", "bulk") as producer:
        for portal in await stage.add_portals(hanging, UNLIMITED):
            await stage.portal_handle.add_fault("hang", portal=portal.authority, seconds=60)
            await producer.run({"ranges": [[portal.key, 1, 200]]})
        if backlog:
            [large] = await stage.add_portals(1, limits)
            await producer.run({"ranges": [[large.key, 1, backlog]]})
            await stage.until_paid([large], 200, 60)


async def once(stage: Stage) -> list[float]:
    """Seconds from enqueue to the request, per small portal."""
    small = await stage.add_portals(SMALL, UNLIMITED)
    asked = {}
    async with a_program(stage, "benchmarks.producing", "single") as producer:
        for portal in small:
            told = await producer.run({"ranges": [[portal.key, 1, 1]]})
            asked[portal.authority] = told["began"]
            await asyncio.sleep(0.02)
    await stage.until_paid(small, SMALL, 60, every_s=0.1)
    took = []
    for portal in small:
        [request, *_] = await stage.portal_handle.requests(portal=portal.authority, limit=1_000_000)
        took.append(request.t - asked[portal.authority])
    return took
