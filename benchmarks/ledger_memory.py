"""How much memory the ledger takes per payment, waiting and finished: `python -m benchmarks.ledger_memory`.

Starts a server of its own; the figure is the difference of its `used_memory` over all the ledger's keys, once they
have settled, divided by the payments. docs/decisions/0010-ledger-memory.md holds the figures we keep to.
"""

import argparse
import asyncio
import json
import random
import sys
from dataclasses import dataclass
from uuid import UUID

from redis.asyncio import Redis

from cli.embedded import EmbeddedServer
from config.connections import async_redis_client
from ledger.ledger import Undelivered
from ledger.payment import Evidence, Handle, NewPayment, PortalKey
from ledger.redis import RedisLedger
from ledger.verdict import Decision, Paid
from tasks.payment import new_ids

PORTALS = 100
BATCH = 49


@dataclass(frozen=True, slots=True)
class Shape:
    """What the payments of one run look like."""

    name: str
    neighbours: bool  # invoices numbered one after the other, or spread over millions
    keys: bool  # each with an idempotency key
    messages: bool  # named by Celery, or by our own doors


SHAPES = tuple(
    Shape(f"{invoices}, named by {who}", neighbours=neighbours, keys=keys, messages=messages)
    for who, messages in (("our doors", False), ("Celery", True))
    for invoices, neighbours, keys in (
        ("invoices in a row", True, False),
        ("invoices spread over a million", False, False),
        ("invoices in a row, each with a key", True, True),
    )
)


def payments(shape: Shape, count: int) -> list[NewPayment]:
    """Requests as a shape has them."""
    luck = random.Random(1)  # noqa: S311 - the same numbers in every run, nothing secret
    each = count // PORTALS
    asks = []
    for n in range(count):
        invoice = n % each + 1 if shape.neighbours else luck.randrange(1, 1_000_000)
        handle = str(UUID(int=luck.getrandbits(128), version=4)) if shape.messages else new_ids(1)[0]
        asks.append(
            NewPayment(
                id=Handle(handle),
                portal=PortalKey(f"portal-{n // each:03d}"),
                invoice_id=invoice,
                pay_system_id=31,
                idempotency_key=f"order-{n}-{handle[:8]}" if shape.keys else None,
            )
        )
    return asks


async def used(client: Redis) -> int:
    """Bytes the server has in use."""
    return int((await client.info("memory"))["used_memory"])


async def pay_all(ledger: RedisLedger) -> None:
    """Drive every lane until nothing waits."""
    while leases := (await ledger.take("benchmark", 50))[0]:
        for lease in leases:
            while claimed := (await ledger.claim(lease, BATCH)).payments:
                decisions = [Decision(payment, Paid(Evidence.READ_BACK)) for payment in claimed]
                settled = await ledger.settle(lease, decisions)
                await ledger.delivered(
                    [Undelivered(name, entry.payment) for entry in settled for name in entry.handles]
                )
            await ledger.release(lease, 0)


async def measure(client: Redis, shape: Shape, count: int) -> dict[str, object]:
    """Bytes per payment of one shape."""
    await client.flushall()
    ledger = RedisLedger(client, lease_s=3600, retention_s=35 * 86_400, max_attempts=5, quiet_s=135)
    asks = payments(shape, count)
    for portal in sorted({ask.portal for ask in asks}):
        await ledger.add_lane(portal)
    # The server keeps the scripts it has seen; they are not the payments'.
    await ledger.open([NewPayment(id=Handle("warm"), portal=PortalKey("none"), invoice_id=1, pay_system_id=1)])
    await pay_all(ledger)
    empty = await used(client)
    await ledger.open(asks)
    waiting = await used(client)
    await pay_all(ledger)
    finished = await used(client)
    return {
        "payments": shape.name,
        "waiting_bytes": round((waiting - empty) / count),
        "finished_bytes": round((finished - empty) / count),
    }


async def run(count: int) -> None:
    """Measure every shape on a server of its own."""
    server = EmbeddedServer()
    server.start()
    try:
        async with async_redis_client(server.url, max_connections=2, decode_responses=True) as client:
            for shape in SHAPES:
                sys.stdout.write(json.dumps(await measure(client, shape, count)) + "\n")
    finally:
        server.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--payments", type=int, default=100_000)
    asyncio.run(run(parser.parse_args().payments))
