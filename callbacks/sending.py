"""One POST to a receiver: no redirects, no cookies, no proxy, nothing inside, ten seconds in all.

aiohttp's errors end here, because they carry the address, whose query may be a secret of the receiver's.
"""

import asyncio
import socket
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from bitrix24.hosts import InsideAddress, is_public_address
from bitrix24.reasons import reason_of
from callbacks.schedule import Answer, Silence
from config.callbacks import BadCallback, CallbackRules, read_callback
from ledger.payment import Destination

TOTAL_S: Final = 10.0
CONNECT_S: Final = 5.0
# An answer is its status. What comes with it is read so far, for the sake of the connection, and dropped.
BODY_CAP: Final = 16 * 1024
# Shorter than most receivers keep an idle connection (node: 5 s): one that closes while we write costs an attempt.
_KEEP_ALIVE_S: Final = 4.0
_RECEIVE_BUFFER: Final = 32 * 1024
_CONNECTIONS: Final = 100
_LOOKUP_THREADS: Final = 16

Lookup = Callable[..., list[Any]]  # as `socket.getaddrinfo`


class Names(AbstractResolver):
    """Resolves names in threads of its own: a name server that hangs must not use up those that resolve portals' names.

    With `public_only` a name that leads inside does not resolve.
    """

    def __init__(self, lookup: Lookup, *, public_only: bool) -> None:
        self._lookup = lookup
        self._public_only = public_only
        self._threads = ThreadPoolExecutor(_LOOKUP_THREADS, "callbacks")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a host; raises OSError where there is none."""
        asked = (host, port, family, socket.SOCK_STREAM, 0, socket.AI_ADDRCONFIG)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, self._lookup, *asked)
        flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        usable = [
            ResolveResult(hostname=host, host=where[0], port=port, family=kind, proto=protocol, flags=flags)
            for kind, _, protocol, _, where in found
            if not self._public_only or is_public_address(where[0])
        ]
        if not usable:
            raise InsideAddress("the name leads to a private address")
        return usable

    async def close(self) -> None:
        """Wait for nobody: what hangs there is nobody's any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class Sender:
    """One shared session; an async context manager, to be opened in the loop that uses it."""

    def __init__(self, rules: CallbackRules, *, total_s: float = TOTAL_S, lookup: Lookup = socket.getaddrinfo) -> None:
        self._lookup = lookup
        self._rules = rules
        self._total_s = total_s
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._names = Names(self._lookup, public_only=not self._rules.allow_insecure)
        connector = aiohttp.TCPConnector(
            limit=_CONNECTIONS,
            keepalive_timeout=_KEEP_ALIVE_S,
            resolver=self._names,
            use_dns_cache=False,
            socket_factory=self._new_socket,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            headers={"Accept-Encoding": "identity", "User-Agent": "b24pay"},
            timeout=aiohttp.ClientTimeout(total=None, connect=min(CONNECT_S, self._total_s)),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()
            await self._names.close()

    async def post(self, to: Destination, body: str, headers: Mapping[str, str]) -> Answer | Silence:
        """Send a body; never raises for what happens on the way."""
        problem = self._problem(to)
        if problem is not None:
            return Silence(problem)
        try:
            async with asyncio.timeout(self._total_s):
                return await self._exchange(to, body, headers)
        except TimeoutError:
            return Silence(f"no answer within {self._total_s:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Silence(_reason(error))

    def _problem(self, to: Destination) -> str | None:
        """Why nothing is sent there. The settings of whoever accepted it may have been others, and a record edited."""
        try:
            host, address = read_callback(to.url, self._rules)
        except BadCallback as error:
            return f"the address {error}"
        # Whoever connects reads the address by rules of their own: both must see the same host.
        seen = (URL(address, encoded=True).raw_host or "").lower()
        return None if host == seen == to.host else "the address names another host"

    def _new_socket(self, address: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, where = address
        # The last look before a connection, on the very address that is connected to: a name may lead elsewhere by now.
        if not self._rules.allow_insecure and not is_public_address(where[0]):
            raise InsideAddress("a private address")
        made = socket.socket(family, kind, protocol)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        return made

    async def _exchange(self, to: Destination, body: str, headers: Mapping[str, str]) -> Answer:
        if self._session is None:
            raise RuntimeError("the sender is not open")
        asked = self._session.post(
            URL(to.url, encoded=True),
            data=body.encode(),
            headers={**headers, "Content-Type": "application/json"},
            allow_redirects=False,
        )
        async with asked as response:
            answer = Answer(response.status, response.headers.get("Retry-After"))
            await _drop(response)
            return answer


async def _drop(response: aiohttp.ClientResponse) -> None:
    """Read a small body away; the connection of any other is closed. The answer is known already."""
    left = BODY_CAP
    try:
        async with asyncio.timeout(1.0):
            async for chunk in response.content.iter_any():
                left -= len(chunk)
                if left < 0:
                    break
    except (TimeoutError, aiohttp.ClientError, OSError):
        left = -1
    if left < 0:
        response.close()


def _reason(error: Exception) -> str:
    # A host here may be an address that was written as one, not a name.
    if isinstance(getattr(error, "os_error", None), InsideAddress):
        return "the host leads to a private address"
    return reason_of(error)
