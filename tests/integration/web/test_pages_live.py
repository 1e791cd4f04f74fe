"""`/live`: an open page hears of what happens at once, of Redis going and coming back, and of its session's end."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from access.roles import Role
from cli.embedded import EmbeddedServer
from config.settings import Settings
from tests.conformance.ledger.world import an_ask
from tests.eventually import eventually
from tests.integration.web.pages_house import Browser, Lobby, a_lobby
from web.pages import live
from web.pages.live import LOOKER


class Heard:
    """What one stream has said."""

    def __init__(self, lines: AsyncIterator[bytes]) -> None:
        self._lines = lines

    async def next(self, within_s: float = 10.0) -> str:
        """The next event; "" at the end of the stream."""
        async with asyncio.timeout(within_s):
            async for line in self._lines:
                if line.startswith(b"event: "):
                    return line.removeprefix(b"event: ").decode().strip()
        return ""

    async def until(self, event: str) -> None:
        """Wait for an event."""
        while (heard := await self.next()) != event:
            assert heard, f"the stream ended before {event}"


@asynccontextmanager
async def a_stream(browser: Browser) -> AsyncIterator[Heard]:
    """One open page's stream."""
    async with browser.client.get(f"{browser.base}/live", headers={"Accept": "text/event-stream"}) as answer:
        assert answer.status == 200
        assert answer.content_type == "text/event-stream"
        assert answer.headers["Cache-Control"] == "no-store"
        yield Heard(answer.content)


@pytest.fixture
async def lobby(own_server: EmbeddedServer, a_settings: Callable[..., Settings]) -> AsyncIterator[Lobby]:
    """The real pages, on a server that a test may stop."""
    async with a_lobby(a_settings(REDIS_URL=own_server.url)) as lobby:
        await lobby.parts.ledger.add_lane("acme")
        yield lobby


async def test_streams_tell_of_changes_of_redis_and_of_the_session_s_end(lobby: Lobby, own_server: EmbeddedServer):
    """One after the other on one server: a change at once, an outage, its end, and the end of the session."""
    browser = await lobby.signed_in(Role.VIEWER)
    async with a_stream(browser) as heard, a_stream(browser) as other:
        assert await heard.next() == "standing"
        assert await other.next() == "standing"
        await heard.until("change")  # the first look
        began = time.monotonic()
        await lobby.parts.ledger.open([an_ask("p1", portal="acme")])
        await heard.until("change")
        assert time.monotonic() - began < 5  # half a second, and whatever else this machine does
        await other.until("change")
        own_server.kill()
        await heard.until("away")
        own_server.start()
        await heard.until("change")
        await lobby.parts.sessions.end(next(iter(browser.cookies().values())).value)
        await heard.until("over")
        assert await heard.next() == ""
    await _nobody_looks(lobby)


async def _nobody_looks(lobby: Lobby) -> None:
    looker = lobby.client.app[LOOKER]
    await eventually(lambda: looker.streams == 0 and looker._task is None)


async def test_streams_end_with_the_process_and_are_bounded(lobby: Lobby, monkeypatch: pytest.MonkeyPatch):
    """One too many is told to ask by itself; a process that stops does not wait for pages to be closed."""
    monkeypatch.setattr(live, "MOST_STREAMS", 1)
    browser = await lobby.signed_in(Role.VIEWER)
    async with a_stream(browser) as heard:
        assert await heard.next() == "standing"
        async with a_stream(browser) as other:
            assert await other.next() == "full"
            assert await other.next() == ""
        began = time.monotonic()
        await lobby.client.server.app.shutdown()
        while await heard.next():
            pass
        assert time.monotonic() - began < 3


async def test_a_stream_needs_a_session(lobby: Lobby):
    """A script is not sent to a page; nor is anybody with a bearer token let in."""
    token = await lobby.token(Role.VIEWER)
    for headers in ({}, {"Authorization": f"Bearer {token.text}"}):
        async with lobby.client.get("/live", headers={"Accept": "text/event-stream", **headers}) as answer:
            assert answer.status == 401
