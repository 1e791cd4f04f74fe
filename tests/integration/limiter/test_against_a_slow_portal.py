"""The limiter against a portal's own account of execution time: a process of its own, over real HTTP."""

import asyncio
import json
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from config.connections import async_redis_client
from limiter.limiter import Limits, Observation, Permit
from limiter.redis import RedisLimiter

# Ten minutes, 480 s and 0.4 s a pay, all made fifty times shorter; what binds is the budget.
LIMITS = Limits(rate=100.0, burst=100, execution_s=9.6, execution_window_s=12.0)
PAY_S = 0.02
WINDOWS = 1.5
PAY = "sale.paysystem.pay.invoice?invoice_id={}&pay_system_id=1"


ROOT = Path(__file__).parents[3]


@asynccontextmanager
async def a_portal(directory: Path, rules: Mapping[str, object]) -> AsyncIterator[str]:
    """The webhook of a portal in a process of its own."""
    config = directory / "farm.json"
    config.write_text(json.dumps({"template": rules}))
    arguments = ("--listen", "127.0.0.1:0", "--config", str(config))
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "emulator", *arguments, stdout=PIPE, cwd=ROOT)
    assert process.stdout is not None
    try:
        [authority] = json.loads(await asyncio.wait_for(process.stdout.readline(), 20))["listen"]
        yield f"http://{authority}/rest/1/emulator-secret/"
    finally:
        process.terminate()
        await process.wait()


class Lane:
    """Sends batches for as long as there are permits, and learns from them."""

    def __init__(self, limiter: RedisLimiter, session: aiohttp.ClientSession, url: str) -> None:
        self._limiter, self._session, self._url = limiter, session, url
        self.spent_s, self.stopped = 0.0, 0
        self._invoice = 0

    async def drive(self, ends: float) -> None:
        """Until then (monotonic)."""
        while time.monotonic() < ends:
            permit = await self._limiter.acquire("acme", LIMITS)
            if permit.granted:
                await self._send(permit)
            else:
                await asyncio.sleep(min(permit.wait_s, 0.2))

    async def _send(self, permit: Permit) -> None:
        self._invoice += permit.commands
        cmd = {f"p{number}": PAY.format(self._invoice - number) for number in range(permit.commands)}
        began = time.monotonic()
        async with self._session.post(f"{self._url}batch", json={"halt": 0, "cmd": cmd}) as response:
            reply = (await response.json())["result"]
        took_s = time.monotonic() - began
        times = dict(reply["result_time"] or {}).values()
        told = max(((each["operating"], each["operating_reset_at"]) for each in times), default=(None, None))
        seen = Observation(len(times), took_s, *told, reserved_s=permit.reserved_s)
        await self._limiter.observed("acme", LIMITS, seen)
        self.spent_s += sum(each["duration"] for each in times)
        if reply["result_error"]:
            self.stopped += 1
            await self._limiter.execution_spent("acme", LIMITS, told[1])


async def test_a_budget_of_execution_time_is_used_and_not_overrun(redis_url: str, tmp_path: Path):
    """Four senders together use 95 % of what a window and a half admit, and are stopped twice at most."""
    budget = {"operating_limit_s": LIMITS.execution_s, "operating_window_s": LIMITS.execution_window_s}
    async with (
        a_portal(tmp_path, {"plan": "none", "pay_s": PAY_S, **budget}) as url,
        async_redis_client(redis_url, max_connections=8, decode_responses=False) as redis,
        aiohttp.ClientSession() as session,
    ):
        lane = Lane(RedisLimiter(redis), session, url)
        ends = time.monotonic() + WINDOWS * LIMITS.execution_window_s
        await asyncio.gather(*(lane.drive(ends) for _ in range(4)))
    assert lane.stopped <= 2
    # The second window is spent evenly: half of its time, half of the budget.
    assert lane.spent_s >= 0.95 * WINDOWS * LIMITS.execution_s
