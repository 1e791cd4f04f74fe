"""A slow portal with a budget of execution time: how much of it is used, and whether the wall is hit."""

import asyncio
import time
from typing import Any

from benchmarks.stage import Stage, a_program, a_stage
from benchmarks.table import Table

PAY_S = 0.4
COST_S = 0.4


async def run(*, quick: bool) -> Table:
    """The budget is a portal's own 480 s per ten minutes, charged faster than it passes."""
    table = Table(
        "execution", "Slow portal, 0.4 s a pay, budget of execution time", "≥ 95 % used, ≤ 2 × 429, no batch over 20 s"
    )
    # Each pay takes 0.1 s and is charged 8 s: the budget of 480 s is 60 pays, and one minute of asking spends it.
    scale, count = 20, 120
    emulated = {
        "plan": "standard",
        "pay_s": PAY_S / 4,
        "operating_cost_s": {"sale.paysystem.pay.invoice": COST_S * scale},
        "operating_limit_s": 480,
    }
    async with a_stage(workers=1, emulated=emulated) as stage:
        table.add(**await once(stage, count, COST_S * scale, 40 if quick else 90))
    table.notes.append(
        "One window: what was executed in it against the budget; the rest waits for the reset, ten minutes away."
    )
    return table


async def once(stage: Stage, count: int, cost_s: float, watched_s: float) -> dict[str, Any]:
    """One window."""
    [portal] = await stage.add_portals(1)
    async with a_program(stage, "benchmarks.producing", "bulk") as producer:
        await producer.run({"ranges": [[portal.key, 1, count]]})
    end = time.monotonic() + watched_s
    while time.monotonic() < end:
        await asyncio.sleep(1)
    counters = await stage.portal_handle.counters(portal.authority)
    tally = (await stage.portal_handle.effects(portal.authority)).tally
    requests = await stage.portal_handle.requests(portal=portal.authority, limit=1_000_000)
    return {
        "watched_s": watched_s,
        "paid": tally.paid,
        "used_share": tally.paid * cost_s / 480,
        "requests": counters.requests,
        "blocked": counters.operating_blocked,
        "http_503": counters.rate_limited,
        "longest_batch_s": max((each.duration_s for each in requests), default=0.0),
    }
