"""The emulator's web server: hands requests to portals or to the admin, and replies to the wire."""

import asyncio
import contextlib
import json
import socket
import ssl
import struct
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web
from aiohttp.web_request import BaseRequest

from emulator import admin
from emulator.call import Incoming
from emulator.certificate import make_certificate
from emulator.farm import Farm, make_farm
from emulator.installing import install
from emulator.listening import LoopbackServer, address_of, listen, split_address
from emulator.reply import Delivery, Reply, html_reply
from emulator.rest import answer
from emulator.token_door import answer_token

# Larger than any batch of fifty; beyond it the front end answers 413 by itself.
MAX_BODY = 8 * 1024 * 1024
_TOKEN_PATHS = {"/oauth/token/": answer_token, "/oauth/token": answer_token}
_CHUNK = b" " * 65536
_LINGER_NONE = struct.pack("ii", 1, 0)


class Handler:
    """One farm's answer to every request of the process."""

    def __init__(self, farm: Farm) -> None:
        self._farm = farm

    async def __call__(self, request: BaseRequest) -> web.StreamResponse:
        """Route by the first part of the path."""
        path = request.rel_url.raw_path
        if path.startswith(admin.PREFIX):
            return await admin.answer(self._farm, request)
        work = answer if path.startswith("/rest/") else _TOKEN_PATHS.get(path)
        if work is None:
            return _response(html_reply(404))
        try:
            incoming = await _read(request, path)
        except web.HTTPRequestEntityTooLarge:
            return _response(html_reply(413))
        except ConnectionError:
            # Gone before the whole request was here: a portal never hears of such a call.
            return web.Response()
        # A task of its own: a client that hangs up ends this handler, and the portal works on.
        reply = await asyncio.shield(self._farm.hold(work(self._farm, incoming)))
        return _response(reply) if reply.delivery is Delivery.WHOLE else await _deliver(request, reply)


async def _read(request: BaseRequest, path: str) -> Incoming:
    headers = request.headers
    content_type = headers.get("Content-Type", "")
    fields = await _fields(request) if content_type.startswith("multipart/form-data") else None
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    return Incoming(
        authority=headers.get("Host", "").lower(),
        path=path,
        query=request.rel_url.raw_query_string,
        http_method=request.method,
        content_type=content_type,
        body=b"" if fields is not None else await request.read(),
        fields=fields,
        bearer=token.strip() if scheme.lower() == "bearer" else None,
        request_id=headers.get("X-Request-ID", "") or request.rel_url.query.get("bx24_request_id", "") or "",
        ip=request.remote or "",
        secure=request.secure,
        gone=lambda: request.transport is None or request.transport.is_closing(),
    )


async def _fields(request: BaseRequest) -> list[tuple[str, str]]:
    try:
        posted = await request.post()
    except ValueError:
        return []  # PHP makes no parameters of a form it cannot read
    return [(name, value) for name, value in posted.items() if isinstance(value, str)]


def _response(reply: Reply) -> web.Response:
    headers = {"Server": "nginx", "Content-Type": reply.content_type, **reply.headers}
    return web.Response(status=reply.status, body=reply.body, headers=headers)


async def _deliver(request: BaseRequest, reply: Reply) -> web.StreamResponse:
    transport = request.transport
    if reply.delivery in (Delivery.RESET, Delivery.CLOSE) or transport is None:
        if transport is not None:
            _hang_up(transport, reset=reply.delivery is Delivery.RESET)
        return web.Response()
    response = web.StreamResponse(status=reply.status, headers={"Content-Type": reply.content_type, **reply.headers})
    # The client may well leave a body that is spoilt on purpose; that is its right, not an error.
    with contextlib.suppress(ConnectionError):
        await _stream(request, response, reply)
    return response


def _hang_up(transport: asyncio.Transport, *, reset: bool) -> None:
    if not reset:
        transport.close()
        return
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
    transport.abort()


async def _stream(request: BaseRequest, response: web.StreamResponse, reply: Reply) -> None:
    response.content_length = reply.size if reply.delivery is Delivery.HUGE else len(reply.body)
    await response.prepare(request)
    if reply.delivery is Delivery.HUGE:
        for _ in range(reply.size // len(_CHUNK)):
            await response.write(_CHUNK)
        await response.write(_CHUNK[: reply.size % len(_CHUNK)])
    elif reply.delivery is Delivery.CUT:
        await response.write(reply.body[: len(reply.body) // 2])
        if request.transport is not None:
            request.transport.close()
    else:
        for at in range(0, len(reply.body), 4):
            await response.write(reply.body[at : at + 4])
            await asyncio.sleep(reply.step_s)


@dataclass(slots=True)
class RunningEmulator:
    """A started emulator: its addresses and, in this process, its farm."""

    farm: Farm
    listen: list[str] = field(default_factory=list)  # plain HTTP, host:port
    tls: list[str] = field(default_factory=list)
    ca_file: Path | None = None

    @property
    def authority(self) -> str:
        """host:port of the first listener, which is also a portal's name."""
        return self.listen[0]

    @property
    def port(self) -> int:
        """Port of the first listener."""
        return int(self.authority.rpartition(":")[2])

    def loopback(self, number: int) -> str:
        """The nth of sixteen million portal names on an all-loopback listener."""
        high, low = divmod(number + 1, 65536)
        return f"127.{high % 256}.{low // 256}.{low % 256}:{self.port}"

    def webhook(self, authority: str | None = None, secret: str = "emulator-secret") -> str:  # noqa: S107 -- public
        """The URL of user 1's webhook on a portal."""
        return f"http://{authority or self.authority}/rest/1/{secret}/"

    def credential(self, authority: str | None = None, **oauth: object) -> dict[str, str]:
        """Install the OAuth application on a portal: what `portal add` reads on stdin. Each call begins a chain."""
        return install(self.farm, authority or self.authority, oauth)


@asynccontextmanager
async def running_emulator(
    config: object = None,
    *,
    addresses: Sequence[str] = ("127.0.0.1:0",),
    any_loopback: int | None = None,
    tls: Sequence[str] = (),
    exposed: Sequence[str] = (),
    farm: Farm | None = None,
) -> AsyncIterator[RunningEmulator]:
    """Run a farm on free (or given) loopback addresses of this process until the block ends.

    `exposed` addresses may be any: for a container, whose network is its own.
    """
    running = RunningEmulator(farm or make_farm(config))
    handler = Handler(running.farm)
    server = web.Server(handler, handler_cancellation=True, access_log=None, request_factory=_request)
    guarded = LoopbackServer(handler, handler_cancellation=True, access_log=None, request_factory=_request)
    async with contextlib.AsyncExitStack() as stack:
        listeners = [await listen(server, *split_address(address)) for address in addresses]
        listeners += [await listen(server, *split_address(address, exposed=True)) for address in exposed]
        if any_loopback is not None:
            # Bound to all so that every 127.x.y.z is a portal; LoopbackHandler turns strangers away.
            listeners.append(await listen(guarded, "0.0.0.0", any_loopback))  # noqa: S104 -- see above
        running.listen = [address_of(item) for item in listeners]
        if tls:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="emulator-")))
            context, running.ca_file = _tls_context(directory)
            secured = [await listen(server, *split_address(address), context) for address in tls]
            running.tls = [address_of(item) for item in secured]
            listeners += secured
        try:
            yield running
        finally:
            for item in listeners:
                item.close()
            await running.farm.close()
            await server.shutdown(0.1)
            await guarded.shutdown(0.1)


def _tls_context(directory: Path) -> tuple[ssl.SSLContext, Path]:
    certificate, key = make_certificate(directory)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context, certificate


def _request(message, payload, protocol, writer, task):  # type: ignore[no-untyped-def] # aiohttp's private types
    return BaseRequest(message, payload, protocol, writer, task, asyncio.get_running_loop(), client_max_size=MAX_BODY)


def ready_line(running: RunningEmulator) -> str:
    """The JSON line that tells a parent process where the emulator listens."""
    line: dict[str, object] = {"event": "emulator.ready", "listen": running.listen}
    if running.tls:
        line |= {"tls": running.tls, "ca_file": str(running.ca_file)}
    return json.dumps(line)
