"""Talks to a `lone_payer`, the process that pays once for every line."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

from tests.integration.bitrix24.raw_portal import answering, batch_reply, http, raw_portal

HERE = ""  # a portal of the payer's own


class Payer:
    """The process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def pay(self, webhook: str) -> dict[str, Any]:
        """What one pay ends in, in how many seconds, and by how many kB the process has grown at most."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{webhook}\n".encode())
        async with asyncio.timeout(60):
            said: dict[str, Any] = json.loads(await self._process.stdout.readline())
        return said


@contextlib.asynccontextmanager
async def a_payer(total_s: float, *, webhook: str | None = HERE, **environ: str) -> AsyncIterator[Payer]:
    """A payer that has paid once, so that what it needs for any payment is not counted: at a portal of its own, or at
    another. None: it has not paid."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.integration.bitrix24.lone_payer", str(total_s)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **environ},
    )
    try:
        payer = Payer(process)
        async with raw_portal(answering(http(batch_reply()))) as server:
            if webhook is not None:
                assert (await payer.pay(webhook or server.webhook))["kind"] == "Reply"
        yield payer
    finally:
        process.terminate()
        await process.wait()
