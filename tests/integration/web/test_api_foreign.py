"""A token that is limited to some portals sees, names and changes nothing of the others."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from access.roles import Principal, Role
from config.connections import async_redis_client
from ledger.payment import Payment
from tests.conformance.ledger.world import an_ask
from web.access import PRINCIPAL
from web.api.door import API, ApiState
from web.guards import GUARDS, Handler
from web.parts import PARTS, open_parts
from web.routes import ROUTES
from web.throttle import THROTTLE, Throttle

OURS, THEIRS = "ours", "theirs"
Answer = tuple[int, dict[str, Any]]


@web.middleware
async def limited_to_ours(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whoever asks here has a token for one portal."""
    request[PRINCIPAL] = Principal("limited", Role.OPERATOR, frozenset({OURS}))
    return await handler(request)


@pytest.fixture
async def client(redis_url: str, a_settings: Any) -> AsyncIterator[TestClient[Any, Any]]:
    """The routes on a ledger with both portals; who asks may touch one."""
    async with async_redis_client(redis_url, max_connections=2, decode_responses=False) as redis:
        await redis.flushall()
    async with open_parts(a_settings(REDIS_URL=redis_url)) as parts:
        for portal in (OURS, THEIRS):
            await parts.ledger.add_lane(portal)
        app = web.Application(middlewares=(*GUARDS, limited_to_ours))
        app[PARTS], app[API], app[THROTTLE] = parts, ApiState(), Throttle()
        for route in ROUTES:
            app.router.add_route(route.method, route.path, route.handler)
        async with TestClient(TestServer(app)) as client:
            yield client


async def opened(client: TestClient[Any, Any], name: str, portal: str, **changes: object) -> Payment:
    """A payment that somebody else handed in."""
    ledger = client.app[PARTS].ledger  # type: ignore[index]  # the client was given an application
    [answer] = await ledger.open([an_ask(name, portal=portal, **changes)])
    payment: Payment = answer.payment  # type: ignore[union-attr]  # it is accepted
    return payment


async def ask(client: TestClient[Any, Any], method: str, path: str, **options: Any) -> Answer:
    """An answer without what differs by itself."""
    async with client.request(method, path, **options) as came:
        body = await came.json(content_type=None)
        body.pop("request_id", None)
        return came.status, body


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/payments/{}", None),
        ("POST", "/v1/payments/{}/retry", {}),
        ("POST", "/v1/payments/{}/cancel", {}),
        ("POST", "/v1/doubts/{}/verify", {}),
        ("POST", "/v1/doubts/{}/resolve", {"as": "paid", "because": "x"}),
    ],
)
async def test_a_foreign_payment_and_one_that_is_not_there_look_the_same(
    client: TestClient[Any, Any], method: str, path: str, body: object
):
    """And nothing happens to it."""
    await opened(client, "foreign", THEIRS)
    foreign = await ask(client, method, path.format("foreign"), json=body)
    unknown = await ask(client, method, path.format("unknown"), json=body)
    assert foreign == unknown
    assert foreign[0] == 404
    ledger = client.app[PARTS].ledger  # type: ignore[index]  # as above
    [row] = await ledger.find(["foreign"])
    assert row.state == "queued"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/portals/{}", None),
        ("POST", "/v1/portals/{}/hold", {"reason": "x"}),
        ("POST", "/v1/portals/{}/resume", {}),
    ],
)
async def test_a_foreign_portal_and_one_that_is_not_there_look_the_same(
    client: TestClient[Any, Any], method: str, path: str, body: object
):
    """And it is not held."""
    foreign = await ask(client, method, path.format(THEIRS), json=body)
    assert foreign == await ask(client, method, path.format("unknown"), json=body)
    assert foreign[0] == 404
    [lane] = await client.app[PARTS].ledger.lanes([THEIRS])  # type: ignore[index]  # as above
    assert lane.held is None


async def test_nothing_is_handed_in_for_a_foreign_portal(client: TestClient[Any, Any]):
    """Alone, in an array and in a stream it looks like a portal that is not there."""
    for portal in (THEIRS, "unknown"):
        body = {"portal": portal, "invoice_id": 1, "pay_system_id": 31}
        assert (await ask(client, "POST", "/v1/payments", json=body))[1]["type"] == "urn:b24pay:problem:no-portal"
        status, many = await ask(client, "POST", "/v1/payments", json=[body])
        assert (status, many["results"][0]["error"]["type"]) == (409, "urn:b24pay:problem:no-portal")
        headers = {"Content-Type": "application/x-ndjson"}
        line = f'{{"portal":"{portal}","invoice_id":1,"pay_system_id":31}}\n'
        async with client.post("/v1/payments", data=line, headers=headers) as came:
            assert "urn:b24pay:problem:no-portal" in await came.text()
    [lane] = await client.app[PARTS].ledger.lanes([THEIRS])  # type: ignore[index]  # as above
    assert sum(lane.counts.values()) == 0


async def test_lists_hold_only_what_may_be_touched(client: TestClient[Any, Any]):
    """Whatever is asked for, also with a cursor that names the other portal."""
    await opened(client, "foreign", THEIRS, invoice_id=5)
    own = await opened(client, "own", OURS, invoice_id=5)
    for query in ("", "?state=queued", "?invoice=5", f"?portal={OURS}"):
        _, page = await ask(client, "GET", f"/v1/payments{query}")
        assert [row["id"] for row in page["payments"]] == [own.id]
    for query in (f"?portal={THEIRS}", f"?portal={THEIRS}&invoice=5", "?portal=unknown"):
        assert await ask(client, "GET", f"/v1/payments{query}") == (200, {"payments": [], "next_cursor": None})
    _, portals = await ask(client, "GET", "/v1/portals")
    assert [row["key"] for row in portals["portals"]] == [OURS]
    # An operator's cursor that stands in the other portal's lane.
    from ledger import place_text
    from web.api import cursors
    from web.api.cursors import Cursor

    _, first = await ask(client, "GET", "/v1/payments?limit=1")
    (of, *_), _ = place_text.read(first["next_cursor"], heads=3)
    theirs = cursors.written(Cursor(THEIRS), of)
    assert (await ask(client, "GET", f"/v1/payments?cursor={theirs}"))[1]["payments"] == []


async def test_a_key_of_a_foreign_payment_does_not_name_it(client: TestClient[Any, Any]):
    """Keys are known across portals; whose it is, is not told."""
    await opened(client, "foreign", THEIRS, idempotency_key="shared")
    body = {"portal": OURS, "invoice_id": 1, "pay_system_id": 31}
    status, told = await ask(client, "POST", "/v1/payments", json=body, headers={"Idempotency-Key": "shared"})
    assert (status, told["type"]) == (422, "urn:b24pay:problem:key-used")
    assert "foreign" not in str(told)
    assert THEIRS not in str(told)
