"""What the tests of the API do with a house: ask, settle payments as a driver does, and stream."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

import aiohttp

from access.audit import Audit, Outcome
from config.connections import async_redis_client
from ledger.payment import Payment
from ledger.verdict import Decision, Verdict
from tests.house import EmulatedPortal, open_ledger, wait_for
from tests.integration.web.conftest import Answer, Web

NDJSON = {"Content-Type": "application/x-ndjson"}
PAYMENTS = "/v1/payments"


def a_payment(portal: EmulatedPortal | str, invoice: object = 1, **changes: object) -> dict[str, object]:
    """A body that is accepted."""
    key = portal if isinstance(portal, str) else portal.key
    return {"portal": key, "invoice_id": invoice, "pay_system_id": 31, **changes}


def pay(web: Web, portal: EmulatedPortal, invoice: object = 1, key: str | None = None, **changes: object) -> Answer:
    """Hand one payment in."""
    headers = {"Idempotency-Key": key} if key else {}
    return web.ask("POST", PAYMENTS, json=a_payment(portal, invoice, **changes), headers=headers)


def drive(portal: EmulatedPortal, verdict: Verdict, count: int = 1) -> list[Payment]:
    """Claim the oldest payments of a lane and settle them, as a driver does."""

    async def driven() -> list[Payment]:
        async with open_ledger(portal.house.server.url) as (ledger, _):
            leases, _wait = await ledger.take("test-driver", 100)
            [lease] = [each for each in leases if each.portal == portal.key]
            claim = await ledger.claim(lease, count)
            settled = await ledger.settle(lease, [Decision(row, verdict) for row in claim.payments])
            for each in leases:
                await ledger.release(each, 0)
            return [entry.payment for entry in settled]

    done: list[Payment] = wait_for(driven())
    return done


async def stream(
    address: str, body: bytes | AsyncIterator[bytes], headers: dict[str, str] | None = None
) -> tuple[int, list[dict[str, Any]]]:
    """Send NDJSON and read the answer's lines."""
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(60)) as session,
        session.post(f"{address}{PAYMENTS}", data=body, headers={**NDJSON, **(headers or {})}) as came,
    ):
        return came.status, [json.loads(line) for line in (await came.text()).splitlines()]


def lines(payments: Iterable[object]) -> bytes:
    """Payments as NDJSON."""
    return b"".join(json.dumps(each).encode() + b"\n" for each in payments)


def streamed(web: Web, body: bytes, headers: dict[str, str] | None = None) -> tuple[int, list[dict[str, Any]]]:
    """As `stream`, for a test without a loop."""
    return asyncio.run(stream(web.address, body, headers))


def listed(web: Web, query: str, name: str = "payments") -> list[dict[str, Any]]:
    """All pages of a list."""
    address = "/v1/doubts" if name == "doubts" else f"/v1/{name}"
    rows, cursor = [], ""
    while cursor is not None:
        answer = web.ask("GET", f"{address}?{query}" + (f"&cursor={cursor}" if cursor else ""))
        assert answer.status == 200, answer.body
        rows += answer.body[name]
        cursor = answer.body["next_cursor"]
    return rows


def ids(rows: Sequence[dict[str, Any]]) -> list[Any]:
    """Their names."""
    return [row["id"] for row in rows]


def noted(portal: EmulatedPortal, subject: str, action: str) -> list[tuple[object, ...]]:
    """What the audit says of changes of one thing that were made: from where, to where, why."""

    async def read() -> list[tuple[object, ...]]:
        async with async_redis_client(portal.house.server.url, max_connections=1, decode_responses=False) as redis:
            entries = [each async for each in Audit(redis, retention_s=3600).entries(3600)]
        ours = [each for each in entries if each.what == action and subject in each.subjects]
        made = [each for each in ours if each.outcome == Outcome.DONE and each.after is not None]
        return [(each.before, each.after, each.why) for each in made]

    done: list[tuple[object, ...]] = wait_for(read())
    return done


def results_in(text: bytes) -> list[dict[str, Any]]:
    """The whole lines of a stream's answer that broke off."""
    whole = [line for line in text.split(b"\n") if line.startswith(b'{"index"') and line.rstrip(b"\r").endswith(b"}")]
    return [json.loads(line) for line in whole]
