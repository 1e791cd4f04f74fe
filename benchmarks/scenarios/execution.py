"""A slow portal with a budget of execution time: how much of one window is used, and whether the wall is hit."""

import asyncio
import time
from typing import Any

from benchmarks.stage import Stage, a_program, a_stage
from benchmarks.table import Table

# 480 s and 0.4 s a pay, both a tenth: the portal charges the time that a command took, and our limiter learns from it.
SCALE = 10
PAY_S = 0.4 / SCALE
BUDGET_S = 480.0 / SCALE
RESTS_S = 15.0  # nothing was paid for so long: the window is over


async def run(*, quick: bool) -> Table:
    """Twice as many payments as one window admits."""
    table = Table(
        "execution",
        "Slow portal, 0.4 s a pay, 480 s of execution time (both a tenth)",
        f"≥ 95 % used, ≤ 2 x 429, no batch over {20 / SCALE:g} s",
    )
    emulated = {"plan": "standard", "pay_s": PAY_S, "operating_limit_s": BUDGET_S}
    async with a_stage(workers=1, emulated=emulated) as stage:
        table.add(**await once(stage, round(2 * BUDGET_S / PAY_S), 45 if quick else 120))
    table.notes.append("One window; what it does not admit waits for the reset, ten minutes away.")
    return table


async def once(stage: Stage, count: int, within_s: float) -> dict[str, Any]:
    """One window."""
    limits = {"requests_per_second": 2, "burst": 50, "execution_seconds_per_10_min": BUDGET_S}
    [portal] = await stage.add_portals(1, limits)
    async with a_program(stage, "benchmarks.producing", "bulk") as producer:
        told = await producer.run({"ranges": [[portal.key, 1, count]]})
    paid, changed, began = 0, time.monotonic(), time.monotonic()
    while time.monotonic() < min(began + within_s, changed + RESTS_S):
        await asyncio.sleep(0.2)
        now_paid = (await stage.portal_handle.effects(portal.authority)).tally.paid
        if now_paid != paid:
            paid, changed = now_paid, time.monotonic()
    counters = await stage.portal_handle.counters(portal.authority)
    requests = await stage.portal_handle.requests(portal=portal.authority, limit=1_000_000)
    return {
        "watched_s": time.time() - told["began"],
        "last_paid_after_s": changed - began,
        "paid": paid,
        "used_share": paid * PAY_S / BUDGET_S,
        "requests": counters.requests,
        "blocked": counters.operating_blocked,
        "http_503": counters.rate_limited,
        "longest_batch_s": max((each.duration_s for each in requests), default=0.0),
    }
