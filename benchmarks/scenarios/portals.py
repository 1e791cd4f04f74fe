"""Many portals at two workers: whether they progress together, and whether any has to wait for the others."""

import asyncio
import time
from collections.abc import Sequence
from statistics import fmean

from benchmarks.meters import read
from benchmarks.stage import Stage, a_program, a_stage
from benchmarks.table import Table
from ledger.payment import State

LOOK_S = 0.5  # a look asks for every lane, and is itself work for the server
# From so many payments a portal on (the mean) until so much is done: at a portal's request each, nothing is to compare.
FROM_EACH, UNTIL_SHARE = 100, 0.95


async def run(*, quick: bool) -> Table:
    """Everything is written down before the workers begin."""
    table = Table("portals", "Many portals, two workers", "1,000 x 50: ≥ 2,000/s; Jain ≥ 0.95 over time")
    table.axes = ("seconds", "Jain's index, share paid")
    many, few = (300, 40) if quick else (1000, 100)
    for number, each, latency_s in ((many, 50, 0.0), (many, 50, 0.1), (few, 1000, 0.0), (few, 1000, 0.1)):
        emulated = {"plan": "none", "operating_limit_s": None, "latency_s": latency_s}
        async with a_stage(workers=2, emulated=emulated) as stage:
            await once(stage, table, number, each, latency_s)
    table.notes.append(
        f"Jain's index over the payments paid per portal, at every look ({LOOK_S} s); the mean is over the looks from"
        f" {FROM_EACH} payments a portal on until {UNTIL_SHARE:.0%} are paid. 50 payments are two requests, and a"
        " portal is at 0, a few or 50: there the index says nothing, and sharing out single payments would only"
        " make every portal end last. What counts is when each is served first, as a share of the whole time."
    )
    return table


async def once(stage: Stage, table: Table, number: int, each: int, latency_s: float) -> None:
    """One row."""
    portals = await stage.add_portals(number, {"requests_per_second": 100, "burst": 1000})
    keys = [portal.key for portal in portals]
    for key in keys:
        await stage.ledger.hold(key, "BENCHMARK", "until everything is written down")
    async with a_program(stage, "benchmarks.producing", "bulk") as producer:
        await producer.run({"ranges": [[portal.key, 1, each] for portal in portals]})
    before = await read(stage)
    began = time.monotonic()
    await asyncio.gather(*(stage.ledger.resume(key) for key in keys))
    looks = await watch(stage, keys, number * each, began)
    used = await read(stage) - before
    took_s = looks[-1][0]
    compared = [jain(paid) for _, paid in looks if fmean(paid) >= FROM_EACH and sum(paid) < UNTIL_SHARE * number * each]
    first_s = sorted(next(at for at, paid in looks if paid[place]) for place in range(number))
    ended_s = [next(at for at, paid in looks if paid[place] == each) for place in range(number)]
    name = f"{number} x {each}, {latency_s} s a request"
    table.series[f"Jain, {name}"] = [(round(at, 2), round(jain(paid), 3)) for at, paid in looks]
    table.series[f"paid, {name}"] = [(round(at, 2), round(sum(paid) / (number * each), 3)) for at, paid in looks]
    counters = await stage.portal_handle.counters()
    table.add(
        portals=number,
        each=each,
        latency_s=latency_s,
        per_s=number * each / took_s,
        jain_mean=fmean(compared) if compared else "",
        jain_least=min(compared) if compared else "",
        first_p95_share=first_s[int(number * 0.95)] / took_s,
        ended_mean_share=fmean(ended_s) / took_s,
        requests=counters.requests,
        http_503=counters.rate_limited,
        worker_ms=used.workers_s / (number * each) * 1000,
        server_ms=used.server_s / (number * each) * 1000,
    )


async def watch(stage: Stage, keys: Sequence[str], total: int, began: float) -> list[tuple[float, list[int]]]:
    """Seconds since then, and how many each portal has paid, until all are."""
    looks: list[tuple[float, list[int]]] = []
    while not looks or sum(looks[-1][1]) < total:
        paid = [lane.counts[State.PAID] for lane in await stage.ledger.lanes(keys)]
        looks.append((time.monotonic() - began, paid))
        await asyncio.sleep(LOOK_S)
    return looks


def jain(shares: Sequence[int]) -> float:
    """1 when all have the same, 1/n when one has everything."""
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 0.0
