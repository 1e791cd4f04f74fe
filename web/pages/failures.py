"""The page of failures: by code, each with its meaning, where it happens, and the way to re-drive it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from aiohttp import web

from ledger.figures import Failures
from ledger.payment import Refusal, State
from ledger.redis import RedisLedger
from ledger.walks import START, Sought
from tasks.payment import PORTAL
from web.access import PRINCIPAL
from web.api.door import ledger_of, may_touch
from web.pages.meanings import Meaning, meaning_of
from web.pages.rendering import render
from web.parts import PARTS

HERE: Final = "/failures"
# Codes and portals that are told one by one; a person reads no more.
MOST_GROUPS: Final = 40
MOST_PORTALS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Failed payments with one code; `code` is None for all those that are not counted one by one."""

    code: str | None
    count: int
    latest_at: datetime | None
    portals: Sequence[Failures]  # those with the most
    others: int  # portals that are not among them
    meaning: Meaning | None
    text: str  # the portal's, of one of them


async def show_failures(request: web.Request) -> web.Response:
    """Group failed payments by code."""
    portal = request.query.get("portal", "").strip()
    ledger = await ledger_of(request)
    rows = await _rows(request, ledger, portal)
    groups = await _groups(ledger, rows)
    return render(
        request,
        "failures.html",
        title="Failures",
        here=HERE,
        groups=groups,
        portal=portal,
        total=sum(row.count for row in rows),
        counting=any(row.counting for row in rows),
        retention_days=request.app[PARTS].settings.retention_days,
    )


async def _rows(request: web.Request, ledger: RedisLedger, portal: str) -> list[Failures]:
    """What whoever asks may see."""
    if portal:
        known = PORTAL.fullmatch(portal) and may_touch(request, portal)
        return await ledger.figures.failures([portal]) if known else []
    allowed = request[PRINCIPAL].portals
    return await ledger.figures.failures(sorted(allowed) if allowed is not None else None)


async def _groups(ledger: RedisLedger, rows: Sequence[Failures]) -> list[Group]:
    of_code: dict[str | None, list[Failures]] = {}
    for row in rows:
        of_code.setdefault(row.code, []).append(row)
    most = sorted(of_code.items(), key=lambda each: (each[0] is None, -sum(row.count for row in each[1])))
    shown = most[:MOST_GROUPS]
    return list(await asyncio.gather(*(_group(ledger, code, found) for code, found in shown)))


async def _group(ledger: RedisLedger, code: str | None, found: Sequence[Failures]) -> Group:
    most = sorted(found, key=lambda row: -row.count)
    sample = await _sample(ledger, most[0]) if code is not None else None
    return Group(
        code=code,
        count=sum(row.count for row in found),
        latest_at=max((row.latest_at for row in found if row.latest_at), default=None),
        portals=most[:MOST_PORTALS],
        others=max(0, len(most) - MOST_PORTALS),
        meaning=meaning_of(sample or Refusal(code, "")) if code is not None else None,
        text=sample.text if sample else "",
    )


async def _sample(ledger: RedisLedger, row: Failures) -> Refusal | None:
    """The latest error of a group: what to do about a code may hang on the portal's text."""
    walked = await ledger.walk(row.portal, State.FAILED, Sought(code=row.code), START, 1)
    return walked.payments[0].error if walked.payments else None
