"""The table of routes is the table of rights: every route, every role, and every way not to have a token."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web

from access.roles import CHANGERS, READERS, Role
from config.settings import Settings
from tests.bearers import bearing, canary_tokens
from tests.canaries import BEARER_SECRET
from tests.integration.web.access_app import Front, a_front, reached, with_handler
from web.access import DESK
from web.routes import ROUTES, Route

# More than there is today, so that the mechanism is held to what it promises for tomorrow's routes.
SAMPLE = [
    Route(method="GET", path="/sample/read", handler=reached, roles=READERS),
    Route(method="POST", path="/sample/{key}/change", handler=reached, roles=CHANGERS, action="sample.change"),
    Route(method="GET", path="/sample/producer", handler=reached, roles=frozenset({Role.PRODUCER})),
]
# Pages have sessions and no bearers: test_pages_access.py walks through them.
API = [route for route in ROUTES if not route.page]
TABLE = [*with_handler(reached, API), *SAMPLE]
CLOSED = [route for route in TABLE if route.roles]
OPEN = [route for route in TABLE if not route.roles]
# Whoever adds one must have a reason that is as good: it is the way in for everybody.
MAY_BE_OPEN = {
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("POST", "/v1/install/{key}/{door}"),
    ("GET", "/sign-in"),
    ("POST", "/sign-in"),
    ("GET", "/static/{name}"),
}


def name_of(route: Route) -> str:
    """As a test's name."""
    return f"{route.method} {route.path}"


@pytest.fixture
async def front(redis_url: str, a_settings: Callable[..., Settings]) -> AsyncIterator[Front]:
    """The whole table, and a server where a token was made."""
    async with a_front(a_settings(REDIS_URL=redis_url), TABLE) as front:
        await front.token("somebody", Role.VIEWER)
        yield front


def test_open_routes_are_these_and_no_others():
    """Health, the doors that verify their callers themselves, and the files that every page has."""
    assert {(route.method, route.path) for route in ROUTES if not route.roles} == MAY_BE_OPEN


def test_whatever_an_operator_changes_has_a_name_in_the_audit():
    """And whatever only reads has none; payments that are handed in are their own record."""
    for route in ROUTES:
        if route.method in ("GET", "HEAD"):
            assert route.action is None, name_of(route)
        elif route.roles == CHANGERS:
            assert route.action, name_of(route)


@pytest.mark.parametrize("role", Role)
async def test_each_role_may_what_the_table_says(role: Role, front: Front):
    """And nothing else: 403 with the reason, and the handler is not reached."""
    headers = await front.token(role, role)
    for route in TABLE:
        answer = await front.ask(route, headers)
        if not route.roles:
            assert (answer.status, (await answer.json())["who"]) == (200, None), name_of(route)
        elif role in route.roles:
            assert (answer.status, (await answer.json())["who"]) == (200, role), name_of(route)
        else:
            told = await answer.json()
            assert (answer.status, told["type"]) == (403, "urn:b24pay:problem:wrong-role"), name_of(route)
            assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]
            assert all(each in told["detail"] for each in route.roles)


async def ways_to_have_none(front: Front) -> dict[str, dict[str, str]]:
    """Headers of those who may nothing, by the problem they get."""
    tokens = canary_tokens(front.parts.redis)
    good = await tokens.create("good", Role.OPERATOR)
    expired = await tokens.create("expired", Role.OPERATOR, lives_s=0.001)
    revoked = await tokens.create("revoked", Role.OPERATOR)
    await tokens.revoke(revoked.token.id)
    basic = {"Authorization": f"Basic {good.text}"}
    return {
        "no-token": {},
        "no-token ": basic,
        "no-token  ": {"Authorization": good.text},
        "bad-token": {"Authorization": f"Bearer b24t_{'0' * 12}_{BEARER_SECRET}"},
        "bad-token ": {"Authorization": f"Bearer {good.text[:-1]}x"},
        "bad-token  ": {"Authorization": "Bearer "},
        "bad-token   ": {"Authorization": f"Bearer {good.text} {good.text}"},
        "bad-token    ": bearing(expired),
        "bad-token     ": bearing(revoked),
        "no-token   ": {"X-Api-Key": good.text, "Cookie": f"token={good.text}"},
    }


async def test_without_a_good_token_nothing_but_open_routes_is_reached(front: Front):
    """401 with the challenge of RFC 6750 on every route of the table."""
    ways = await ways_to_have_none(front)
    for route in TABLE:
        for problem, headers in ways.items():
            front.client.app[DESK].failed._levels.clear()  # a throttle would hide what is asked here
            answer = await front.ask(route, headers)
            if not route.roles:
                assert answer.status == 200, name_of(route)
                continue
            told = await answer.json()
            assert (answer.status, told["type"]) == (401, f"urn:b24pay:problem:{problem.strip()}"), name_of(route)
            assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="b24pay"')
            assert ("invalid_token" in answer.headers["WWW-Authenticate"]) == (problem.strip() == "bad-token")
            assert BEARER_SECRET not in await answer.text()
            assert told["next_step"]


async def test_only_whoever_has_its_secret_learns_what_became_of_a_token(front: Front):
    """Expired and revoked are told apart for its bearer; for others there is no such token."""
    ways = await ways_to_have_none(front)
    details = {}
    for problem in ("bad-token", "bad-token ", "bad-token    ", "bad-token     "):
        answer = await front.ask(CLOSED[0], ways[problem])
        details[problem] = (await answer.json())["detail"]
    assert list(details.values()) == [
        "This token is not known.",
        "This token is not known.",
        "This token has expired.",
        "This token was revoked.",
    ]


async def test_two_tokens_in_one_request_are_none(front: Front):
    """A proxy may have read the other one."""
    good = bearing(front.tokens["somebody"])["Authorization"]
    headers = [("Authorization", "Bearer x"), ("Authorization", good)]
    async with front.client.get("/sample/read", headers=headers) as answer:
        assert answer.status == 401


async def test_the_scheme_is_read_without_case_and_the_query_is_not_read(front: Front):
    """RFC 9110; a token in an address would stand in every log."""
    text = front.tokens["somebody"].text
    assert (await front.get("/sample/read", Authorization=f"bEARER   {text}")).status == 200
    async with front.client.get(f"/sample/read?access_token={text}") as answer:
        assert answer.status == 401


async def test_head_is_asked_as_get_is(front: Front):
    """It would tell whether something exists."""
    for route in CLOSED:
        if route.method == "GET":
            async with front.client.head(route.path.format(key="acme", id="p1")) as answer:
                assert answer.status == 401, name_of(route)


@pytest.mark.parametrize("path", ["/", "/v1", "/v2/payments", "/healthz/", "/sample", "/.env", "/sample/read/", "/%2e"])
async def test_unknown_addresses_are_404_whoever_asks(path: str, front: Front):
    """With and without a token the same, so that nothing is learned."""
    told = []
    for headers in ({}, bearing(front.tokens["somebody"]), {"Authorization": "Bearer x"}):
        async with front.client.get(path, headers=headers) as answer:
            body = await answer.json()
            told.append((answer.status, {name: body[name] for name in body if name != "request_id"}))
    assert told[0] == told[1] == told[2]
    assert told[0][0] == 404


async def test_a_route_that_is_not_in_the_table_is_nobody_s(redis_url: str, a_settings: Callable[..., Settings]):
    """A slip at building the application closes it, and says so in the log."""
    async with a_front(a_settings(REDIS_URL=redis_url), SAMPLE) as front:
        front.client.app[_table()].clear()
        assert (await front.get("/sample/read")).status == 500


def _table() -> Any:
    from web.access import TABLE as KEY

    return KEY


async def test_a_revoked_token_is_refused_by_a_running_process_within_two_seconds(front: Front):
    """No restart, no signal."""
    headers = await front.token("shop", Role.VIEWER)
    assert (await front.get("/sample/read", **headers)).status == 200
    await front.parts.tokens.revoke(front.tokens["shop"].token.id)
    loop = asyncio.get_running_loop()
    began = loop.time()
    while (await front.get("/sample/read", **headers)).status == 200:
        assert loop.time() - began < 2.5
        await asyncio.sleep(0.05)


async def test_while_no_token_was_made_this_machine_may_everything_until_there_is_one(
    redis_url: str, a_settings: Callable[..., Settings]
):
    """As the principal "development"; then tokens are required, at once and for good."""
    async with a_front(a_settings(REDIS_URL=redis_url), TABLE) as front:
        for route in CLOSED:
            answer = await front.ask(route)
            assert (answer.status, (await answer.json())["who"]) == (200, "development"), name_of(route)
        assert (await front.get("/sample/read", Authorization="Bearer x")).status == 401
        headers = await front.token("first", Role.VIEWER)
        assert (await front.get("/sample/read", **headers)).status == 200
        loop = asyncio.get_running_loop()
        began = loop.time()
        while (await front.get("/sample/read")).status == 200:
            assert loop.time() - began < 2.5
            await asyncio.sleep(0.05)
        await front.parts.tokens.revoke(front.tokens["first"].token.id)
        assert (await front.get("/sample/read")).status == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "203.0.113.7"},
        {"Forwarded": "for=203.0.113.7"},
        {"X-Real-IP": "203.0.113.7"},
        {"Via": "1.1 proxy"},
        {"Host": "pay.example.com"},
        {"Host": "127.0.0.1.example.com"},
        {"Origin": "https://evil.example.com"},
        {"Origin": "null"},
    ],
)
async def test_without_tokens_nothing_that_was_passed_on_is_let_in(
    headers: dict[str, str], redis_url: str, a_settings: Callable[..., Settings]
):
    """By a proxy, by a name of somebody else's, or by a page of somebody else's in a browser on this machine."""
    async with a_front(a_settings(REDIS_URL=redis_url), SAMPLE) as front:
        assert (await front.get("/sample/read", **headers)).status == 401
        assert (await front.get("/sample/read", Origin="http://localhost:8080")).status == 200


@pytest.mark.parametrize(
    "settings",
    [
        {"B24PAY_WEB_URL": "https://pay.example.com"},
        {"B24PAY_WEB_LISTEN": "0.0.0.0:0"},
        {"B24PAY_WEB_LISTEN": "pay.internal:80"},
        {"B24PAY_WEB_LISTEN": "[::]:80"},
        {"B24PAY_WEB_LISTEN": "192.168.1.5:80"},
    ],
)
async def test_a_process_that_others_reach_lets_nobody_in_without_a_token(
    settings: dict[str, str], redis_url: str, a_settings: Callable[..., Settings]
):
    """Also where none was ever made."""
    async with a_front(a_settings(REDIS_URL=redis_url, **settings), SAMPLE) as front:
        assert (await front.get("/sample/read")).status == 401


async def test_with_redis_away_nobody_is_let_in(redis_url: str, a_settings: Callable[..., Settings]):
    """503 and a time to come again: neither open nor "your token is wrong"."""
    away = a_settings(REDIS_URL="redis://127.0.0.1:1/0")
    async with a_front(away, TABLE) as front:
        for headers in ({}, {"Authorization": f"Bearer b24t_{'0' * 12}_{BEARER_SECRET}"}):
            answer = await front.get("/sample/read", **headers)
            assert answer.status == 503
            assert answer.headers["Retry-After"]


async def test_a_handler_that_is_not_reached_leaves_no_entry(front: Front):
    """Only what could change something is written down."""
    viewer = await front.token("v", Role.VIEWER)
    operator = await front.token("o", Role.OPERATOR)
    change = SAMPLE[1]
    assert (await front.ask(change, viewer)).status == 403
    assert [each async for each in front.parts.audit.entries(3600)] == []
    assert (await front.ask(change, operator)).status == 200
    [entry] = [each async for each in front.parts.audit.entries(3600)]
    assert (entry.who, entry.what, entry.subjects, entry.outcome) == ("o", "sample.change", ("acme",), "done")
    assert entry.token == front.tokens["o"].token.id


async def crash(request: web.Request) -> web.Response:
    """A handler with a fault."""
    raise ValueError("secret of a fault")


@pytest.mark.parametrize("fault", [crash])
async def test_a_handler_that_breaks_off_is_an_entry_that_says_so(
    fault: Any, redis_url: str, a_settings: Callable[..., Settings]
):
    """And the caller learns no more than a request id."""
    async with a_front(a_settings(REDIS_URL=redis_url), with_handler(fault, SAMPLE)) as front:
        answer = await front.ask(front_change := SAMPLE[1])
        assert (answer.status, front_change.action) == (500, "sample.change")
        assert "secret of a fault" not in await answer.text()
        [entry] = [each async for each in front.parts.audit.entries(3600)]
        assert (entry.who, entry.outcome, entry.error) == ("development", "failed", "ValueError")
        assert entry.request_id == answer.headers["X-Request-ID"]
