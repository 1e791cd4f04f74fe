"""A receiver of callbacks: a real server in a thread of its own, which answers as a script says."""

import asyncio
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook

from tests.canaries import SIGNING_SECRET


@dataclass(frozen=True, slots=True)
class Reply:
    """How one request is answered."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    lost: bool = False  # the connection breaks instead
    endless: bool = False  # the body never ends
    held: bool = False  # nothing comes until `let_go`


@dataclass(frozen=True, slots=True)
class Letter:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: str

    @property
    def id(self) -> str:
        """What a receiver knows a repetition by."""
        return self.headers["webhook-id"]

    def read(self, secret: str = SIGNING_SECRET) -> dict[str, Any]:
        """Verified by the reference library; raises WebhookVerificationError."""
        told: dict[str, Any] = Webhook(secret).verify(self.body, self.headers)
        return told


class Receiver:
    """Answers by the next reply of `script`, and by `usual` after its end."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.letters: list[Letter] = []
        self.script: deque[Reply] = deque()
        self.usual = Reply()
        self.at_once = self.most_at_once = 0
        self._loop = asyncio.new_event_loop()
        self._held = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._port = 0

    @property
    def url(self) -> str:
        """Where it is called."""
        return f"http://{self.host}:{self._port}/told"

    @property
    def ids(self) -> list[str]:
        """The ids of what came, in order."""
        return [letter.id for letter in self.letters]

    def let_go(self) -> None:
        """Whatever was held is answered, and nothing is held any more."""
        self._loop.call_soon_threadsafe(self._held.set)

    def start(self) -> None:
        """Listen at a free port."""
        self._thread.start()
        self._runner = asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result(10)

    def stop(self) -> None:
        """End the server and its thread."""
        self.let_go()
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _serve(self) -> web.AppRunner:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, self.host, 0)
        await site.start()
        self._port = runner.addresses[0][1]
        return runner

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.letters.append(Letter(request.path_qs, headers, await request.text()))
        reply = self.script.popleft() if self.script else self.usual
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await self._give(request, reply)
        finally:
            self.at_once -= 1

    async def _give(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        if reply.held:
            await self._held.wait()
        if reply.lost:
            assert request.transport is not None
            request.transport.abort()
        response = web.StreamResponse(status=reply.status, headers=reply.headers)
        if reply.endless:
            await response.prepare(request)
            while True:
                await response.write(b"x" * 65536)
        return web.Response(status=reply.status, headers=reply.headers)


@contextmanager
def receiving(host: str = "127.0.0.1") -> Iterator[Receiver]:
    """A running receiver."""
    receiver = Receiver(host)
    receiver.start()
    try:
        yield receiver
    finally:
        receiver.stop()
