"""fast_bitrix24 as its README shows it: one call with a list; it makes batches and paces itself, in memory."""

import asyncio
from typing import Any

from fast_bitrix24 import BitrixAsync

from benchmarks.peers.asking import serve


def work(task: dict[str, Any]) -> None:
    """Pay invoices 1 … n."""

    async def pay() -> None:
        client = BitrixAsync(task["webhook"], verbose=False)
        wanted = [{"INVOICE_ID": n, "PAY_SYSTEM_ID": 1} for n in range(1, task["count"] + 1)]
        await client.call("sale.paysystem.pay.invoice", wanted)

    asyncio.run(pay())


if __name__ == "__main__":
    serve(work)
