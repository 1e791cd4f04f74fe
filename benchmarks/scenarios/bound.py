"""Payments far beyond a portal's burst: how near to the portal's bound."""

import asyncio
import itertools
import math
import time
from collections.abc import Sequence
from typing import Any

import aiohttp

from benchmarks.stage import Portal, Stage, a_program, a_stage
from benchmarks.table import Table

PAYS = 49
RATE = 2.0
BURST = 50
HALVED_AFTER_S = 5.0  # the burst is spent by then


async def run(*, quick: bool) -> Table:
    """One row per circumstance."""
    # In a hurry: fewer payments, and a portal twice as fast; what is lost once weighs more then.
    count, rate = (6000, 2 * RATE) if quick else (10_000, RATE)
    table = Table(
        "bound",
        f"{count:,} payments beyond the burst of {BURST}, {rate:g} requests/s",
        "≤ 1.05 x bound, 0 x 503; else ≤ 1.15 x, ≤ 1 %",
    )
    table.axes = ("seconds", "requests so far")
    for name, workers, kind in (
        ("one worker", 1, "alone"),
        ("four workers", 4, "alone"),
        ("a stranger uses half of the rate", 1, "stranger"),
        ("the rate is halved after the burst", 1, "halved"),
    ):
        emulated = {"rate": {"burst": BURST, "per_s": rate}, "operating_limit_s": None, "latency_s": 0.05}
        async with a_stage(workers=workers, emulated=emulated) as stage:
            cells, series = await once(stage, count, rate, kind)
        table.add(circumstance=name, **cells)
        table.series[name] = series
    table.notes.append(
        "The bound is what the portal's bucket admits at best, from the moment on at which the payments are handed in:"
        " requests needed, and those that a stranger got, less the burst, over the rate."
    )
    return table


async def once(stage: Stage, count: int, rate: float, kind: str) -> tuple[dict[str, Any], list[tuple[float, float]]]:
    """One run on one portal: its figures and its curve."""
    [portal] = await stage.add_portals(
        1, {"requests_per_second": rate, "burst": BURST, "execution_seconds_per_10_min": 600}
    )
    beside: asyncio.Task[None] | None = None
    halved_at = math.inf
    async with a_program(stage, "benchmarks.producing", "bulk") as producer:
        if kind == "stranger":
            beside = asyncio.create_task(stranger(portal, rate / 2))
        working = asyncio.create_task(producer.run({"ranges": [[portal.key, 1, count]]}))
        if kind == "halved":
            await asyncio.sleep(HALVED_AFTER_S)
            await stage.portal_handle.patch(portal.authority, rate={"burst": BURST, "per_s": rate / 2})
            halved_at = time.time()
        ended = await stage.until_paid([portal], count, 600, every_s=0.05)
        told = await working
    if beside is not None:
        beside.cancel()
        await asyncio.gather(beside, return_exceptions=True)
    requests = [
        each
        for each in await stage.portal_handle.requests(portal=portal.authority, limit=1_000_000)
        if each.method == "batch"
    ]
    needed = math.ceil(count / PAYS)
    others = await accepted(stage, portal, ended) - sum(each.status == 200 for each in requests)  # noqa: PLR2004
    bound = bound_s(needed + others - BURST, rate, halved_at - told["began"])
    refused = sum(each.status == 503 for each in requests)  # noqa: PLR2004 - the portal's answer
    took = ended - told["began"]
    return {
        "seconds": took,
        "bound_s": bound,
        "to_bound": took / bound,
        "requests": len(requests),
        "needed": needed,
        "stranger_got": others,
        "http_503": refused,
        "share_503": refused / len(requests),
    }, curve([each.t for each in requests if each.status == 200])  # noqa: PLR2004


def bound_s(requests: float, rate: float, halved_after_s: float) -> float:
    """How long so many requests beyond the burst take at best."""
    at_full_rate_s = max(0.0, requests) / rate
    if at_full_rate_s <= halved_after_s:
        return at_full_rate_s
    return halved_after_s + 2 * (at_full_rate_s - halved_after_s)


async def accepted(stage: Stage, portal: Portal, until: float) -> int:
    """How many requests of anybody the portal's bucket had admitted by then."""
    found = await stage.portal_handle.requests(portal=portal.authority, limit=1_000_000)
    return sum(each.status != 503 and each.t <= until for each in found)  # noqa: PLR2004


async def stranger(portal: Portal, per_s: float) -> None:
    """Somebody else's calls at a steady rate, until cancelled."""
    began = time.monotonic()
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as calls:

        async def call() -> None:
            async with session.get(f"{portal.webhook}profile") as reply:
                await reply.read()

        for asked in itertools.count(1):
            calls.create_task(call())
            await asyncio.sleep(max(0.0, began + asked / per_s - time.monotonic()))


def curve(moments: Sequence[float]) -> list[tuple[float, float]]:
    """Requests so far over time."""
    first = min(moments)
    return [
        (round(t - first, 3), n + 1.0) for n, t in enumerate(sorted(moments)) if n % max(1, len(moments) // 200) == 0
    ]
