"""One POST to a portal: what came back, or exactly whether it had left this machine.

aiohttp's errors end here. They are caught, read, and dropped before ours is raised, because they carry the URL and with
it the webhook code; an error raised inside `except` would keep them as its context.

Whether the request left is known from the body: aiohttp holds the head back and writes it together with the first bytes
of the body, so nothing has left until our body is asked for its bytes on a connection that is still open.
"""

import asyncio
import re
import socket
import ssl
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from yarl import URL

from bitrix24.fence import Fence, clock
from bitrix24.hosts import InsideAddress, is_public_address
from bitrix24.portal import Portal, endpoint_problem
from bitrix24.reasons import reason_of
from bitrix24.resolver import PublicResolver
from bitrix24.secret import Secret
from bitrix24.unasked import Ear
from config.failpoints import armed, failpoint

# 50 commands answer with about 15 kB, and a long list of pay systems with 100; whatever needs more is not an answer of
# ours. As text it may take four times as much, and that twice.
REPLY_CAP: Final = 256 * 1024
# Time to get a connection, from the pool or by a handshake. Its end is certain ("not sent"), the end of the whole call
# is a doubt, so no more than a quarter of the call's time goes here.
_CONNECT_SHARE: Final = 0.25
_CONNECT_S: Final = 15.0
# An idle connection is dropped by us before most front ends drop it (nginx: 75 s): one that closes while we write is a
# doubt that costs a quiet time.
_KEEP_ALIVE_S: Final = 20.0
_SECRET_MIN: Final = 8
# Fifty commands are about 10 kB; asked for with room for TLS.
_SEND_BUFFER: Final = 256 * 1024
# What arrives at once is parsed at once: tiny answers take sixty times as much in memory.
_RECEIVE_BUFFER: Final = 32 * 1024
# A body, its heads and what chunks add. Early hints or chunk extensions without end are none of these.
_HEARD_MAX: Final = 2 * REPLY_CAP


@dataclass(frozen=True, slots=True)
class HttpReply:
    """A whole reply; `took_s` counts from the first byte sent. `text` is None for a body too large or packed."""

    status: int
    text: str | None = field(repr=False)  # a portal may repeat what it was asked
    location: str | None = field(repr=False)
    took_s: float


@dataclass(frozen=True, slots=True)
class Lost:
    """No whole reply; `left` says whether a byte of the request may have left this machine."""

    left: bool
    reason: str
    certificate: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One POST. `portal` is the key it is made for; a reply that repeats one of `secrets` is cleaned of it."""

    portal: str
    url: URL = field(repr=False)  # a webhook's code is part of it
    body: bytes = field(repr=False)
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[Secret, ...] = ()


class _Body(aiohttp.BytesPayload):
    """A body that notes the moment it is handed to an open connection."""

    def __init__(self, call: Call, fence: Fence, clock: Callable[[], float], deadline: float) -> None:
        super().__init__(call.body, content_type=call.content_type)
        self._portal = call.portal
        self._fence = fence
        self._clock = clock
        self._deadline = deadline
        self._ear: Ear | None = None
        self.left_at: float | None = None

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Write the head and the body, unless the connection is found closed."""
        # Two turns of the loop let it see that the portal closed an idle connection before we took it.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        failpoint("call.connected", [self._portal])
        with self._fence.closed():
            left_s = self._deadline - self._clock()
            if left_s <= 0:
                # This process stood still meanwhile: its lease may be another's by now, so nothing may leave any more.
                raise TimeoutError
            transport = writer.transport
            if isinstance(transport, asyncio.Transport):
                self._ear = Ear.on(transport)
                self._ear.listen(self, _HEARD_MAX)
            # A closing connection takes nothing: aiohttp refuses the write, head and body alike.
            if transport is not None and not transport.is_closing():
                self.left_at = self._clock()
                _deliver_within(transport, left_s)
            await self._written(writer, content_length)  # waits for nothing: the socket has room for all of it
        failpoint("call.sent", [self._portal])

    def leave(self) -> None:
        """The reply has ended, or nobody waits for it: what arrives from now on is nobody's."""
        if self._ear is not None:
            self._ear.leave(self)

    async def _written(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        if armed("call.half_sent"):  # a test wants the portal to have half of the request
            half = len(self._value) // 2
            await writer.write(self._value[:half])
            failpoint("call.half_sent", [self._portal])
            await writer.write(self._value[half:])
        else:
            await super().write_with_length(writer, content_length)


def _deliver_within(transport: asyncio.WriteTransport, seconds: float) -> None:
    """Let the kernel give up what a broken network holds back when we do: else it could arrive minutes later."""
    connection = transport.get_extra_info("socket")
    if connection is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, max(1, int(seconds * 1000)))


class Transport:
    """One shared HTTP session: keep-alive, no redirects, no cookies, no proxy from the environment, one total timeout.

    With a `proxy` (`http://[USER:PASSWORD@]HOST:PORT`) every call goes through it, by CONNECT where the portal speaks
    TLS; it is then the proxy that resolves names, and that must not lead inside.

    An async context manager; `open` must run in the loop that will use it.
    """

    def __init__(
        self,
        *,
        http_total_s: float,
        allow_insecure: bool,
        connections: int,
        proxy: str | None = None,
        clock: Callable[[], float] = clock,
    ) -> None:
        self._proxy = proxy
        self._public_only = not allow_insecure and proxy is None
        self._total_s = http_total_s
        self._allow_insecure = allow_insecure
        self._connections = connections
        self._clock = clock
        self._fence = Fence()
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make the session; a second call changes nothing."""
        if self._session is not None:
            return
        resolver = PublicResolver() if self._public_only else None
        connector = aiohttp.TCPConnector(
            limit=self._connections,
            keepalive_timeout=_KEEP_ALIVE_S,
            resolver=resolver,
            ttl_dns_cache=30,
            socket_factory=self._new_socket,
        )
        connect_s = min(_CONNECT_S, self._total_s * _CONNECT_SHARE)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            proxy=self._proxy,
            auto_decompress=False,
            # Replies are small; not asking for compression keeps their size honest.
            headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "b24pay"},
            # The total is ours (`asyncio.timeout` in `post`), so that it also covers reading the body.
            timeout=aiohttp.ClientTimeout(total=None, connect=connect_s),
        )

    def _new_socket(self, address: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, where = address
        # The last look before a connection: here also come literal addresses, which no resolver sees.
        if self._public_only and not is_public_address(where[0]):
            raise InsideAddress("a private address")
        made = socket.socket(family, kind, protocol)
        # The kernel takes a whole request at once: no rest waits in this process, to leave after a standstill.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        return made

    async def close(self) -> None:
        """Close the session and its connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def post(
        self, portal: Portal, method: str, body: bytes, must_end_by: float | None = None
    ) -> HttpReply | Lost:
        """Call a portal's method with a JSON body, as `send` does."""
        forbidden = endpoint_problem(URL(portal.endpoint), allow_insecure=self._allow_insecure)
        if forbidden:
            return Lost(left=False, reason=f"the portal's address {forbidden[0]}")
        credential = portal.credential
        call = Call(
            portal=portal.key,
            url=URL(credential.address(portal.endpoint, method), encoded=True),
            body=body,
            headers=credential.headers(),
            secrets=credential.secrets,
        )
        return await self.send(call, must_end_by)

    async def send(self, call: Call, must_end_by: float | None = None) -> HttpReply | Lost:
        """Send one request and read its reply, within the total timeout counted from this call, or sooner.

        Never raises for what happens on the way, and never sends twice.
        """
        if self._session is None:
            raise RuntimeError("the client is not open")
        started = self._clock()
        ends = started + self._total_s if must_end_by is None else min(must_end_by, started + self._total_s)
        payload = _Body(call, self._fence, self._clock, ends)
        try:
            async with asyncio.timeout(ends - started):
                status, text, location = await self._exchange(self._session, call, payload)
        except Exception as error:  # noqa: BLE001 - whatever breaks in there is lost or not sent, and names the URL
            return self._lost(error, left=payload.left_at is not None)
        finally:
            payload.leave()
        if payload.left_at is None:
            return Lost(left=False, reason="the connection answered before it was asked")
        return HttpReply(status, text, location, self._clock() - payload.left_at)

    def _lost(self, error: Exception, *, left: bool) -> Lost:
        if isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ClientError):
            return Lost(left, f"no reply within {self._total_s:g} s" if left else "its time was over before it began")
        certificate = isinstance(error, aiohttp.ClientConnectorCertificateError | ssl.SSLCertVerificationError)
        return Lost(left, reason_of(error), certificate)

    @staticmethod
    async def _exchange(
        session: aiohttp.ClientSession, call: Call, payload: _Body
    ) -> tuple[int, str | None, str | None]:
        asked = session.post(call.url, data=payload, headers=call.headers, allow_redirects=False)
        async with asked as response:
            failpoint("call.headers", [call.portal])
            text = await _read(response, call.secrets)
            failpoint("call.answered", [call.portal])
            return response.status, text, response.headers.get("Location")


async def _read(response: aiohttp.ClientResponse, secrets: tuple[Secret, ...]) -> str | None:
    """The body as text without our secrets, or None where it is too large or compressed in a way we do not read."""
    raw = bytearray()
    async for chunk in response.content.iter_any():
        raw += chunk
        if len(raw) > REPLY_CAP:
            response.close()
            return None
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    plain = bytes(raw) if encoding in ("", "identity") else _unpacked(bytes(raw), encoding)
    return None if plain is None else _without_secrets(plain, secrets).decode("utf-8-sig", errors="replace")


def _without_secrets(body: bytes, secrets: tuple[Secret, ...]) -> bytes:
    """A body that does not repeat our secrets, so that no frame above this one can hold them.

    Shorter ones (no real portal has them) are left, because they could be part of anything; errors redact them too.
    """
    for secret in secrets:
        code = secret.reveal().encode()
        if len(code) >= _SECRET_MIN and code.lower() in body.lower():
            body = re.sub(re.escape(code), b"***", body, flags=re.IGNORECASE)
    return body


def _unpacked(raw: bytes, encoding: str) -> bytes | None:
    if encoding not in ("gzip", "x-gzip", "deflate"):
        return None
    # 32 + 15: gzip or zlib by their head; the cap counts what comes out, not what came in.
    unpacker = zlib.decompressobj(wbits=47)
    try:
        plain = unpacker.decompress(raw, REPLY_CAP + 1)
    except zlib.error:
        return None
    return plain if unpacker.eof and len(plain) <= REPLY_CAP else None
