"""The real routes with tokens: what a token for some portals sees of others, and what stays on record of changes."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from access.roles import Role
from config.settings import Settings
from ledger.payment import Handle, NewPayment, PortalKey, State
from tests.integration.web.access_app import Front, a_front
from web.openapi import document
from web.routes import ROUTES


@pytest.fixture
async def front(redis_url: str, a_settings: Callable[..., Settings]) -> AsyncIterator[Front]:
    """Two portals, each with one queued payment."""
    async with a_front(a_settings(REDIS_URL=redis_url)) as front:
        ledger = front.parts.ledger
        await ledger.check_schema()
        for portal in ("acme", "globex"):
            await ledger.add_lane(portal)
            ask = NewPayment(id=Handle(f"of-{portal}"), portal=PortalKey(portal), invoice_id=1, pay_system_id=1)
            await ledger.open([ask])
        yield front


async def ask(front: Front, method: str, url: str, headers: dict[str, str], **options: Any) -> tuple[int, Any]:
    """Status and body, without what differs in each answer."""
    async with front.client.request(method, url, headers=headers, **options) as answer:
        body = await answer.json()
        body.pop("request_id", None)
        return answer.status, body


async def portals_seen(front: Front, headers: dict[str, str]) -> list[str]:
    """The portal of each payment of every page."""
    seen, cursor = [], ""
    while cursor is not None:
        status, page = await ask(front, "GET", "/v1/payments" + (f"?cursor={cursor}" if cursor else ""), headers)
        assert status == 200
        seen += [each["portal"] for each in page["payments"]]
        cursor = page["next_cursor"]
    return seen


async def test_a_payment_of_another_portal_looks_like_none(front: Front):
    """To read and to change; it stays as it is, and the audit has the refusal."""
    headers = await front.token("limited", Role.OPERATOR, portals=["globex"])
    for method, action in (("GET", ""), ("POST", "/retry"), ("POST", "/cancel")):
        there = await ask(front, method, f"/v1/payments/of-acme{action}", headers)
        nowhere = await ask(front, method, f"/v1/payments/of-nobody{action}", headers)
        assert there == nowhere
        assert there[0] == 404
    for action in ("/verify", "/resolve"):
        body = {"as": "paid", "because": "x"} if action == "/resolve" else None
        there = await ask(front, "POST", f"/v1/doubts/of-acme{action}", headers, json=body)
        assert there == await ask(front, "POST", f"/v1/doubts/of-nobody{action}", headers, json=body)
    [payment] = await front.parts.ledger.find(["of-acme"])
    assert payment is not None
    assert payment.state is State.QUEUED
    entries = [each async for each in front.parts.audit.entries(60) if "of-acme" in each.subjects]
    assert {(each.what, each.outcome.value) for each in entries} == {
        (what, "refused") for what in ("payment.retry", "payment.cancel", "doubt.verify", "doubt.resolve")
    }


async def test_lists_and_new_payments_keep_to_the_token_s_portals(front: Front):
    """Nothing of another portal is listed, counted or accepted."""
    limited = await front.token("limited", Role.PRODUCER, portals=["globex"])
    whole = await front.token("whole", Role.PRODUCER)
    assert await portals_seen(front, limited) == ["globex"]
    assert sorted(await portals_seen(front, whole)) == ["acme", "globex"]
    _, portals = await ask(front, "GET", "/v1/portals", limited)
    assert [each["key"] for each in portals["portals"]] == ["globex"]
    for portal in ("acme", "nowhere"):
        new = {"portal": portal, "invoice_id": 7, "pay_system_id": 1}
        assert (await ask(front, "POST", "/v1/payments", limited, json=new))[0] == 404
    new = {"portal": "globex", "invoice_id": 7, "pay_system_id": 1}
    assert (await ask(front, "POST", "/v1/payments", limited, json=new))[0] == 202


async def test_a_change_by_http_is_an_entry_with_before_and_after(front: Front):
    """By the token's name and id, with the reason; handing a payment in is none."""
    headers = await front.token("ops", Role.OPERATOR)
    new = {"portal": "acme", "invoice_id": 9, "pay_system_id": 1}
    assert (await ask(front, "POST", "/v1/payments", headers, json=new))[0] == 202
    assert (await ask(front, "POST", "/v1/payments/of-acme/cancel", headers, json={"because": "asked"}))[0] == 200
    assert (await ask(front, "POST", "/v1/portals/acme/hold", headers, json={"reason": "audit"}))[0] == 200
    hold, cancel = [each async for each in front.parts.audit.entries(60)]
    assert (cancel.what, cancel.subjects, cancel.before, cancel.after, cancel.why) == (
        "payment.cancel",
        ("of-acme",),
        "queued",
        "cancelled",
        "asked",
    )
    assert (hold.what, hold.subjects, hold.why, hold.origin) == ("portal.hold", ("acme",), "audit", "http")
    assert {(each.who, each.token) for each in (hold, cancel)} == {("ops", front.tokens["ops"].token.id)}


def test_the_document_lists_what_is_served_and_nothing_else():
    """API9: nothing is served that is not described, nothing described that is not there."""
    described = {(method.upper(), path) for path, found in document(ROUTES)["paths"].items() for method in found}
    assert described == {(route.method, route.path) for route in ROUTES if not route.page}
