"""Sockets of the farm: HTTP and TLS listeners, and the guard of the all-loopback one."""

import asyncio
import ssl
from ipaddress import ip_address
from typing import cast

from aiohttp import web
from aiohttp.web_protocol import RequestHandler


class LoopbackHandler(RequestHandler):
    """Speaks only within 127.0.0.0/8, though its socket is bound to every address."""

    __slots__ = ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Drop a connection whose peer or own address is not loopback, before it can say anything."""
        super().connection_made(transport)
        ends = (transport.get_extra_info("peername"), transport.get_extra_info("sockname"))
        if not all(end and ip_address(end[0]).is_loopback for end in ends):
            cast("asyncio.Transport", transport).abort()


class LoopbackServer(web.Server):
    """A server whose connections are all guarded."""

    def __call__(self) -> RequestHandler:
        """Make the protocol of one connection."""
        return LoopbackHandler(self, loop=self._loop, **self._kwargs)


async def listen(server: web.Server, host: str, port: int, tls: ssl.SSLContext | None = None) -> asyncio.Server:
    """Open one listener; port 0 takes a free one."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(server, host, port, ssl=tls, backlog=4096)


def address_of(listener: asyncio.Server) -> str:
    """host:port of a listener."""
    host, port = listener.sockets[0].getsockname()[:2]
    return f"{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"  # noqa: S104 -- named, not bound


def split_address(text: str, *, exposed: bool = False) -> tuple[str, int]:
    """Read HOST:PORT; only loopback addresses are taken, unless somebody asked for the others by name."""
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"{text!r}: expected HOST:PORT")
    address = ip_address("127.0.0.1" if host == "localhost" else host)
    if not (exposed or address.is_loopback):
        raise ValueError(f"{text!r}: the emulator listens on loopback addresses only")
    return host, int(port)
