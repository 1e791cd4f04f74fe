"""The fault proxy: what passes a gate, what is held back, and where exactly a connection is cut."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from chaos.proxy import Gate, Proxy, running_proxy
from chaos.toxics import Ending, Flow, Toxics
from tests.eventually import eventually

WITHIN_S = 10
REQUEST, REPLY = b"0123456789", b"abcdefghijklmnop"


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    async with running_proxy() as proxy:
        yield proxy


class Far:
    """An upstream that answers each ten bytes with the same reply and remembers what reached it."""

    def __init__(self) -> None:
        self.heard = b""
        self.hangups = 0
        self.authority = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard = 0
        try:
            while piece := await reader.read(4096):
                self.heard += piece
                for _ in range((heard + len(piece)) // len(REQUEST) - heard // len(REQUEST)):
                    writer.write(REPLY)
                heard += len(piece)
        except ConnectionError:
            pass
        self.hangups += 1
        writer.close()


@asynccontextmanager
async def far_side(path: Path | None = None) -> AsyncIterator[Far]:
    far = Far()
    server = await (
        asyncio.start_unix_server(far.serve, path) if path else asyncio.start_server(far.serve, "127.0.0.1", 0)
    )
    if not path:
        host, port = server.sockets[0].getsockname()
        far.authority = f"{host}:{port}"
    async with server:
        yield far


@pytest.fixture
async def far() -> AsyncIterator[Far]:
    async with far_side() as far:
        yield far


async def connect(gate: Gate) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = gate.authority.rpartition(":")
    return await asyncio.open_connection(host, int(port))


async def read_all(reader: asyncio.StreamReader) -> bytes:
    """Everything until the connection ends, in whatever way."""
    got = b""
    try:
        async with asyncio.timeout(WITHIN_S):
            while piece := await reader.read(4096):
                got += piece
    except ConnectionError:
        pass
    return got


async def ask(gate: Gate) -> bytes:
    reader, writer = await connect(gate)
    writer.write(REQUEST)
    writer.write_eof()
    try:
        return await read_all(reader)
    finally:
        writer.close()


async def test_a_healthy_gate_changes_nothing(proxy: Proxy, far: Far) -> None:
    """Request and reply pass whole, an end in order is passed on, and the traffic is counted."""
    gate = proxy.open(far.authority)
    assert await ask(gate) == REPLY
    assert (far.heard, far.hangups) == (REQUEST, 1)
    assert (gate.traffic.connections, gate.traffic.request_bytes, gate.traffic.reply_bytes) == (1, 10, 16)
    await eventually(lambda: gate.open_connections == 0)


async def test_an_upstream_may_be_a_socket_of_the_file_system(proxy: Proxy, tmp_path: Path) -> None:
    """A server that listens on a Unix socket is reached as well."""
    async with far_side(tmp_path / "s") as far:
        assert await ask(proxy.open(tmp_path / "s")) == REPLY
        assert far.heard == REQUEST


@pytest.mark.parametrize("offset", range(len(REQUEST) + 1))
async def test_a_request_is_cut_at_any_byte(proxy: Proxy, far: Far, offset: int) -> None:
    """Exactly so many bytes arrive, then both sides are told; a cut that was paid for is not repeated."""
    gate = proxy.open(far.authority)
    gate.toxics = Toxics(request=Flow(cut_after=offset, ending=Ending.CLOSE, cuts=1))
    await ask(gate)
    await eventually(lambda: far.hangups)
    assert far.heard == REQUEST[:offset]
    assert gate.traffic.cuts == 1
    assert await ask(gate) == REPLY


@pytest.mark.parametrize("offset", range(len(REPLY) + 1))
async def test_a_reply_is_cut_at_any_byte(proxy: Proxy, far: Far, offset: int) -> None:
    """The request arrives whole, and the client gets exactly so many bytes of the reply."""
    gate = proxy.open(far.authority)
    gate.toxics = Toxics(reply=Flow(cut_after=offset, ending=Ending.CLOSE))
    assert await ask(gate) == REPLY[:offset]
    assert far.heard == REQUEST


async def test_a_cut_counts_from_the_moment_it_was_asked_for(proxy: Proxy, far: Far) -> None:
    """A connection that is kept alive is cut in its next exchange, not by what passed before."""
    gate = proxy.open(far.authority)
    reader, writer = await connect(gate)
    writer.write(REQUEST)
    assert await reader.readexactly(len(REPLY)) == REPLY
    gate.toxics = Toxics(reply=Flow(cut_after=3, ending=Ending.CLOSE))
    writer.write(REQUEST)
    assert await read_all(reader) == REPLY[:3]
    writer.close()


async def test_a_reset_is_seen_as_a_reset(proxy: Proxy, far: Far) -> None:
    """Both sides meet what a crashed peer leaves."""
    gate = proxy.open(far.authority)
    reader, writer = await connect(gate)
    writer.write(REQUEST)
    await reader.readexactly(len(REPLY))
    assert gate.cut(Ending.RESET) == 1
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(reader.read(1), WITHIN_S)
    await eventually(lambda: far.hangups and gate.open_connections == 0)
    writer.close()


async def test_a_gate_that_is_down_refuses_and_comes_back_at_its_address(proxy: Proxy, far: Far) -> None:
    """Open connections are reset, new ones refused; healed, the same address works."""
    gate = proxy.open(far.authority)
    reader, writer = await connect(gate)
    await eventually(lambda: gate.open_connections)
    gate.toxics = Toxics(down=True)
    assert await read_all(reader) == b""
    with pytest.raises(ConnectionRefusedError):
        await connect(gate)
    gate.heal()
    assert await ask(gate) == REPLY
    writer.close()


async def test_a_silent_connection_stays_open_and_never_speaks_again(proxy: Proxy, far: Far) -> None:
    """Half-open: the peer is not told, and healing helps new connections only."""
    gate = proxy.open(far.authority)
    reader, writer = await connect(gate)
    writer.write(REQUEST)
    await reader.readexactly(len(REPLY))
    gate.cut(Ending.SILENCE)
    gate.heal()
    writer.write(REQUEST)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.05)
    assert far.heard == REQUEST
    assert gate.open_connections == 1
    writer.close()


async def test_a_swallowed_reply_leaves_the_request_done(proxy: Proxy, far: Far) -> None:
    """The upstream has heard everything, the client nothing."""
    gate = proxy.open(far.authority)
    gate.toxics = Toxics(reply=Flow(swallow=True))
    reader, writer = await connect(gate)
    writer.write(REQUEST)
    await eventually(lambda: far.heard == REQUEST)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.05)
    writer.close()


async def test_slow_and_sliced_bytes_arrive_whole(proxy: Proxy, far: Far) -> None:
    """Latency, slices and a narrow line change when bytes arrive, never which."""
    gate = proxy.open(far.authority)
    slow = Flow(latency_s=0.01, slice_bytes=3, slice_pause_s=0.001, bytes_per_s=10_000)
    gate.toxics = Toxics(request=slow, reply=slow)
    assert await ask(gate) == REPLY
    assert far.heard == REQUEST


async def test_an_upstream_that_is_away_resets_the_client(proxy: Proxy, tmp_path: Path) -> None:
    """Nothing listens behind the gate: the connection ends at once and the gate lives on."""
    gate = proxy.open(tmp_path / "nobody")
    for _ in range(2):
        reader, writer = await connect(gate)
        assert await read_all(reader) == b""
        writer.close()


async def test_many_cuts_beside_new_connections_leave_a_working_gate(proxy: Proxy, far: Far) -> None:
    """Cut while others connect, a hundred times: numbers of closed sockets are taken anew and nothing is confused."""
    gate = proxy.open(far.authority)

    async def disturb() -> None:
        for _ in range(100):
            gate.cut()
            await asyncio.sleep(0)

    far_replies = await asyncio.gather(disturb(), *(ask(gate) for _ in range(50)), return_exceptions=True)
    assert all(reply is None or isinstance(reply, OSError) or REPLY.startswith(reply[:16]) for reply in far_replies)
    fresh = proxy.open(far.authority)
    gate.toxics = Toxics(down=True)
    gate.heal()
    for each in (gate, fresh):
        reader, writer = await connect(each)
        writer.write(REQUEST)
        assert (await asyncio.wait_for(reader.readexactly(1), WITHIN_S)) == b"a"
        writer.close()


@pytest.mark.parametrize("address", ["10.0.0.1:80", "8.8.8.8:443", "0.0.0.0:0", "localhost:80", "127.0.0.1:"])
async def test_nothing_beyond_this_machine_is_touched(proxy: Proxy, address: str) -> None:
    """Neither as a place to listen at nor as an upstream."""
    with pytest.raises(ValueError, match=r".+"):
        proxy.open(address)
    with pytest.raises(ValueError, match=r".+"):
        proxy.open("127.0.0.1:1", address)
