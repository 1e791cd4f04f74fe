"""1,000 payments on a fresh standard portal, 0.05 s a request and 0.03 s a payment: ours and other clients."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any

from benchmarks.stage import Portal, Program, Stage, a_program, a_stage
from benchmarks.table import Table

EMULATED = {"plan": "standard", "latency_s": 0.05, "pay_s": 0.03}
DOORS = {"stock": "b24pay, stock Celery messages", "bulk": "b24pay, enqueue_many", "import": "b24pay, import"}
CLIENTS = {"fast": "fast_bitrix24", "sdk": "b24pysdk"}
# One call each: 50 at once and then two a second. They are given so long, and what is paid by then is counted.
QUEUES = {"plain_celery": "plain Celery, requests, autoretry", "queued": "taskiq, aiohttp, retries"}
QUEUES_WITHIN_S = 30
RATIOS = {"stock": 1.25, "bulk": 1.1, "import": 1.1}


async def run(*, quick: bool) -> Table:
    """Each side alone, in turn, on portals that nobody has asked before; medians of three."""
    count = 1000
    table = Table(
        "burst", f"{count:,} payments on a fresh standard portal", "stock ≤ 1.25 x, import ≤ 1.1 x fast_bitrix24"
    )
    rounds = 1 if quick else 3
    async with a_stage(workers=1, emulated=EMULATED) as stage:
        sides: dict[str, Callable[[], Awaitable[dict[str, Any]]]] = {}
        for door, title in DOORS.items():
            sides[title] = lambda door=door: by_ours(stage, door, count)  # type: ignore[misc]
        for client, title in CLIENTS.items():
            sides[title] = lambda client=client: by_client(stage, client, count)  # type: ignore[misc]
        found = {name: [await side() for _ in range(rounds)] for name, side in sides.items()}
        fast = median(row["seconds"] for row in found[CLIENTS["fast"]])
        for name, rows in found.items():
            rows.sort(key=lambda row: row["seconds"])
            middle = rows[len(rows) // 2]
            table.add(side=name, **middle, to_fast=middle["seconds"] / fast)
        await stage.stop_workers()
        for queue, title in QUEUES.items():
            table.add(side=title, **await by_queue(stage, queue, count))
    table.notes.append(f"The clients that send one call a payment were stopped after {QUEUES_WITHIN_S} s.")
    return table


async def by_ours(stage: Stage, door: str, count: int) -> dict[str, Any]:
    """Through one of our doors."""
    [portal] = await stage.add_portals(1)
    async with a_program(stage, "benchmarks.producing", door) as producer:
        working = asyncio.create_task(producer.run({"ranges": [[portal.key, 1, count]], "tell": count}))
        ended = await stage.until_paid([portal], count, 120)
        told = await working
        if told["ids"]:
            ended = await stage.until_results(told["ids"], 60)
    enqueued_s = told["ended"] - told["began"]
    return {
        "seconds": max(ended, told["ended"]) - told["began"],
        "enqueued_s": enqueued_s,
        **await seen(stage, portal.authority),
    }


async def by_client(stage: Stage, client: str, count: int) -> dict[str, Any]:
    """Through a client that works in its caller's process."""
    [portal] = await stage.add_portals(1)
    authority = stage.tls if client == "sdk" else portal.authority
    await stage.portal_handle.reset(authority)
    async with a_program(stage, f"benchmarks.peers.{client}", REQUESTS_CA_BUNDLE=stage.ca_file) as program:
        told = await asked(program, stage, portal, count)
    return {"seconds": told["ended"] - told["began"], **await seen(stage, authority), "error": told["error"]}


async def asked(program: Program, stage: Stage, portal: Portal, count: int) -> dict[str, Any]:
    """Let a peer's program pay."""
    task = {"webhook": portal.webhook, "tls": stage.tls, "count": count, "within_s": QUEUES_WITHIN_S}
    return await program.run(task)


async def by_queue(stage: Stage, queue: str, count: int) -> dict[str, Any]:
    """Through a task queue with workers of its own."""
    [portal] = await stage.add_portals(1)
    module = f"benchmarks.peers.{queue}"
    command = {
        "plain_celery": ["-m", "celery", "-A", module, "worker", "--concurrency", "8", "--loglevel", "warning"],
        "queued": ["-m", "taskiq", "worker", f"{module}:broker", "--workers", "1"],
    }[queue]
    worker = stage.start(queue, [sys.executable, *command])
    await asyncio.sleep(4)
    try:
        async with a_program(stage, module) as program:
            told = await asked(program, stage, portal, count)
        found = await seen(stage, portal.authority)
    finally:
        stage.others.remove(worker)
        worker.close()
    return {"seconds": told["ended"] - told["began"], **found, "error": told["error"]}


async def seen(stage: Stage, authority: str) -> dict[str, Any]:
    """What the portal saw."""
    counters = await stage.portal_handle.counters(authority)
    tally = (await stage.portal_handle.effects(authority)).tally
    return {
        "paid": tally.paid,
        "requests": counters.requests,
        "http_503": counters.rate_limited,
        "doubles": tally.doubles,
        "repeats": tally.repeats,
    }
