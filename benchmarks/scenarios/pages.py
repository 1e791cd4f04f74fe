"""The dashboard's pages with a million payments in the ledger: how long the server takes for each.

One portal has 300,000 failed payments, a few thousand are in doubt, the rest is paid or waits at 99 others. Pages are
asked for one after the other, over loopback, by a token; the figures are those of whole requests.
"""

import asyncio
import html
import re
import socket
import time
from collections.abc import Sequence
from statistics import median

import aiohttp

from access.roles import Role
from access.sessions import Sessions
from access.tokens import Tokens
from benchmarks.filling import PAID, RARE, REFUSED, UNPAID, UNSURE, fill
from benchmarks.stage import UNLIMITED, Portal, Stage, a_stage, until
from benchmarks.table import Table
from cli.procfile import command_of
from ledger.payment import State
from ledger.walks import START, Sought

PORTALS = 100
ROUNDS = 30
REDRIVE_S = 20.0


async def run(*, quick: bool) -> Table:
    """Every page."""
    count = 100_000 if quick else 1_000_000
    table = Table("pages", f"The dashboard's pages with {count:,} payments", "each ≤ 150 ms at the server")
    async with a_stage(workers=0, emulated={"plan": "none"}) as stage:
        portals = await stage.add_portals(PORTALS, UNLIMITED)
        began = time.monotonic()
        await fill_all(stage, portals, count)
        table.notes.append(f"the ledger was filled in {time.monotonic() - began:.0f} s")
        address, session_id = await a_web(stage)
        async with aiohttp.ClientSession(headers={"Cookie": f"b24pay={session_id}"}) as session:
            for name, path in await pages(stage, portals):
                await measure(table, session, name, address + path)
            await redrive(table, session, address, f"/bulk/retry?portal={portals[0].key}&code=ERROR_CHECK_FAILURE")
    return table


async def fill_all(stage: Stage, portals: Sequence[Portal], count: int) -> None:
    """The first portal has three in ten of all, failed; the others share the rest."""
    first, *others = portals
    failed, each = count * 3 // 10, count * 7 // 10 // len(others)
    endings = [(RARE, failed // 100), (REFUSED, failed * 69 // 100), (UNPAID, failed * 30 // 100)]
    await fill(stage.ledger, first.key, endings, failed // 300)
    for portal in others:
        doubts = each // 200
        await fill(
            stage.ledger, portal.key, [(PAID, each * 7 // 10), (REFUSED, doubts), (UNSURE, doubts)], each * 29 // 100
        )
    for portal in portals:
        await stage.ledger.resume(portal.key)


async def a_web(stage: Stage) -> tuple[str, str]:
    """A web process as in the Procfile; its address, and the session of an operator."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    process = stage.start("web", command_of("web"), B24PAY_WEB_LISTEN=f"127.0.0.1:{port}")
    await until(lambda: b'"web.started"' in process.log.read_bytes())
    issued = await Tokens(stage.redis).create("bench", Role.OPERATOR)
    return f"http://127.0.0.1:{port}", await Sessions(stage.redis).begin(issued.token.id)


async def pages(stage: Stage, portals: Sequence[Portal]) -> list[tuple[str, str]]:
    """Every page that shows payments, in the places where they are many."""
    crowded, other = portals[0].key, portals[50].key
    [failed] = await stage.ledger.payments(crowded, State.FAILED, 150, 1)
    walked = await stage.ledger.walk(other, State.IN_DOUBT, Sought(), START, 1)
    doubt = walked.payments[0]
    return [
        ("overview", "/"),
        ("portals", "/portals"),
        ("a portal", f"/portals/{crowded}"),
        ("payments", "/payments"),
        ("payments, failed", f"/payments?state=failed&portal={crowded}"),
        ("payments, a rare code", f"/payments?code=ERROR_INTERNAL_INVOICE_NOT_FOUND&portal={crowded}"),
        ("payments, no such code", f"/payments?code=NOBODY&portal={crowded}"),
        ("payments, by time", f"/payments?state=paid&portal={other}&until=2030-01-01T00:00"),
        ("search, an invoice", "/payments?q=777"),
        ("search, an id", f"/payments?q={failed.id}"),
        ("search, nothing", "/payments?q=nothing-like-this"),
        ("a failed payment", f"/payments/{failed.id}"),
        ("a doubt", f"/payments/{doubt.id}"),
        ("failures", "/failures"),
        ("failures of a portal", f"/failures?portal={crowded}"),
        ("doubts", "/doubts"),
        ("doubts of a portal", f"/doubts?portal={other}"),
        ("retry, preview", f"/bulk/retry?portal={crowded}&code=ERROR_CHECK_FAILURE"),
        ("retry, preview, all", "/bulk/retry"),
        ("cancel, preview", f"/bulk/cancel?portal={other}"),
        ("verify, preview", "/bulk/verify"),
        ("reconcile", "/reconcile"),
        ("workers", "/workers"),
        ("audit", "/audit"),
    ]


async def measure(table: Table, session: aiohttp.ClientSession, name: str, url: str) -> None:
    """One row; the server's own figure is what its log says, this is what a client beside it waits."""
    took, size, status = [], 0, 0
    for _ in range(ROUNDS):
        began = time.perf_counter()
        async with session.get(url, headers={"Accept": "text/html"}) as answer:
            body = await answer.read()
        took.append((time.perf_counter() - began) * 1000)
        size, status = len(body), answer.status
        await asyncio.sleep(0.02)
    took.sort()
    table.add(page=name, status=status, p50_ms=median(took), most_ms=took[-1], kb=size / 1000)


async def redrive(table: Table, session: aiohttp.ClientSession, address: str, path: str) -> None:
    """How fast a run goes, step by step as its page sends them; a minute of it at the most."""
    began = time.monotonic()
    took, text = [], await (await session.get(address + path)).text()
    while time.monotonic() - began < REDRIVE_S:
        form = text[text.rindex('<form method="post" action="/bulk/') :]
        fields = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', form)
        sent = [*((name, html.unescape(value)) for name, value in fields if name != "because"), ("because", "measured")]
        before = time.perf_counter()
        async with session.post(
            f"{address}/bulk/retry", data=sent, headers={"Sec-Fetch-Site": "same-origin", "Accept": "text/html"}
        ) as answer:
            text = await answer.text()
        took.append(time.perf_counter() - before)
        if "data-goes-on" not in text:
            break
    [changed] = re.findall(r"<strong>([0-9,]+)</strong> queued again", text)
    count = int(changed.replace(",", ""))
    table.add(page="a run of retries, a step", p50_ms=median(took) * 1000, most_ms=max(took) * 1000)
    table.notes.append(f"a run queued {count:,} payments again in {sum(took):.1f} s: {count / sum(took):,.0f}/s")
