"""A shop whose payments really travel, and a comparison of its ledger with its emulated portal."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass

import pytest
from redis.asyncio import Redis

from config.connections import async_redis_client
from config.settings import Settings
from emulator.records import Change
from limiter.limiter import Limiter
from reconciling.cursor import Cursor
from reconciling.findings import Counts, Finding, Kind, Page
from reconciling.period import Period
from reconciling.reconciler import Reconciler
from tests.conformance.ledger.world import PORTAL
from tests.integration.worker.test_driver import Shop, a_shop
from worker.driver import drive


@dataclass
class Scene:
    """One portal with its lane, and who compares them."""

    shop: Shop
    redis: Redis
    reconciler: Reconciler

    async def pay(self, invoices: int) -> None:
        """Payments of the invoices 1, 2, ..., driven to their ends."""
        await self.shop.accept(invoices)
        await self.drive()

    async def drive(self) -> None:
        """Let the lane be worked."""
        await drive(await self.shop.take(), self.shop.deps)

    def by_hand(self, change: Change, *invoices: int) -> None:
        """What a person does at the portal."""
        portal = self.shop.emulator.farm.portal(self.shop.emulator.authority)
        for each in invoices:
            portal.invoices.change(each, change, portal.now())

    async def begin(self, period: Period | None = None) -> Cursor:
        """A comparison of the last day."""
        return Cursor(period or await self.reconciler.period())

    async def pages(self, cursor: Cursor | None, *, most_waits: int = 50) -> list[Page]:
        """All pages from there on; what is to be waited for is, and a stop is the last."""
        found: list[Page] = []
        while cursor is not None:
            page = await self.reconciler.page(PORTAL, cursor)
            if page.wait_s:
                most_waits -= 1
                assert most_waits, page.reason
                await asyncio.sleep(page.wait_s)
                continue
            found.append(page)
            if page.stop:
                break
            cursor = page.cursor
        return found

    async def compare(self, period: Period | None = None) -> tuple[dict[int, Kind], Counts]:
        """The kinds by invoice, and how all counted."""
        pages = await self.pages(await self.begin(period))
        return kinds(each for page in pages for each in page.findings), sum((page.counts for page in pages), Counts())


def kinds(findings: Iterable[Finding]) -> dict[int, Kind]:
    """What was found, by invoice."""
    return {each.payment.invoice_id: each.kind for each in findings}


def a_reconciler(shop: Shop, redis: Redis, limiter: Limiter | None = None) -> Reconciler:
    """One on the parts of a shop."""
    deps = shop.deps
    parts = {"ledger": deps.ledger, "registry": deps.registry, "client": deps.client, "renewal": deps.renewal}
    return Reconciler(redis, **parts, limiter=limiter)  # type: ignore[arg-type]  # by their names


@pytest.fixture
async def scene(redis_url: str, a_settings: Callable[..., Settings]) -> AsyncIterator[Scene]:
    """A shop with short times."""
    quick = {"B24PAY_HTTP_TOTAL_S": "3", "B24PAY_PORTAL_CUT_S": "1", "B24PAY_LEASE_S": "6"}
    async with (
        a_shop(a_settings(REDIS_URL=redis_url, **quick), redis_url) as shop,
        async_redis_client(redis_url, max_connections=4, decode_responses=False) as redis,
    ):
        yield Scene(shop, redis, a_reconciler(shop, redis))
