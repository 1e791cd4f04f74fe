"""taskiq over Redis streams, its worker calling the portal with one aiohttp session and its own retries.

As a program it is the producer; `taskiq worker benchmarks.peers.queued:broker` is the worker.
"""

import asyncio
import os
from typing import Any

import aiohttp
from taskiq import SmartRetryMiddleware, TaskiqEvents, TaskiqState
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from benchmarks.peers.asking import serve

# taskiq's client wants redis-py's own spelling of a socket.
URL = os.environ["CELERY_URL"].replace("+socket", "").replace("redis://", "unix://", 1).partition("?")[0]
broker = (
    RedisStreamBroker(URL, queue_name="taskiq-bench")
    .with_result_backend(RedisAsyncResultBackend(URL))
    .with_middlewares(SmartRetryMiddleware(default_retry_count=1000, default_delay=1, use_jitter=True))
)


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def open_session(state: TaskiqState) -> None:
    """One session for all calls."""
    state.session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60))
    globals()["SESSION"] = state.session


@broker.task("bench.pay", retry_on_error=True)
async def pay(webhook: str, invoice: int) -> object:
    """Pay one invoice with one call."""
    call = {"INVOICE_ID": invoice, "PAY_SYSTEM_ID": 1}
    async with globals()["SESSION"].post(f"{webhook}sale.paysystem.pay.invoice", json=call) as reply:
        reply.raise_for_status()
        return (await reply.json())["result"]


def work(task: dict[str, Any]) -> None:
    """Send everything and wait, for as long as the benchmark has."""

    async def pay_all() -> None:
        await broker.startup()
        try:
            sent = [await pay.kiq(task["webhook"], n) for n in range(1, task["count"] + 1)]
            async with asyncio.timeout(float(task["within_s"])):
                for result in sent:
                    await result.wait_result(check_interval=0.05)
        finally:
            await broker.shutdown()

    asyncio.run(pay_all())


if __name__ == "__main__":
    serve(work)
