"""Who may see a page and send a form: sessions, roles, and what a page of elsewhere cannot do."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
from aiohttp import web

from access.roles import CHANGERS, WATCHERS, Role
from config.settings import Settings
from tests.bearers import bearing, canary_tokens
from tests.canaries import BEARER_SECRET
from tests.integration.web.pages_house import SESSION_SECRET, Browser, Lobby, Page, a_lobby
from web.access import DESK, PRINCIPAL
from web.guards import Handler
from web.pages.entering import form_key_of
from web.pages.rendering import render
from web.problems import Problem
from web.routes import ROUTES, Route
from web.throttle import BURST

OF_DOORS = ("/sign-in", "/static/{name}")
PATHS = {"key": "acme", "id": "p1", "name": "x"}


async def reached(request: web.Request) -> web.Response:
    """Stands in the place of a page: the frame of all pages, and who came through."""
    told = Problem(
        200,
        "reached",
        f"reached by {request[PRINCIPAL].name} {request[PRINCIPAL].role}",
        f"form key {form_key_of(request)}",
    )
    return render(request, "fault.html", title="Sample", problem=told, request_id="", comes_back=False)


def _standing_in(route: Route) -> Handler:
    return route.handler if not route.page or route.path in (*OF_DOORS, "/sign-out") else reached


# The pages there are, with another inside; a form of an operator as tomorrow's pages have them; and the API as it is.
TABLE = [
    *(replace(route, handler=_standing_in(route)) for route in ROUTES),
    Route(method="GET", path="/sample", handler=reached, roles=WATCHERS, page=True),
    Route(method="POST", path="/sample/{key}", handler=reached, roles=CHANGERS, page=True, action="sample.change"),
]
PAGES = [route for route in TABLE if route.page and route.roles and route.path != "/sign-out"]


@pytest.fixture
async def lobby(redis_url: str, a_settings: Callable[..., Settings]) -> AsyncIterator[Lobby]:
    """The table, on a server where a token was made."""
    async with a_lobby(a_settings(REDIS_URL=redis_url), TABLE) as lobby:
        await lobby.token(Role.VIEWER, "first")
        yield lobby


async def key_of(browser: Browser) -> str:
    """What the browser's forms bring along."""
    return re.search(r"form key (\w+)", (await browser.get("/sample")).text)[1]  # type: ignore[index]  # it is told


async def ask(browser: Browser, route: Route, form_key: str = "") -> Page:
    """Open a page, or send its form."""
    path = route.path.format(**PATHS)
    return await (browser.get(path) if route.method == "GET" else browser.post(path, {"form_key": form_key}))


async def test_a_token_becomes_a_session_and_is_seen_nowhere_afterwards(lobby: Lobby):
    """The cookie is a random id that no script reads and no page of elsewhere sends; Redis has a hash of it."""
    browser = lobby.browser()
    page = await browser.sign_in(await lobby.token(Role.OPERATOR, "ops"), next="/workers?x=1")
    assert (page.status, page.headers["Location"]) == (303, "/workers?x=1")
    [cookie] = browser.cookies().values()
    said = page.headers["Set-Cookie"]
    assert all(each in said for each in ("HttpOnly", "SameSite=Strict", "Path=/"))
    assert "Secure" not in said
    assert cookie.key == "b24pay"
    assert BEARER_SECRET not in cookie.value
    assert "reached by ops operator" in (await browser.get("/sample")).text
    for key in await lobby.parts.redis.keys("b24pay:{0}:session:*"):
        row = await lobby.parts.redis.get(key)
        assert SESSION_SECRET.encode() not in key + row
        assert BEARER_SECRET.encode() not in row
        assert 0 < await lobby.parts.redis.ttl(key) <= 43_200


async def test_over_https_the_cookie_is_bound_to_this_host(redis_url: str, a_settings: Callable[..., Settings]):
    """Behind a proxy the public address says so; a cookie of the plain name is none there."""
    async with a_lobby(a_settings(REDIS_URL=redis_url, B24PAY_WEB_URL="https://pay.example.com"), TABLE) as lobby:
        browser = lobby.browser()
        page = await browser.sign_in(await lobby.token(Role.VIEWER))
        said = page.headers["Set-Cookie"]
        assert said.startswith("__Host-b24pay=")
        assert "Secure" in said
        assert "Domain" not in said
        session = said.partition("=")[2].partition(";")[0]
        assert (await browser.get("/sample", Cookie=f"__Host-b24pay={session}")).status == 200
        assert (await lobby.browser().get("/sample", Cookie=f"b24pay={session}")).status == 303


async def test_every_page_asks_for_a_session_and_only_a_session_opens_it(lobby: Lobby):
    """A bearer token opens no page; the way leads to the sign-in page and back."""
    token = await lobby.token(Role.OPERATOR)
    for route in PAGES:
        for headers in ({}, bearing(token), {"Cookie": "b24pay=" + "x" * 43}, {"Cookie": f"b24pay={token.text}"}):
            path = route.path.format(**PATHS)
            async with lobby.client.request(route.method, path, headers=headers, allow_redirects=False) as answer:
                assert answer.status == 303, path
                assert answer.headers["Location"].startswith("/sign-in"), path
                assert "reached" not in await answer.text()


async def test_a_cookie_opens_nothing_of_the_api(lobby: Lobby):
    """Not one route: a page of elsewhere could make a browser ask it."""
    browser = await lobby.signed_in(Role.OPERATOR)
    for route in TABLE:
        if route.roles and not route.page:
            async with browser.client.request(route.method, f"{lobby.base}{route.path.format(**PATHS)}") as answer:
                assert answer.status == 401, route.path


@pytest.mark.parametrize("role", sorted(WATCHERS))
async def test_each_role_sees_and_does_what_the_table_says(role: Role, lobby: Lobby):
    """A viewer sees every page and sends no form."""
    browser = await lobby.signed_in(role)
    key = await key_of(browser)
    for route in PAGES:
        page = await ask(browser, route, key)
        if role in route.roles:
            assert (page.status, "reached by" in page.text) == (200, True), route.path
        else:
            assert (page.status, "reached by" in page.text) == (403, False), route.path
            assert "it takes the role operator" in page.text


async def test_a_producer_is_told_where_to_go_instead(lobby: Lobby):
    """There is no dashboard for programs, and no session."""
    browser = lobby.browser()
    page = await browser.sign_in(await lobby.token(Role.PRODUCER))
    assert page.status == 403
    assert "hands payments in and follows them through the API" in page.text
    assert not browser.cookies()


async def test_a_portal_that_is_not_theirs_looks_like_none(lobby: Lobby):
    """As in the API."""
    browser = await lobby.signed_in(Role.OPERATOR, portals=["globex"])
    key = await key_of(browser)
    assert (await browser.post("/sample/globex", {"form_key": key})).status == 200
    assert (await browser.post("/sample/acme", {"form_key": key})).status == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "OURS"}, 403),
        ({"Origin": "OURS"}, 200),
        ({"Origin": "https://evil.example.com"}, 403),
        ({"Origin": "null"}, 403),
        ({}, 403),
    ],
)
async def test_a_form_is_taken_from_pages_of_this_address_alone(headers: dict[str, str], status: int, lobby: Lobby):
    """Even with the right key, and with the cookie that a browser might send."""
    browser = await lobby.signed_in(Role.OPERATOR)
    fields = {"form_key": await key_of(browser)}
    told = {name: lobby.base if value == "OURS" else value for name, value in headers.items()}
    assert (await browser.post("/sample/acme", fields, told)).status == status
    assert [entry.what async for entry in lobby.parts.audit.entries(60)] == ["sample.change"] * (status == 200)


async def test_a_form_needs_the_key_of_its_own_session(lobby: Lobby):
    """None, another session's, or one that was made up: refused before anything is written down."""
    browser, other = await lobby.signed_in(Role.OPERATOR), await lobby.signed_in(Role.OPERATOR, name="other")
    for key in ("", await key_of(other), "x" * 64, "\u00e9"):
        page = await browser.post("/sample/acme", {"form_key": key})
        assert page.status == 403
        assert "belongs to another session" in page.text
    assert [entry async for entry in lobby.parts.audit.entries(60)] == []
    assert (await browser.post("/sample/acme", {"form_key": await key_of(browser)})).status == 200


async def test_signing_out_ends_the_session_everywhere(lobby: Lobby):
    """A copy of the cookie is worth nothing afterwards."""
    browser, copy = await lobby.signed_in(Role.VIEWER), lobby.browser()
    copy.client.cookie_jar.update_cookies({key: each.value for key, each in browser.cookies().items()})
    assert (await copy.get("/sample")).status == 200
    page = await browser.post("/sign-out", {"form_key": await key_of(browser)})
    assert (page.status, page.headers["Location"]) == (303, "/sign-in?out=1")
    assert not browser.cookies()
    assert (await copy.get("/sample")).status == 303


async def test_signing_in_again_ends_the_session_before(lobby: Lobby):
    """Whoever gave a browser a session does not share the one that follows."""
    browser, copy = await lobby.signed_in(Role.VIEWER), lobby.browser()
    copy.client.cookie_jar.update_cookies({key: each.value for key, each in browser.cookies().items()})
    await browser.sign_in(await lobby.token(Role.VIEWER, "again"))
    assert (await browser.get("/sample")).status == 200
    assert (await copy.get("/sample")).status == 303


@pytest.mark.parametrize("end", ["revoked", "expired"])
async def test_a_session_ends_with_its_token(end: str, lobby: Lobby):
    """Within two seconds, as the token itself does."""
    browser = lobby.browser()
    token = await lobby.token(Role.OPERATOR, lives_s=1 if end == "expired" else None)
    assert (await browser.sign_in(token)).status == 303
    if end == "revoked":
        assert (await browser.get("/sample")).status == 200
        await lobby.parts.tokens.revoke(token.token.id)
    loop = asyncio.get_running_loop()
    began = loop.time()
    while (await browser.get("/sample")).status == 200:
        assert loop.time() - began < 2.5
        await asyncio.sleep(0.05)
    assert (await browser.get("/sample")).headers["Location"] == "/sign-in?next=%2Fsample"


async def test_bad_tokens_are_told_apart_and_counted(lobby: Lobby):
    """With cause and next step; an address with too many is not heard any more, on the page as in the API."""
    tokens = canary_tokens(lobby.parts.redis)
    revoked = await tokens.create("revoked", Role.OPERATOR)
    await tokens.revoke(revoked.token.id)
    browser = lobby.browser()
    for text, told in ((revoked.text, "was revoked"), ("b24t_x", "not known"), ("", "not known")):
        page = await browser.sign_in(text)
        assert page.status == 401
        assert told in page.text
        assert BEARER_SECRET not in page.text
    for _ in range(BURST):
        page = await browser.sign_in("b24t_x")
    assert page.status == 429
    assert int(page.headers["Retry-After"]) > 0
    async with lobby.client.get("/v1/portals", headers={"Authorization": "Bearer x"}) as answer:
        assert answer.status == 429
    lobby.client.app[DESK].failed._levels.clear()
    assert (await browser.sign_in(await lobby.token(Role.VIEWER))).status == 303


@pytest.mark.parametrize(
    "path", ["//evil.example.com", "https://evil.example.com", "/\\evil", "\\/evil", "", "/sign-in"]
)
async def test_the_way_back_leads_nowhere_else(path: str, lobby: Lobby):
    """Whatever somebody has put into the address."""
    page = await lobby.browser().sign_in(await lobby.token(Role.VIEWER), next=path)
    assert page.headers["Location"] == "/"


async def test_a_link_in_a_message_leads_to_the_page(lobby: Lobby):
    """A browser keeps a strict cookie back from there: the page is asked for once more, by ourselves."""
    page = await lobby.browser().get("/sample?x=%0d%0a1", **{"Sec-Fetch-Site": "cross-site"})
    assert (page.status, page.headers["Refresh"]) == (200, "0; url=/sample?x=%0D%0A1")
    assert "reached" not in page.text
    page = await lobby.browser().get("/sample", **{"Sec-Fetch-Site": "same-origin"})
    assert page.status == 303


async def test_without_a_token_this_machine_sees_everything_and_is_told_so(
    redis_url: str, a_settings: Callable[..., Settings]
):
    """As in the API; forms still come from our own pages, and the first token closes it."""
    async with a_lobby(a_settings(REDIS_URL=redis_url), TABLE) as lobby:
        browser = lobby.browser()
        page = await browser.get("/sample")
        assert "Open on this machine" in page.text
        fields = {"form_key": await key_of(browser)}
        assert (await browser.post("/sample/acme", fields)).status == 200
        assert (await browser.post("/sample/acme", {})).status == 403
        assert (await browser.post("/sample/acme", fields, {"Origin": "http://localhost:1"})).status == 403
        assert (await browser.get("/sample", **{"X-Forwarded-For": "203.0.113.7"})).status == 303
        token = await lobby.token(Role.VIEWER)
        assert (await browser.sign_in(token)).status == 303
        assert "reached by viewer" in (await browser.get("/sample")).text
