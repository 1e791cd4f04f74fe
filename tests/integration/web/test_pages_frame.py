"""What every page has: a strict policy, its own files, refusals that people can read, and foreign text as text."""

import re
from collections.abc import AsyncIterator, Callable
from html import escape
from html.parser import HTMLParser

import pytest

from access.roles import Role
from config.settings import Settings
from tests.conformance.ledger.world import an_ask
from tests.integration.web.pages_house import Browser, Lobby, a_lobby
from web.pages import assets
from web.routes import ROUTES

HOSTILE = """<script>alert(1)</script><img src=x onerror=alert(2)>"'&lt;{{7*7}}"""
# Pages that need nothing to be there.
PLAIN = [route.path for route in ROUTES if route.page and route.method == "GET" and "{" not in route.path]
QUICK = [path for path in PLAIN if path not in ("/live", "/sign-in")]


class Read(HTMLParser):
    """What a browser would have to refuse by the policy, or load from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Scripts and styles in the page itself, handlers, and addresses that are not ours."""
        given = dict(attrs)
        if tag == "style" or (tag == "script" and "src" not in given):
            self.found.append(tag)
        for name, value in attrs:
            outside = name in ("src", "href", "action") and not (value or "").startswith(("/", "#"))
            if name == "style" or name.startswith("on") or outside or (value or "").startswith("//"):
                self.found.append(f"{tag} {name}={value}")


def against_the_policy(text: str) -> list[str]:
    """All of that in a page."""
    read = Read()
    read.feed(text)
    return read.found


@pytest.fixture
async def lobby(redis_url: str, a_settings: Callable[..., Settings]) -> AsyncIterator[Lobby]:
    """The real pages on a ledger with a lane whose portal speaks evil."""
    async with a_lobby(a_settings(REDIS_URL=redis_url)) as lobby:
        ledger = lobby.parts.ledger
        for portal in ("acme", "globex"):
            await ledger.add_lane(portal)
        await ledger.open([an_ask(f"p{n}", portal="acme", invoice_id=n + 1) for n in range(3)])
        await ledger.hold("acme", HOSTILE[:30], HOSTILE, remedy=HOSTILE)
        yield lobby


@pytest.fixture
async def browser(lobby: Lobby) -> Browser:
    """An operator's."""
    return await lobby.signed_in(Role.OPERATOR, name="ops")


async def test_every_page_has_the_strict_policy_and_nothing_inline(lobby: Lobby, browser: Browser):
    """No script, style or handler in a page, and nothing from elsewhere; nothing of it is kept by a cache."""
    for path in (*QUICK, "/sign-in", "/nothing"):
        page = await (lobby.browser() if path == "/sign-in" else browser).get(path)
        assert page.status == (404 if path == "/nothing" else 200), path
        policy = dict(part.strip().split(" ", 1) for part in page.headers["Content-Security-Policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert (policy["script-src"], policy["style-src"]) == ("'self'", "'self'")
        assert (policy["frame-ancestors"], policy["base-uri"], policy["form-action"]) == ("'none'", "'none'", "'self'")
        assert page.headers["Cache-Control"] == "no-store"
        assert page.headers["Referrer-Policy"] == "same-origin"
        assert against_the_policy(page.text) == [], path


async def test_files_are_a_fixed_list_and_kept_for_good(lobby: Lobby, browser: Browser):
    """Their names change with their content; nothing else is in the folder for anybody."""
    page = await browser.get("/workers")
    urls = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text))
    assert urls == {assets.url_of(name) for name in ("app.css", "app.js", "theme.js", "idiomorph.min.js", "icon.svg")}
    for url in urls:
        got = await lobby.browser().get(url)
        assert got.status == 200
        assert got.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert got.headers["Content-Type"].partition(";")[0] in ("text/css", "text/javascript", "image/svg+xml")
        assert got.headers["X-Content-Type-Options"] == "nosniff"
    for path in ("app.css", "app.000000000000.css", "..%2f..%2fapp.py", "idiomorph.LICENSE.txt"):
        assert (await lobby.browser().get(f"/static/{path}")).status == 404, path


async def test_foreign_text_is_shown_as_text(browser: Browser, lobby: Lobby):
    """Whatever a portal or a person has written."""
    page = await browser.get("/")
    assert escape(HOSTILE, quote=False).partition("{{")[0].partition('"')[0] in page.text
    assert "<script>alert" not in page.text
    assert "<img src=x" not in page.text
    assert "{{7*7}}" in page.text
    found = await browser.get("/audit?who=%22%3E%3Cscript%3Ealert(1)%3C/script%3E")
    assert "<script>alert" not in found.text
    missed = await browser.get("/%3Cscript%3Ealert(1)%3C/script%3E")
    assert "<script>alert" not in missed.text


async def test_refusals_are_pages_for_people_and_problems_for_programs(browser: Browser, lobby: Lobby):
    """With the cause, the next step and the request's id."""
    page = await browser.get("/nothing")
    assert page.status == 404
    assert "There is nothing at this address." in page.text
    assert page.headers["X-Request-ID"] in page.text
    async with lobby.client.get("/nothing") as answer:
        assert answer.content_type == "application/problem+json"
    async with lobby.client.get("/v1/nothing", headers={"Accept": "text/html"}) as answer:
        assert answer.content_type == "application/problem+json"
    wrong = await browser.post("/workers", {})
    assert wrong.status == 405
    assert "This address takes another method." in wrong.text


async def test_while_redis_is_away_pages_say_so(a_settings: Callable[..., Settings]):
    """503, when to come again, and that accepted payments are safe; the page comes back by itself."""
    async with a_lobby(a_settings(REDIS_URL="redis://127.0.0.1:1/0")) as lobby:
        for path in ("/", "/workers", "/sign-in"):
            page = await lobby.browser().get(path)
            assert page.status == 503, path
            assert page.headers["Retry-After"]
            assert "data-comes-back" in page.text
            assert "safe in the ledger" in page.text


async def test_a_limited_token_sees_its_own_portals_alone(lobby: Lobby):
    """No figure, name or reason of another; what tells of all is refused with a reason."""
    browser = await lobby.signed_in(Role.VIEWER, name="of globex", portals=["globex"])
    page = await browser.get("/")
    assert page.status == 200
    assert "acme" not in page.text
    assert "alert(" not in page.text
    assert "Your token is for 1 portal: globex." in page.text
    assert "acme" not in (await browser.get("/workers")).text
    audit = await browser.get("/audit")
    assert (audit.status, "tells of all" in audit.text) == (403, True)


async def test_pages_are_whole_without_a_script(browser: Browser):
    """Links and forms alone: the navigation, and signing out."""
    page = await browser.get("/")
    for path in ("/portals", "/payments", "/failures", "/doubts", "/reconcile", "/workers", "/audit"):
        assert f'href="{path}"' in page.text
    assert (await browser.post("/sign-out", {"form_key": page.form_key})).status == 303
