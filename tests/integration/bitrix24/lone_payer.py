"""A process that pays once for every line it is given, and says what came of it and how far its memory grew.

Its memory is its own: the portal it meets runs in the process of the test. Linux only.
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path

from bitrix24.client import Client
from bitrix24.errors import PortalError
from bitrix24.portal import parse_portal
from tests.integration.bitrix24.raw_portal import a_pay


def peak_kb() -> int:
    """The most memory that was resident since the last `forget_peak`."""
    rows = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(row for row in rows if row.startswith("VmHWM")).split()[1])


def forget_peak() -> None:
    """Let the peak begin at what is resident now."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


async def outcome(client: Client, webhook: str) -> dict[str, object]:
    """What one pay ends in."""
    portal = parse_portal("raw", {"webhook": webhook}, allow_insecure=True)
    try:
        await client.pay(portal, [a_pay()])
    except PortalError as error:
        return {"kind": type(error).__name__, "fate": error.meaning.fate.name, "text": str(error)}
    return {"kind": "Reply", "fate": "", "text": ""}


async def main(total_s: float) -> None:
    """Pay at the webhook of each line of the input; growth counts from after the first."""
    first = 0
    proxy = os.environ.get("PAYER_PROXY")  # it may hold a password, and argv is seen by all
    async with Client(http_total_s=total_s, allow_insecure=True, proxy=proxy) as client:
        for line in iter(sys.stdin.readline, ""):
            forget_peak()
            started = time.monotonic()
            ended = await outcome(client, line.strip())
            took_s = time.monotonic() - started
            if not first:
                forget_peak()
                first = peak_kb()
            print(json.dumps({**ended, "grown_kb": peak_kb() - first, "took_s": round(took_s, 3)}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1])))
