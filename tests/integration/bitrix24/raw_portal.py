"""A portal that does anything a peer can do to a connection: each request is answered by the next step of a script."""

import asyncio
import contextlib
import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from bitrix24.facts import Pay
from bitrix24.portal import Portal, parse_portal

# Shows up nowhere but in the request line; every test that fails on purpose looks for it.
CODE = "canarycanary9secret"


@dataclass(slots=True)
class Line:
    """One accepted connection, from the portal's side."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    read: bytes = b""

    async def request(self) -> bytes:
        """Read one whole request and return its body."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        self.read += head
        lengths = [row.partition(b":")[2] for row in head.lower().split(b"\r\n") if row.startswith(b"content-length")]
        body = await self.reader.readexactly(int(lengths[0]))
        self.read += body
        return body

    async def send(self, raw: bytes) -> None:
        """Send bytes as they are."""
        self.writer.write(raw)
        await self.writer.drain()

    def reset(self) -> None:
        """Break the connection with RST."""
        connection = self.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def close(self) -> None:
        """End the connection with FIN."""
        self.writer.close()


Step = Callable[[Line], Awaitable[None]]


@dataclass(slots=True)
class RawPortal:
    """The running server: its address, and every connection it has accepted."""

    port: int
    scheme: str = "http"
    lines: list[Line] = field(default_factory=list)

    @property
    def webhook(self) -> str:
        """The address with the secret."""
        return f"{self.scheme}://127.0.0.1:{self.port}/rest/1/{CODE}/"

    @property
    def portal(self) -> Portal:
        """This server as a configured portal."""
        return parse_portal("raw", {"webhook": self.webhook}, allow_insecure=True)

    @property
    def requests(self) -> int:
        """How many requests arrived, whole or in part."""
        return sum(max(1, line.read.count(b"POST ")) for line in self.lines if line.read)


@asynccontextmanager
async def raw_portal(*script: Step, tls: ssl.SSLContext | None = None) -> AsyncIterator[RawPortal]:
    """Serve on a free port; the steps run in order over all connections and the last one repeats."""
    steps = list(script)
    tasks: set[asyncio.Task[None]] = set()

    async def work(line: Line) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while not line.writer.is_closing():
                await (steps.pop(0) if len(steps) > 1 else steps[0])(line)
        line.writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = Line(reader, writer)
        running.lines.append(line)
        tasks.add(asyncio.create_task(work(line)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    running = RawPortal(server.sockets[0].getsockname()[1], "http" if tls is None else "https")
    try:
        yield running
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def http(body: bytes | str, status: str = "200 OK", *, headers: Sequence[str] = (), length: int | None = None) -> bytes:
    """A reply as bytes, with the length of its body unless told otherwise."""
    raw = body.encode() if isinstance(body, str) else body
    rows = [f"HTTP/1.1 {status}", f"Content-Length: {len(raw) if length is None else length}", *headers, "", ""]
    return "\r\n".join(rows).encode() + raw


def answering(raw: bytes) -> Step:
    """Read a request, send these bytes, keep the connection."""

    async def step(line: Line) -> None:
        await line.request()
        await line.send(raw)

    return step


def cutting(raw: bytes) -> Step:
    """Read a request, send these bytes, close."""

    async def step(line: Line) -> None:
        await line.request()
        await line.send(raw)
        line.close()

    return step


def a_pay(invoice_id: int = 2) -> Pay:
    """One pay command."""
    return Pay(invoice_id=invoice_id, pay_system_id=31, bx_rest_handler=None)


def batch_reply(**changes: object) -> str:
    """A batch in which invoice 2 was paid, with changes inside `result`."""
    row = {"ID": "2", "PAYED": "Y", "DATE_PAYED": "2026-01-02T03:04:05+03:00", "EMP_PAYED_ID": "1"}
    inner = {"result": {"p0": True, "r": [row]}, "result_error": [], "result_time": []}
    return json.dumps({"result": {**inner, **changes}, "time": {"operating": 0}})
