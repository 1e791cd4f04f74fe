"""1,000 portals with 50 payments each, two workers: whether they progress together."""

import asyncio
import time

from benchmarks.meters import read
from benchmarks.stage import Stage, a_program, a_stage
from benchmarks.table import Table
from ledger.payment import State

EACH = 50


async def run(*, quick: bool) -> Table:
    """Everything is written down before the workers start."""
    number = 300 if quick else 1000
    table = Table("portals", f"{number:,} portals x {EACH} payments, two workers", "Jain ≥ 0.95 over time, ≥ 2,000/s")
    table.axes = ("seconds", "Jain's index, share paid")
    for name, latency_s in (("0 latency", 0.0), ("0.1 s a request", 0.1)):
        emulated = {"plan": "standard", "operating_limit_s": None, "latency_s": latency_s}
        async with a_stage(workers=0, emulated=emulated) as stage:
            await once(stage, table, name, number)
    table.notes.append(
        "Jain's index over the payments paid per portal at every look (0.1 s); the mean weighs each look alike, from"
        " the first payment until 99 % are paid. A portal's 50 payments are two requests: a portal is at 0, 5 or 50."
    )
    return table


async def once(stage: Stage, table: Table, name: str, number: int) -> None:
    """One row."""
    portals = await stage.add_portals(number)
    async with a_program(stage, "benchmarks.producing", "bulk") as producer:
        await producer.run({"ranges": [[portal.key, 1, EACH] for portal in portals]})
    before = await read(stage)
    # Fewer processes start at once than look: the clock starts when the first payment is paid.
    starting = asyncio.create_task(stage.start_workers(2))
    keys, seen, first = [portal.key for portal in portals], [], 0.0
    while True:
        paid = [lane.counts[State.PAID] for lane in await stage.ledger.lanes(keys)]
        now = time.monotonic()
        total = sum(paid)
        if total and not first:
            first = now
        if total:
            seen.append((now - first, jain(paid), total / (number * EACH)))
        if total == number * EACH:
            break
        await asyncio.sleep(0.1)
    await starting
    used = await read(stage) - before
    during = [index for _, index, share in seen if share < 0.99]  # noqa: PLR2004
    table.series[f"Jain, {name}"] = [(round(at, 2), round(index, 3)) for at, index, _ in seen]
    table.series[f"paid, {name}"] = [(round(at, 2), round(share, 3)) for at, _, share in seen]
    counters = await stage.portal_handle.counters()
    table.add(
        portals=number,
        latency=name,
        per_s=number * EACH / max(seen[-1][0], 0.001),
        jain_mean=sum(during) / max(1, len(during)),
        jain_from_half=min([index for _, index, share in seen if share >= 0.5] or [1.0]),  # noqa: PLR2004
        requests=counters.requests,
        http_503=counters.rate_limited,
        server_ms=used.server_s / (number * EACH) * 1000,
        emulator_ms=used.emulator_s / (number * EACH) * 1000,
    )


def jain(shares: list[int]) -> float:
    """1 when all have the same, 1/n when one has everything."""
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 0.0
