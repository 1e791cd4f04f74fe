"""A ledger of 1,000,000 payments in all states, and what one web process needs to list and search them.

One portal has almost half of all and 300,000 failed; 99 others share the rest. Every question is asked as a client asks
it: page by page along the cursor until enough is found or nothing is left, at most `MOST_PAGES` pages.
"""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from statistics import median
from typing import Any, Final

import aiohttp

from access.roles import Role
from access.tokens import Tokens
from benchmarks.meters import peak_mb, rss_mb
from benchmarks.scenarios.http import Service, ours
from benchmarks.stage import UNLIMITED, Stage, a_stage
from benchmarks.table import Table
from ledger.ledger import Lease
from ledger.payment import Evidence, Handle, NewPayment, PortalKey, Refusal, State
from ledger.verdict import Decision, Failed, InDoubt, Paid, Verdict
from tasks.payment import new_ids

PORTALS: Final = 100
CHUNK: Final = 400
MOST_PAGES: Final = 1000
COMMON, RARE, NEVER = "ERROR_COMMON", "ERROR_RARE", "ERROR_NEVER"
# Of every thousand payments: how many of the large portal, and of each kind of the others'.
LARGE: Final = {"rare": 0.01, "failed": 300, "paid": 100, "in_doubt": 5, "cancelled": 5, "queued": 50}
OTHERS: Final = {"paid": 400, "failed": 40, "in_doubt": 5, "cancelled": 5, "queued": 90}


async def run(*, quick: bool) -> Table:
    """Fill, then ask."""
    count = 50_000 if quick else 1_000_000
    table = Table("lists", f"{count:,} payments in all states", "list and search ≤ 50 ms, web process ≤ 150 MB")
    async with a_stage(workers=0, emulated={"plan": "none", "operating_limit_s": None}) as stage:
        portals = [portal.key for portal in await stage.add_portals(PORTALS, UNLIMITED)]
        began = time.monotonic()
        before, middle = await fill(stage, portals, count)
        filled_s = time.monotonic() - began
        issued = await Tokens(stage.redis).create("bench", Role.OPERATOR)
        service = await ours(stage, "b24pay", 1)
        headers = {"Authorization": f"Bearer {issued.text}"}
        async with aiohttp.ClientSession(f"http://127.0.0.1:{service.ports[0]}", headers=headers) as session:
            for name, query in questions(portals[0], before, middle).items():
                await ask(table, session, service, name, query)
        table.notes.append(
            f"Filled in {filled_s:.0f} s; peak of the web process {peak_mb(service.processes[0]):.0f} MB."
        )
    table.notes += [
        "`first_ms`: the first page; `p50_ms`, `max_ms`: every page up to the end of the search.",
        "`pages`, `seconds`: until 50 were found or nothing was left: what a client waits for that follows the cursor.",
    ]
    return table


def questions(large: str, before: datetime, middle: datetime) -> dict[str, str]:
    """Every filter, and those that find least."""
    at = {"since": middle, "until": middle, "before": before}
    since, until, early = (f"{at[name]:%Y-%m-%dT%H:%M:%S.%fZ}" for name in ("since", "until", "before"))
    return {
        "all": "",
        "portal": f"portal={large}",
        "state failed": "state=failed",
        "state in_doubt": "state=in_doubt",
        "state cancelled": "state=cancelled",
        "invoice, one portal": f"portal={large}&invoice=77",
        "invoice, all portals": "invoice=77",
        "invoice nobody has": "invoice=99999999",
        "code of most": f"code={COMMON}",
        "code of ten, oldest": f"state=failed&portal={large}&code={RARE}",
        "code of none, one portal": f"state=failed&portal={large}&code={NEVER}",
        "code of none, all": f"code={NEVER}",
        "since half": f"state=paid&since={since}",
        "until half": f"state=paid&until={until}",
        "until before all, failed": f"state=failed&portal={large}&until={early}",
        "since after all, queued": f"state=queued&since={datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
    }


async def ask(table: Table, session: aiohttp.ClientSession, service: Service, name: str, query: str) -> None:
    """One row."""
    took: list[float] = []
    found, cursor, began = 0, "", time.perf_counter()
    while cursor is not None and found < 50 and len(took) < MOST_PAGES:  # noqa: PLR2004 - a page
        at = time.perf_counter()
        async with session.get(f"/v1/payments?{query}" + (f"&cursor={cursor}" if cursor else "")) as came:
            page: dict[str, Any] = await came.json()
        took.append((time.perf_counter() - at) * 1000)
        found, cursor = found + len(page["payments"]), page["next_cursor"]
        await asyncio.sleep(0.06)  # a token may read 50 times a second
    table.add(
        question=name,
        found=found,
        first_ms=took[0],
        p50_ms=median(took),
        max_ms=max(took),
        pages=len(took),
        seconds=time.perf_counter() - began - 0.06 * len(took),
        web_mb=rss_mb(service.processes[0]),
    )


async def fill(stage: Stage, portals: Sequence[str], count: int) -> tuple[datetime, datetime]:
    """Payments in all states; a moment before all of them, and one in the middle of what has ended."""
    before = datetime.now(UTC)
    leases = {}
    large = {kind: max(1, round(number * count / 1000)) for kind, number in LARGE.items()}
    others = {kind: max(1, round(number * count / 1000 / (PORTALS - 1))) for kind, number in OTHERS.items()}
    for portal in portals:
        await open_all(stage, portal, sum((large if portal == portals[0] else others).values()))
    taken, _ = await stage.ledger.take("fill", PORTALS)
    leases = {lease.portal: lease for lease in taken}
    middle = before
    for number, portal in enumerate(portals):
        if number == PORTALS // 2:
            middle = datetime.now(UTC)
        await end_all(stage, leases[PortalKey(portal)], large if number == 0 else others)
    return before, middle


async def open_all(stage: Stage, portal: str, count: int) -> None:
    """So many queued payments."""
    for first in range(1, count + 1, CHUNK):
        invoices = range(first, min(first + CHUNK, count + 1))
        names = new_ids(len(invoices))
        await stage.ledger.open(
            [
                NewPayment(
                    id=Handle(name),
                    portal=PortalKey(portal),
                    invoice_id=invoice,
                    pay_system_id=31,
                    bx_rest_handler=None,
                    idempotency_key=None,
                )
                for name, invoice in zip(names, invoices, strict=True)
            ]
        )


async def end_all(stage: Stage, lease: Lease, kinds: dict[str, int]) -> None:
    """Bring the oldest of a lane to their ends."""
    verdicts: dict[str, Verdict] = {
        "rare": Failed(Refusal(RARE, "seldom")),
        "failed": Failed(Refusal(COMMON, "The invoice cannot be paid.")),
        "paid": Paid(Evidence.READ_BACK),
        "in_doubt": InDoubt(86_400),
    }
    for kind, number in kinds.items():
        if kind == "cancelled":
            rows = await stage.ledger.payments(lease.portal, State.QUEUED, 0, number)
            await asyncio.gather(*[stage.ledger.cancel(row.id) for row in rows])
        elif kind in verdicts:
            await end(stage, lease, verdicts[kind], number)
        await stage.ledger.renew([lease])


async def end(stage: Stage, lease: Lease, verdict: Verdict, number: int) -> None:
    """Claim and settle so many."""
    for at in range(0, number, CHUNK):
        claimed = await stage.ledger.claim(lease, min(CHUNK, number - at))
        await stage.ledger.settle(lease, [Decision(row, verdict) for row in claimed.payments])
        if at % (50 * CHUNK) == 0:
            await stage.ledger.renew([lease])
