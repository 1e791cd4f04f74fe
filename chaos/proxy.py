"""A fault proxy: connections to loopback gates are passed on to an upstream, and toxics decide what becomes of them.

    async with running_proxy() as proxy:
        gate = proxy.open("127.0.0.1:8024")                    # or a Path: the upstream's Unix socket
        gate.toxics = Toxics(reply=Flow(cut_after=17, cuts=1))   # at run time, as often as wanted
        ... use gate.authority ...
        gate.cut()                                             # all connections that are open now

Everything stays on this machine: other addresses than 127.0.0.0/8 and Unix sockets are refused.
"""

import asyncio
import contextlib
import ipaddress
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Literal

from chaos.toxics import HEALTHY, Ending, Flow, Toxics

Direction = Literal["request", "reply"]
Upstream = str | Path  # "host:port" on the loopback network, or a Unix socket

_PIECE: Final = 65536
_BACKLOG: Final = 1024
_LINGER_NONE: Final = struct.pack("ii", 1, 0)


@dataclass(slots=True)
class Traffic:
    """What has passed a gate since it was opened."""

    connections: int = 0
    request_bytes: int = 0
    reply_bytes: int = 0
    cuts: int = 0

    def count(self, name: Direction, number: int) -> None:
        """Bytes have been passed on."""
        if name == "request":
            self.request_bytes += number
        else:
            self.reply_bytes += number


class Gate:
    """One listening address and its upstream."""

    def __init__(self, upstream: Upstream, address: str) -> None:
        self._upstream = upstream if isinstance(upstream, Path) else _loopback(upstream)
        self._toxics = HEALTHY
        self._era = 0  # counts changes of the toxics
        self._cut_in_era: dict[Direction, int] = {"request": 0, "reply": 0}
        self._connections: set[Connection] = set()
        self.traffic = Traffic()
        self._listening: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._place = _loopback(address)
        self._listen()

    @property
    def authority(self) -> str:
        """host:port to connect to; it stays the same while the gate is down."""
        return f"{self._place[0]}:{self._place[1]}"

    @property
    def open_connections(self) -> int:
        """How many connections there are now."""
        return len(self._connections)

    @property
    def era(self) -> int:
        """Grows with every change of the toxics."""
        return self._era

    @property
    def toxics(self) -> Toxics:
        """What is wrong with this gate now; assigning changes it at once, for open connections too."""
        return self._toxics

    @toxics.setter
    def toxics(self, toxics: Toxics) -> None:
        self._toxics = toxics
        self._era += 1
        self._cut_in_era = {"request": 0, "reply": 0}
        if toxics.down:
            self._shut()
            self.cut(Ending.RESET)
        elif self._listening is None:
            self._listen()

    def heal(self) -> None:
        """Let everything pass; connections that fell silent stay so."""
        self.toxics = HEALTHY

    def cut(self, ending: Ending = Ending.RESET) -> int:
        """Cut every connection that is open now; how many there were."""
        cut = list(self._connections)
        for connection in cut:
            connection.cut(ending)
        self.traffic.cuts += len(cut)
        return len(cut)

    def flow(self, name: Direction) -> Flow:
        """What is done to one direction now."""
        return self._toxics.request if name == "request" else self._toxics.reply

    def may_cut(self, name: Direction) -> bool:
        """Whether a flow that came to its limit may cut, which counts as one of its cuts."""
        most = self.flow(name).cuts
        if most is not None and self._cut_in_era[name] >= most:
            return False
        self._cut_in_era[name] += 1
        self.traffic.cuts += 1
        return True

    async def close(self) -> None:
        """Accept nothing more and drop all connections."""
        accepting = self._accepting
        self._shut()
        for connection in list(self._connections):
            connection.cut(Ending.CLOSE)
        tasks = [each.task for each in self._connections if each.task] + ([accepting] if accepting else [])
        await asyncio.gather(*tasks, return_exceptions=True)

    def _listen(self) -> None:
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setblocking(False)  # noqa: FBT003 - the standard library's own signature
        try:
            listening.bind(self._place)
            listening.listen(_BACKLOG)
        except OSError:
            listening.close()
            raise
        self._place = listening.getsockname()
        self._listening = listening
        self._accepting = asyncio.get_running_loop().create_task(self._accept(listening))

    def _shut(self) -> None:
        accepting, self._accepting = self._accepting, None
        listening, self._listening = self._listening, None
        if accepting is not None:
            accepting.cancel()
        if listening is not None:
            # The loop must forget the number before another socket gets it.
            asyncio.get_running_loop().remove_reader(listening)
            listening.close()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            client, _ = await loop.sock_accept(listening)
            client.setblocking(False)  # noqa: FBT003 - the standard library's own signature
            self.traffic.connections += 1
            connection = Connection(self, client)
            self._connections.add(connection)
            connection.task = loop.create_task(connection.run())
            connection.task.add_done_callback(partial(self._ended, connection))

    async def connect_upstream(self) -> socket.socket:
        """A connection to the upstream; raises OSError."""
        family = socket.AF_UNIX if isinstance(self._upstream, Path) else socket.AF_INET
        upstream = socket.socket(family, socket.SOCK_STREAM)
        upstream.setblocking(False)  # noqa: FBT003 - the standard library's own signature
        target = str(self._upstream) if isinstance(self._upstream, Path) else self._upstream
        try:
            await asyncio.get_running_loop().sock_connect(upstream, target)
        except BaseException:
            upstream.close()
            raise
        return upstream

    def _ended(self, connection: "Connection", _task: "asyncio.Task[None]") -> None:
        connection.close()
        self._connections.discard(connection)


class Connection:
    """One client's connection and its twin at the upstream."""

    def __init__(self, gate: Gate, client: socket.socket) -> None:
        self._gate = gate
        self._client = client
        self._upstream: socket.socket | None = None
        self._ending = Ending.CLOSE
        self._silent = False
        self.task: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Pass bytes on until both sides have ended, or the connection is cut."""
        try:
            self._upstream = upstream = await self._gate.connect_upstream()
            for each in (self._client, upstream):
                with contextlib.suppress(OSError):  # a Unix socket
                    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump("request", self._client, upstream))
                both.create_task(self._pump("reply", upstream, self._client))
        except* _CutError:
            pass
        except* OSError:
            self._ending = Ending.RESET

    def close(self) -> None:
        """Close both sides as the ending demands; nothing may wait for them any more, or a new socket inherits it."""
        for each in (self._client, self._upstream):
            if each is None:
                continue
            if self._ending is Ending.RESET:
                with contextlib.suppress(OSError):
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
            each.close()

    def cut(self, ending: Ending) -> None:
        """End it; a silent one stays open and passes nothing more."""
        if ending is Ending.SILENCE:
            self._silent = True
            return
        self._ending = ending
        if self.task is not None:
            self.task.cancel()

    async def _pump(self, name: Direction, source: socket.socket, target: socket.socket) -> None:
        loop, era, passed, lost = asyncio.get_running_loop(), self._gate.era, 0, False
        while piece := await loop.sock_recv(source, _PIECE):
            if latency_s := self._gate.flow(name).latency_s:
                await asyncio.sleep(latency_s)
            flow = self._gate.flow(name)
            if era != self._gate.era:
                era, passed = self._gate.era, 0
            lost = lost or flow.swallow or self._silent
            if lost:
                continue
            room = len(piece) + 1 if flow.cut_after is None else max(flow.cut_after - passed, 0)
            passed += len(piece)
            if room <= len(piece) and self._gate.may_cut(name):
                await self._send(name, target, piece[:room])
                self._cut_here(flow.ending)
            else:
                await self._send(name, target, piece)
        if not lost:
            with contextlib.suppress(OSError):
                target.shutdown(socket.SHUT_WR)

    def _cut_here(self, ending: Ending) -> None:
        if ending is Ending.SILENCE:
            self._silent = True
            return
        self._ending = ending
        raise _CutError

    async def _send(self, name: Direction, target: socket.socket, piece: bytes) -> None:
        loop, flow = asyncio.get_running_loop(), self._gate.flow(name)
        size = flow.slice_bytes or len(piece) or 1
        for at in range(0, len(piece), size):
            part = piece[at : at + size]
            await loop.sock_sendall(target, part)
            pause_s = flow.slice_pause_s if flow.slice_bytes else 0.0
            if flow.bytes_per_s:
                pause_s += len(part) / flow.bytes_per_s
            if pause_s:
                await asyncio.sleep(pause_s)
        self._gate.traffic.count(name, len(piece))


class _CutError(Exception):
    """A flow came to its limit."""


class Proxy:
    """All gates of one run."""

    def __init__(self) -> None:
        self.gates: list[Gate] = []

    def open(self, upstream: Upstream, address: str = "127.0.0.1:0") -> Gate:
        """Listen on a loopback address (port 0 takes a free one) and pass its connections to the upstream."""
        gate = Gate(upstream, address)
        self.gates.append(gate)
        return gate

    async def close(self) -> None:
        """Close all gates."""
        await asyncio.gather(*(gate.close() for gate in self.gates))


@asynccontextmanager
async def running_proxy() -> AsyncIterator[Proxy]:
    """A proxy in this loop until the block ends."""
    proxy = Proxy()
    try:
        yield proxy
    finally:
        await proxy.close()


def _loopback(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not ipaddress.IPv4Address(host).is_loopback or not port.isdecimal():
        raise ValueError(f"{address} is not on the loopback network: the proxy harms nothing but this machine's tests")
    return host, int(port)
