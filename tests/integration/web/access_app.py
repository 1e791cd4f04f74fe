"""The application in the test's own process, with the real table or with another one, and tokens of every role."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from access.roles import Role
from access.tokens import Issued
from config.settings import Settings
from tests.bearers import a_token, bearing
from web.access import PRINCIPAL
from web.app import build_app
from web.parts import Parts, open_parts
from web.routes import ROUTES, Route

# What a path is filled with: a token's own portal, and names that nothing has.
FILLED = {"key": "acme", "id": "p1", "door": "none"}


async def reached(request: web.Request) -> web.Response:
    """Stands in the place of a handler: who came through."""
    principal = request.get(PRINCIPAL)
    return web.json_response({"who": principal.name if principal else None})


def with_handler(handler: Callable[[web.Request], Any], routes: Sequence[Route] = ROUTES) -> list[Route]:
    """The same table in front of another handler."""
    return [replace(route, handler=handler) for route in routes]


@dataclass
class Front:
    """The application, and whoever asks it."""

    parts: Parts
    client: TestClient[Any, Any]
    tokens: dict[str, Issued] = field(default_factory=dict)

    async def token(self, name: str, role: Role, **options: Any) -> dict[str, str]:
        """The header of a new token."""
        self.tokens[name] = await a_token(self.parts.redis, name, role, **options)
        return bearing(self.tokens[name])

    async def ask(self, route: Route, headers: dict[str, str] | None = None, **path: str) -> ClientResponse:
        """One request to a route whose path is filled; its body is read."""
        url = route.path.format(**{**FILLED, **path})
        async with self.client.request(route.method, url, headers=headers) as answer:
            await answer.read()
            return answer

    async def get(self, url: str, **headers: str) -> ClientResponse:
        """One request whose body is read."""
        async with self.client.get(url, headers=headers) as answer:
            await answer.read()
            return answer


@asynccontextmanager
async def a_front(settings: Settings, routes: Sequence[Route] = ROUTES) -> AsyncIterator[Front]:
    """Serve a table on one server."""
    async with open_parts(settings) as parts, TestClient(TestServer(build_app(parts, routes))) as client:
        yield Front(parts, client)
