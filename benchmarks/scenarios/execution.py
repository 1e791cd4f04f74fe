"""A slow portal with a budget of execution time: how much of it is used, window by window, and whether it stops us."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from benchmarks.stage import Portal, Stage, a_program, a_stage
from benchmarks.table import Table
from emulator.journal import RequestEntry

# Ten minutes, 480 s in them and 0.4 s a pay, each a tenth. Requests are not scaled: two a second, as everywhere.
SCALE = 10
WINDOW_S = 600.0 / SCALE
BUDGET_S = 480.0 / SCALE
PAY_S = 0.4
# How long a batch takes is looked at without a scale, because the size of a batch follows from real seconds.
SLOW_PAYS_S = (PAY_S, 1.2)
UNSCALED_S = 60.0
LONGEST_S = 20.0


async def run(*, quick: bool) -> Table:
    """More payments than the windows admit that are watched."""
    windows = 2 if quick else 5
    table = Table(
        "execution",
        f"Slow portal, {PAY_S:g} s a pay, 480 s of execution time in ten minutes, each divided by {SCALE}",
        f"≥ 95 % used, ≤ 2 x 429, no batch over {LONGEST_S:g} s",
    )
    table.axes = ("seconds", "seconds of execution time in the window")
    emulated = {"pay_s": PAY_S / SCALE, "operating_limit_s": BUDGET_S, "operating_window_s": WINDOW_S}
    async with a_stage(workers=1, emulated=emulated) as stage:
        requests, stopped = await watched(stage, windows)
    for number in range(windows):
        table.add(watched=f"window {number + 1}", **in_window(requests, number))
    table.add(watched="all windows", **in_total(requests, windows), commands_stopped=stopped)
    table.series["used"] = curve(requests, windows)
    async with a_stage(workers=1, emulated={}) as stage:
        for pay_s, found in zip(SLOW_PAYS_S, await unscaled(stage), strict=True):
            longest_s = max(each.duration_s for each in found)
            row = {"requests": len(found), "http_503": refused(found), "longest_batch_s": longest_s}
            table.add(watched=f"{pay_s:g} s a pay, not scaled, {UNSCALED_S:g} s", **row)
    table.notes.append(
        "What the portal charged, counted when a request ended, over 480 s. The first window begins with the free share"
        " of a fresh budget. How long a batch takes is shown by the rows without a scale."
    )
    return table


async def watched(stage: Stage, windows: int) -> tuple[list[RequestEntry], int]:
    """The requests of so many windows, and how many commands the portal stopped."""
    [portal] = await stage.add_portals(1, {"execution_seconds_per_10_min": BUDGET_S})
    stored = await stage.registry.get(portal.key)
    await stage.registry.put(replace(stored, limits=replace(stored.limits, execution_window_s=WINDOW_S)))
    await enqueue(stage, [portal], round((windows + 1) * BUDGET_S / (PAY_S / SCALE)))
    await asyncio.sleep(windows * WINDOW_S + LONGEST_S / SCALE)
    counters = await stage.portal_handle.counters(portal.authority)
    return await finished(stage, portal), counters.operating_blocked


async def unscaled(stage: Stage) -> list[list[RequestEntry]]:
    """What a fresh slow portal was sent and answered in the first minute, for each slowness."""
    portals = await stage.add_portals(len(SLOW_PAYS_S))
    for portal, pay_s in zip(portals, SLOW_PAYS_S, strict=True):
        await stage.portal_handle.patch(portal.authority, pay_s=pay_s)
    await enqueue(stage, portals, 1500)
    await asyncio.sleep(UNSCALED_S)
    return [await finished(stage, portal) for portal in portals]


async def enqueue(stage: Stage, portals: Sequence[Portal], count: int) -> None:
    """So many payments on each portal."""
    async with a_program(stage, "benchmarks.producing", "bulk") as producer:
        await producer.run({"ranges": [[portal.key, 1, count] for portal in portals]})


async def finished(stage: Stage, portal: Portal) -> list[RequestEntry]:
    """The requests that were answered, in their order."""
    requests = await stage.portal_handle.requests(portal=portal.authority, limit=1_000_000)
    return [each for each in requests if each.status is not None]


def in_window(requests: Sequence[RequestEntry], number: int) -> dict[str, Any]:
    """One window's figures."""
    began = requests[0].t + number * WINDOW_S
    inside = [each for each in requests if began <= each.t + each.duration_s < began + WINDOW_S]
    return figures(inside, BUDGET_S)


def in_total(requests: Sequence[RequestEntry], windows: int) -> dict[str, Any]:
    """All windows together."""
    ended = requests[0].t + windows * WINDOW_S
    inside = [each for each in requests if each.t + each.duration_s < ended]
    return figures(inside, windows * BUDGET_S)


def figures(requests: Sequence[RequestEntry], budget_s: float) -> dict[str, Any]:
    """What some requests have used, and how they went."""
    return {
        "used_share": sum(each.charged_s for each in requests) / budget_s,
        "requests": len(requests),
        "http_503": refused(requests),
    }


def refused(requests: Sequence[RequestEntry]) -> int:
    """How many the portal refused for its rate."""
    return sum(each.status == 503 for each in requests)  # noqa: PLR2004 - the portal's answer


def curve(requests: Sequence[RequestEntry], windows: int) -> list[tuple[float, float]]:
    """What had been charged within the last window, once a second."""
    began = requests[0].t
    ends = [(each.t + each.duration_s - began, each.charged_s) for each in requests]
    return [
        (float(at), round(sum(charged_s for end, charged_s in ends if at - WINDOW_S < end <= at), 3))
        for at in range(int(windows * WINDOW_S) + 1)
    ]
