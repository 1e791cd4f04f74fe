"""A comparison of many payments, at portals that are slow, renamed, revoked or out of order."""

from datetime import timedelta

import pytest

from bitrix24.portal import parse_portal
from emulator.handle import Handle
from emulator.records import Change
from ledger.verdict import Decision
from reconciling.cursor import read, written
from reconciling.findings import Counts, Kind
from tests.conformance.ledger.world import PAID, PORTAL, an_ask
from tests.integration.reconciling.conftest import Scene

QUICK = {"requests_per_second": 200, "burst": 40}


async def settle_all(scene: Scene, payments: int) -> None:
    """So many payments that the ledger calls paid, and that are."""
    ledger = scene.shop.deps.ledger
    asks = [an_ask(f"h{n}", invoice_id=n, pay_system_id=1) for n in range(1, payments + 1)]
    for first in range(0, payments, 1_000):
        await ledger.open(asks[first : first + 1_000])
        [lease], _ = await ledger.take("test", 1)
        rows = (await ledger.claim(lease, 1_000)).payments
        await ledger.settle(lease, [Decision(row, PAID) for row in rows])
        await ledger.release(lease, 0)
    scene.by_hand(Change.PAY, *range(1, payments + 1))


async def limited(scene: Scene, believed: dict[str, object], real: dict[str, object]) -> None:
    """A portal that admits so much, and is believed to admit so much."""
    scene.shop.emulator.farm.patch("*", {"rate": real})
    description = {"webhook": scene.shop.emulator.webhook(), "limits": believed}
    await scene.shop.deps.registry.put(parse_portal(PORTAL, description, allow_insecure=True))


@pytest.mark.parametrize("payments", [1_000, pytest.param(5_000, marks=pytest.mark.whole)])
async def test_many_payments_are_compared_at_the_portals_pace(scene: Scene, payments: int) -> None:
    """Each is looked at once, in a request for fifty and one more for each difference, and none is refused."""
    await limited(scene, QUICK, {"burst": 40, "per_s": 200})
    await settle_all(scene, payments)
    scene.by_hand(Change.UNPAY, 77, 921)
    scene.by_hand(Change.DELETE, 500)
    found, counts = await scene.compare()
    assert found == {77: Kind.UNPAID_THERE, 921: Kind.UNPAID_THERE, 500: Kind.GONE}
    assert counts == Counts(agreed=payments - 3, differing=3)
    counters = scene.shop.emulator.farm.counters()
    assert counters.requests <= payments / 50 + 3
    assert set(counters.statuses) == {200}


async def test_refusals_cost_a_wait_and_leave_nothing_behind(scene: Scene) -> None:
    """Somebody else uses the portal up: nothing is left out or told twice, and the next payment is not made to wait."""
    await limited(scene, QUICK, {"burst": 1_000, "per_s": 1_000})
    await settle_all(scene, 120)
    scene.by_hand(Change.UNPAY, 7)
    refusal = {"kind": "error", "place": "before", "status": 503, "code": "QUERY_LIMIT_EXCEEDED", "text": "no"}
    scene.shop.fault(**refusal, count=2)
    found, counts = await scene.compare()
    assert (found, counts) == ({7: Kind.UNPAID_THERE}, Counts(agreed=119, differing=1))
    assert scene.shop.emulator.farm.counters().statuses[503] == 2
    assert await scene.redis.hget(f"b24pay:{{0}}:limit:v1:{PORTAL}", "refusals") is None


async def test_it_goes_on_where_it_was_left_and_stays_in_its_period(scene: Scene) -> None:
    """The text of a cursor is all that is kept; what ends meanwhile belongs to the next period."""
    await settle_all(scene, 120)
    cursor = await scene.begin()
    first = await scene.reconciler.page(PORTAL, cursor)
    assert first.cursor is not None
    await scene.shop.deps.ledger.open([an_ask("late", invoice_id=999, pay_system_id=1)])
    await scene.drive()
    rest = await scene.pages(read(written(first.cursor, PORTAL), PORTAL))
    assert sum((page.counts for page in rest), first.counts) == Counts(agreed=120)
    ends = cursor.period.until
    assert await scene.compare(await scene.reconciler.period(ends, ends + timedelta(days=1))) == ({}, Counts(agreed=1))


async def test_a_credential_that_is_refused_ends_it(scene: Scene) -> None:
    """With the reason and the place to go on from; the lane is not held by it."""
    await settle_all(scene, 60)
    scene.shop.emulator.farm.patch("*", {"webhooks": {"1/another": {}}})
    cursor = await scene.begin()
    [page] = await scene.pages(cursor)
    assert page.stop is not None
    assert (page.stop.code, page.cursor, page.counts) == ("INVALID_CREDENTIALS", cursor, Counts())
    [lane] = await scene.shop.deps.ledger.lanes([PORTAL])
    assert lane.held is None
    scene.shop.emulator.farm.patch("*", {"webhooks": {"1/emulator-secret": {}}})
    assert sum((each.counts for each in await scene.pages(page.cursor)), Counts()) == Counts(agreed=60)


async def test_a_credential_that_is_blocked_by_hand_is_not_used(scene: Scene) -> None:
    """Whoever goes on asking makes it worse; the hold says all."""
    await settle_all(scene, 1)
    await scene.shop.deps.ledger.hold(PORTAL, "OVERLOAD_LIMIT", "blocked", remedy="Ask their support.")
    before = scene.shop.requests
    [page] = await scene.pages(await scene.begin())
    assert page.stop is not None
    assert (page.stop.code, page.stop.remedy) == ("OVERLOAD_LIMIT", "Ask their support.")
    assert scene.shop.requests == before


async def test_a_token_that_has_run_out_is_renewed_once_for_all(scene: Scene) -> None:
    """By the same lock as the workers', and stored: it works once."""
    emulator = scene.shop.emulator
    await settle_all(scene, 120)
    async with Handle.connect(emulator.authority) as handle:
        description = await handle.credential(emulator.authority)
        await scene.shop.deps.registry.put(parse_portal(PORTAL, description, allow_insecure=True), moved=True)
        await handle.expire(emulator.authority)
        assert await scene.compare() == ({}, Counts(agreed=120))
        assert (await handle.token_counters(emulator.authority)).refreshed == 1
    assert emulator.farm.counters().statuses[401] == 1


async def test_a_renamed_portal_is_followed_and_its_record_is_left_to_payments(scene: Scene) -> None:
    """Its answers count; what the registry has stays as it is."""
    await settle_all(scene, 60)
    emulator = scene.shop.emulator
    before = await scene.shop.deps.registry.newest(PORTAL)
    async with Handle.connect(emulator.authority) as handle:
        await handle.rename(emulator.authority, f"localhost:{emulator.port}")
    assert await scene.compare() == ({}, Counts(agreed=60))
    assert await scene.shop.deps.registry.newest(PORTAL) == before
