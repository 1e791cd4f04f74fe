"""
OWASP API Security Top 10 (2023), one group per item that applies to who may do what.

Not here: API6 (no sensitive business flow is open to strangers), API7 (no request makes us call an address of the
caller's; callbacks and the install door have tests of their own), API10 (portals' answers: tests/integration/bitrix24).
"""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web

from access.roles import CHANGERS, READERS, Role
from config.settings import Settings
from tests.bearers import bearing
from tests.canaries import BEARER_SECRET
from tests.integration.web.access_app import FILLED, Front, a_front, reached, with_handler
from web.access import DESK, PRINCIPAL
from web.routes import ROUTES, Route
from web.throttle import BURST


async def told(request: web.Request) -> web.Response:
    """All that a handler knows of the one who asks."""
    principal = request[PRINCIPAL]
    return web.json_response({"portals": sorted(principal.portals or ()), "who": repr(principal)})


SAMPLE = [
    Route(method="GET", path="/sample/read", handler=told, roles=READERS),
    Route(method="GET", path="/sample/{key}", handler=told, roles=READERS),
    Route(method="POST", path="/sample/{key}/change", handler=told, roles=CHANGERS, action="sample.change"),
    Route(method="POST", path="/sample/produce", handler=told, roles=frozenset({Role.PRODUCER})),
]
# Pages are opened by sessions and never by a bearer token: tests/integration/web/test_pages_access.py.
TABLE = [*(route for route in with_handler(reached) if not route.page), *SAMPLE]
WITH_KEY = [route for route in TABLE if "{key}" in route.path and route.roles]
GUESS = {"Authorization": f"Bearer b24t_{'0' * 12}_{BEARER_SECRET}"}


@pytest.fixture
async def front(redis_url: str, a_settings: Callable[..., Settings]) -> AsyncIterator[Front]:
    """The whole table, and a server where a token was made."""
    async with a_front(a_settings(REDIS_URL=redis_url, B24PAY_WEB_PROXIES="127.0.0.0/8"), TABLE) as front:
        await front.token("somebody", Role.VIEWER)
        yield front


class TestApi1ObjectLevelAuthorization:
    """A token for some portals reaches no other."""

    @pytest.mark.parametrize("role", Role)
    async def test_another_portal_looks_like_none(self, role: Role, front: Front):
        """The same answer whether it exists, on every route that names one, and the handler is not reached."""
        headers = await front.token("limited", role, portals=["globex"])
        for route in WITH_KEY:
            if role not in route.roles:
                continue
            there, nowhere = [await front.ask(route, headers, key=key) for key in ("acme", "never-heard-of")]
            assert there.status == nowhere.status == 404
            assert (await there.json())["type"] == "urn:b24pay:problem:no-portal"
            assert (await there.json())["detail"] == (await nowhere.json())["detail"]
            assert (await front.ask(route, headers, key="globex")).status == 200

    async def test_a_portal_s_other_spelling_is_another_portal(self, front: Front):
        """Encoded, in capitals, with a path in it: nothing gets around the comparison."""
        headers = await front.token("limited", Role.OPERATOR, portals=["globex"])
        for key in ("Globex", "globex%2F..%2Facme", "globex%00", "globex%20", "%2e%2e%2Facme"):
            assert (await front.get(f"/sample/{key}", **headers)).status == 404, key

    async def test_what_is_no_change_leaves_no_entry(self, front: Front):
        """A refusal by portal is before the audit."""
        headers = await front.token("limited", Role.OPERATOR, portals=["globex"])
        await front.ask(SAMPLE[2], headers)
        assert [each async for each in front.parts.audit.entries(60)] == []


class TestApi2Authentication:
    """Guessing is slow, and cannot be hidden behind other addresses or shut others out."""

    async def test_an_address_with_bad_tokens_is_stopped(self, front: Front):
        """429 with Retry-After, also for one that would be right; another address is heard."""
        good = await front.token("good", Role.VIEWER)
        here = {"X-Forwarded-For": "203.0.113.7"}
        statuses = [(await front.get("/sample/read", **GUESS, **here)).status for _ in range(BURST + 3)]
        assert statuses == [401] * BURST + [429] * 3
        stopped = await front.get("/sample/read", **good, **here)
        assert stopped.status == 429
        assert int(stopped.headers["Retry-After"]) >= 1
        assert (await front.get("/sample/read", **good, **{"X-Forwarded-For": "203.0.113.8"})).status == 200

    async def test_what_is_stopped_asks_redis_nothing(self, front: Front):
        """Strangers cost no trips."""
        for _ in range(BURST):
            await front.get("/sample/read", **GUESS)
        before = (await front.parts.redis.info("commandstats"))["cmdstat_hget"]["calls"]
        for _ in range(20):
            assert (await front.get("/sample/read", **GUESS)).status == 429
        assert (await front.parts.redis.info("commandstats"))["cmdstat_hget"]["calls"] == before

    async def test_a_neighbour_s_bad_tokens_do_not_stop_a_known_one(self, front: Front):
        """Behind one address there may be many; a token that was right here before goes on, a revoked one does not."""
        good = await front.token("good", Role.VIEWER)
        assert (await front.get("/sample/read", **good)).status == 200
        for _ in range(BURST + 1):
            await front.get("/sample/read", **GUESS)
        assert (await front.get("/sample/read", **good)).status == 200

    async def test_asking_without_a_token_is_not_guessing(self, front: Front):
        """A monitor that forgot its header stops nobody."""
        for _ in range(BURST + 5):
            assert (await front.get("/sample/read")).status == 401

    async def test_no_answer_and_no_log_has_a_token(self, front: Front, capsys: pytest.CaptureFixture[str]):
        """Whatever happens to it."""
        bodies = [
            await (await front.get("/sample/read", **headers)).text() for headers in (GUESS, {}, await _any(front))
        ]
        assert BEARER_SECRET not in "".join([*bodies, capsys.readouterr().out])


async def _any(front: Front) -> dict[str, str]:
    return bearing(front.tokens["somebody"])


class TestApi3PropertyLevelAuthorization:
    """Nothing that a caller sends changes who they are."""

    async def test_headers_and_query_name_no_role_and_no_portal(self, front: Front):
        """Role and portals come from the row."""
        headers = await front.token("limited", Role.VIEWER, portals=["globex"])
        more = {"X-Role": "operator", "X-Portals": "acme", "X-HTTP-Method-Override": "POST", "X-User": "root"}
        answer = await front.get("/sample/read?role=operator&portals=acme", **headers, **more)
        assert (await answer.json())["portals"] == ["globex"]
        assert "viewer" in (await answer.json())["who"]


class TestApi4ResourceConsumption:
    """A token has a pace, a body an end."""

    @pytest.mark.parametrize(("role", "burst"), [(Role.VIEWER, 200), (Role.OPERATOR, 200), (Role.PRODUCER, 6000)])
    async def test_each_token_has_a_pace_of_its_own(self, role: Role, burst: int, front: Front):
        """Full for one, free for another of the same role and address; what drains is let through again."""
        fast, other = await front.token("fast", role), await front.token("other", role)
        path = "/sample/produce" if role is Role.PRODUCER else "/sample/read"
        method = "POST" if role is Role.PRODUCER else "GET"
        pace = front.client.app[DESK].paces[role]
        now = pace._clock()
        pace._clock = lambda: now
        token_id = front.tokens["fast"].token.id
        assert [pace.count(token_id) for _ in range(burst)] == [0.0] * burst
        for headers, status in ((fast, 429), (other, 200)):
            async with front.client.request(method, path, headers=headers) as answer:
                assert answer.status == status
                assert ("Retry-After" in answer.headers) == (status == 429)
        pace._clock = lambda: now + 1.0
        async with front.client.request(method, path, headers=fast) as answer:
            assert answer.status == 200

    async def test_whoever_may_not_come_in_need_not_be_read(self, front: Front):
        """A large body without a token is refused by its header."""
        async with front.client.post("/sample/produce", data=b"x" * 1_000_000) as answer:
            assert answer.status == 401


class TestApi5FunctionLevelAuthorization:
    """What changes something is an operator's, whatever the method or spelling."""

    @pytest.mark.parametrize("role", [Role.PRODUCER, Role.VIEWER])
    async def test_no_other_role_changes_anything(self, role: Role, front: Front):
        """On every route with an action."""
        headers = await front.token(role, role)
        for route in TABLE:
            if route.action is not None:
                assert (await front.ask(route, headers)).status == 403, route.path

    async def test_other_methods_are_no_way_around(self, front: Front):
        """A path answers to the methods of the table alone."""
        headers = await _any(front)
        path = SAMPLE[2].path.format(**FILLED)
        for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "post"):
            async with front.client.request(method, path, headers=headers) as answer:
                assert answer.status in (403, 405), method


class TestApi8Misconfiguration:
    """Every answer is hardened, and none lets another page read it."""

    async def test_headers_of_every_kind_of_answer(self, front: Front):
        """401, 403, 404 and 200 alike; no CORS, nothing cached, no version."""
        headers = await _any(front)
        answers = [
            await front.get("/sample/read", **headers, Origin="https://evil.example.com"),
            await front.get("/sample/read"),
            await front.get("/nothing"),
            await front.ask(SAMPLE[3], headers),
        ]
        assert [answer.status for answer in answers] == [200, 401, 404, 403]
        for answer in answers:
            assert answer.headers["Cache-Control"] == "no-store"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Server"] == "b24pay"
            assert not [name for name in answer.headers if name.startswith("Access-Control-")]
            assert "Set-Cookie" not in answer.headers


class TestApi9Inventory:
    """What is served is what the table says."""

    async def test_the_application_serves_the_table_and_nothing_else(
        self, redis_url: str, a_settings: Callable[..., Settings]
    ):
        """No route of a library, none left over."""
        async with a_front(a_settings(REDIS_URL=redis_url)) as front:
            app: Any = front.client.app
            served = {(route.method, route.resource.canonical) for route in app.router.routes()}
        table = {(route.method, route.path) for route in ROUTES}
        assert served == table | {("HEAD", path) for method, path in table if method == "GET"}
