"""A browser without a screen: the application in the test's own process, its cookie, and its forms."""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientSession, CookieJar
from aiohttp.test_utils import TestClient, TestServer

from access.roles import Role
from access.sessions import Sessions
from access.tokens import Issued
from config.settings import Settings
from tests.bearers import a_token
from tests.canaries import SEARCH
from web.app import build_app
from web.parts import Parts, open_parts
from web.routes import ROUTES, Route

SESSION_SECRET = "c4naryOfTheSessionsThatTestsMake"
SEARCH.plant("session of the dashboard", SESSION_SECRET)
_OURS = {"Sec-Fetch-Site": "same-origin"}


@dataclass(frozen=True)
class Page:
    """What came back."""

    status: int
    text: str
    headers: Mapping[str, str]

    @property
    def form_key(self) -> str:
        """What the forms of the page bring along."""
        return re.search(r'name="form_key" value="([^"]*)"', self.text)[1]  # type: ignore[index]  # every page has one


@dataclass
class Browser:
    """One browser: it keeps its cookies, and follows no redirect by itself."""

    client: ClientSession
    base: str

    async def get(self, path: str, **headers: str) -> Page:
        """Open a page."""
        return await self._ask("GET", path, {"Accept": "text/html", **headers})

    async def post(self, path: str, fields: Mapping[str, str], headers: Mapping[str, str] = _OURS) -> Page:
        """Send a form as a page of ours does."""
        return await self._ask("POST", path, {"Accept": "text/html", **headers}, data=fields)

    async def sign_in(self, token: Issued | str, **fields: str) -> Page:
        """Enter a token."""
        text = token if isinstance(token, str) else token.text
        return await self.post("/sign-in", {"token": text, **fields})

    async def send(self, page: str, action: str, fields: Mapping[str, str]) -> Page:
        """Open a page and send one of its forms."""
        opened = await self.get(page)
        return await self.post(action, {"form_key": opened.form_key, **fields})

    def cookies(self) -> dict[str, Any]:
        """What it keeps."""
        return {cookie.key: cookie for cookie in self.client.cookie_jar}

    async def _ask(self, method: str, path: str, headers: Mapping[str, str], **options: Any) -> Page:
        url = f"{self.base}{path}"
        async with self.client.request(method, url, headers=headers, allow_redirects=False, **options) as came:
            return Page(came.status, await came.text(), came.headers)


@dataclass
class Lobby:
    """The application, and the browsers in front of it."""

    parts: Parts
    client: TestClient[Any, Any]
    browsers: list[ClientSession] = field(default_factory=list)

    @property
    def base(self) -> str:
        """Where it is served."""
        return str(self.client.make_url("")).rstrip("/")

    def browser(self) -> Browser:
        """A new browser."""
        session = ClientSession(cookie_jar=CookieJar(unsafe=True))
        self.browsers.append(session)
        return Browser(session, self.base)

    async def token(self, role: Role, name: str = "", **options: Any) -> Issued:
        """A new token."""
        return await a_token(self.parts.redis, name or role.value, role, **options)

    async def signed_in(self, role: Role, **options: Any) -> Browser:
        """A browser whose user is signed in."""
        browser = self.browser()
        assert (await browser.sign_in(await self.token(role, **options))).status == 303
        return browser


@asynccontextmanager
async def a_lobby(settings: Settings, routes: Sequence[Route] = ROUTES) -> AsyncIterator[Lobby]:
    """Serve a table on one server; every session's id has the canary in it."""
    number = 0

    def new_id() -> str:
        nonlocal number
        number += 1
        return f"{SESSION_SECRET}{number}"

    async with open_parts(settings) as parts:
        object.__setattr__(parts, "sessions", Sessions(parts.redis, new_id=new_id))
        async with TestClient(TestServer(build_app(parts, routes))) as client:
            lobby = Lobby(parts, client)
            try:
                yield lobby
            finally:
                for session in lobby.browsers:
                    await session.close()
