"""Held lanes are looked at: a cheap request finds what is mended, and the first payment goes alone."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import pytest

from bitrix24.portal import parse_portal
from config.settings import Settings
from ledger.holds import OPERATOR, resume_for_credential
from ledger.ledger import Probe
from ledger.payment import PortalKey, State
from tests.conformance.ledger.world import PORTAL
from tests.eventually import eventually
from tests.house import open_ledger
from tests.integration.worker.test_driver import Shop, a_shop
from worker.dispatcher import Dispatcher
from worker.driver import drive
from worker.probing import Prober

REVOKED = {"webhooks": {"1/another": {}}}
MENDED = {"webhooks": {"1/emulator-secret": {}}}


@pytest.fixture
async def shop(redis_url: str, a_settings: Callable[..., Settings]) -> AsyncIterator[Shop]:
    """A shop with short times."""
    quick = {"B24PAY_HTTP_TOTAL_S": "3", "B24PAY_PORTAL_CUT_S": "1", "B24PAY_LEASE_S": "6"}
    async with a_shop(a_settings(REDIS_URL=redis_url, **quick), redis_url) as shop:
        yield shop


def change(shop: Shop, settings: dict[str, object]) -> None:
    shop.emulator.farm.patch("*", settings)


async def held(shop: Shop) -> str | None:
    [lane] = await shop.deps.ledger.lanes([PORTAL])
    return lane.held.code if lane.held else None


async def look(shop: Shop) -> bool:
    """A look whose turn need not be waited for, and what it leads to."""
    [lane] = await shop.deps.ledger.lanes([PORTAL])
    assert lane.held is not None
    probe = Probe(PortalKey(PORTAL), lane.held.code, lane.held.since)
    return await Prober(shop.deps).look(probe) and await shop.deps.ledger.resume(PORTAL, probe)


async def hold_by(shop: Shop, settings: dict[str, object], payments: int = 60) -> None:
    """A lane that its portal's answer has stopped."""
    change(shop, settings)
    await shop.accept(payments)
    await drive(await shop.take(), shop.deps)
    assert await held(shop) is not None


async def test_a_look_is_one_request_and_pays_nothing(shop: Shop) -> None:
    """While the webhook is gone the lane stays held."""
    await hold_by(shop, REVOKED)
    before = shop.requests
    assert not await look(shop)
    assert shop.requests == before + 1
    assert shop.effects == {}
    assert await held(shop) == "INVALID_CREDENTIALS"


async def test_a_mended_lane_goes_on_with_one_payment(shop: Shop) -> None:
    """One request with one payment first; after its answer the lane goes on as any other, and all are paid once."""
    await hold_by(shop, REVOKED)
    change(shop, MENDED)
    assert await look(shop)
    since = shop.emulator.farm.journal.last_seq
    await drive(await shop.take(), shop.deps)
    assert shop.effects == dict.fromkeys(range(1, 61), 1)
    first, second, *_ = sent(shop, since)
    assert (first, second > 1) == (1, True)


def sent(shop: Shop, since: int) -> list[int]:
    """How many payments each request carried, in the order they came."""
    entries = shop.emulator.farm.journal.requests(since=since)
    return [sum(method == "sale.paysystem.pay.invoice" for _, method, _ in entry.commands) for entry in entries]


async def test_what_a_look_cannot_see_the_first_payment_shows(shop: Shop) -> None:
    """The user's right to pay: one request with one payment, refused and not run, and the lane is held again."""
    await hold_by(shop, {"webhooks": {"1/emulator-secret": {"can_pay": False}}})
    assert await look(shop)
    since = shop.emulator.farm.journal.last_seq
    await drive(await shop.take(), shop.deps)
    assert sent(shop, since) == [1]
    assert await held(shop) == "ACCESS_DENIED"
    assert (await shop.payment()).state is State.QUEUED
    assert (await shop.payment()).attempts == 0
    change(shop, MENDED)
    assert await look(shop)
    await drive(await shop.take(), shop.deps)
    assert shop.effects == dict.fromkeys(range(1, 61), 1)


@pytest.mark.parametrize("code", ["OVERLOAD_LIMIT", "PORTAL_DELETED"])
async def test_what_only_a_person_lifts_is_never_looked_at(shop: Shop, code: str) -> None:
    """Also when a look finds it behind another reason: from then on only a person resumes the lane."""
    await hold_by(shop, REVOKED, payments=1)
    change(shop, MENDED)
    shop.fault(kind="error", place="before", status=403, code=code, text="no")
    assert not await look(shop)
    [lane] = await shop.deps.ledger.lanes([PORTAL])
    assert lane.held is not None
    assert (lane.held.code, lane.held.probe_at) == (code, None)


@pytest.mark.parametrize(
    "still",
    [
        {"webhooks": {"1/emulator-secret": {"scopes": ["crm"]}}},
        {**MENDED, "latency_s": 10.0},
        {**MENDED, "redirect": "/login"},
        {**MENDED, "rate": {"burst": 1, "per_s": 0.01, "count_rejected": True}},
    ],
    ids=["scope", "silence", "redirect", "rate"],
)
async def test_a_look_that_finds_anything_else_leaves_the_lane(shop: Shop, still: dict[str, object]) -> None:
    """No answer, another refusal, or a credential that may not pay: nothing is known to be mended."""
    await hold_by(shop, REVOKED, payments=1)
    change(shop, still)
    if "rate" in still:
        await shop.deps.client.call(await shop.deps.registry.get(PORTAL), "scope")  # somebody else's request
    assert not await look(shop)
    assert await held(shop) == "INVALID_CREDENTIALS"


async def test_a_lane_without_a_readable_credential_is_left(shop: Shop) -> None:
    """Another process may have the key."""
    await hold_by(shop, REVOKED, payments=1)
    await shop.deps.registry.remove(PORTAL)
    assert not await Prober(shop.deps).look(Probe(PortalKey(PORTAL), "CODE", datetime.now(UTC)))
    assert await held(shop) == "INVALID_CREDENTIALS"


async def test_a_new_credential_is_used_at_once(shop: Shop, redis_url: str) -> None:
    """Also by a process that believes what it read of the old one a moment ago; an operator's hold stays."""
    await hold_by(shop, REVOKED, payments=3)
    webhook = shop.emulator.webhook().replace("emulator-secret", "another")
    await shop.deps.registry.get(PORTAL)
    async with open_ledger(redis_url) as (ledger, registry):
        await registry.put(parse_portal(PORTAL, {"webhook": webhook}, allow_insecure=True))
        ended = await resume_for_credential(ledger, PORTAL)
    assert ended is not None
    assert ended.code == "INVALID_CREDENTIALS"
    dispatcher = Dispatcher("test", shop.deps)
    driving = asyncio.create_task(dispatcher.run())
    await eventually(lambda: shop.effects == dict.fromkeys(range(1, 4), 1))
    await dispatcher.stop(5)
    await driving
    assert shop.emulator.farm.counters().codes["INVALID_CREDENTIALS"] == 1
    await shop.deps.ledger.hold(PORTAL, OPERATOR, "maintenance")
    assert await resume_for_credential(shop.deps.ledger, PORTAL) is None
    assert await held(shop) == OPERATOR
