"""The emulator as a process: one ready line, many addresses, a quick end."""

import asyncio
import json
import ssl
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import aiohttp.web
import pytest

from emulator import Handle, RunningEmulator, running_emulator
from tests.emulator.portal_caller import Caller
from tests.eventually import eventually

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def process(*arguments: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, Any]]:
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "emulator", *arguments, stdout=PIPE, stderr=PIPE, cwd=ROOT
    )
    assert started.stdout is not None
    try:
        line = await asyncio.wait_for(started.stdout.readline(), 20)
        yield started, json.loads(line) if line else None
    finally:
        if started.returncode is None:
            started.terminate()
        await asyncio.wait_for(started.wait(), 20)


async def test_the_ready_line_names_the_addresses_and_sigterm_ends_it(tmp_path: Path) -> None:
    """A parent process reads the ports from stdout or from the ready file."""
    config, ready = tmp_path / "farm.json", tmp_path / "ready.json"
    config.write_text(json.dumps({"template": {"plan": "none", "webhooks": {"5/code": {}}}}))
    arguments = ("--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--config", str(config))
    async with process(*arguments, "--ready-file", str(ready)) as (started, line), aiohttp.ClientSession() as session:
        assert line["event"] == "emulator.ready"
        assert json.loads(ready.read_text()) == line
        for authority in line["listen"]:
            answered = await Caller(session, authority, "5/code").call("profile")
            assert answered.json["result"]["ID"] == "5"
        async with Handle.connect(line["listen"][1]) as handle:
            assert (await handle.counters(line["listen"][0])).requests == 1
        started.terminate()
        assert await asyncio.wait_for(started.wait(), 10) == 0
        assert started.stderr is not None
        assert await started.stderr.read() == b""


async def test_neither_hanging_calls_nor_broken_requests_trouble_it() -> None:
    """A call that would hang for minutes does not delay the end, and half a request is no error."""
    async with process("--listen", "127.0.0.1:0") as (started, line), aiohttp.ClientSession() as session:
        (authority,) = line["listen"]
        host, _, port = authority.rpartition(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /rest/1/emulator-secret/profile HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
        await writer.drain()
        writer.transport.abort()
        broken = {"data": b"abcde", "headers": {"Content-Type": "multipart/form-data; boundary=x"}}
        assert (await Caller(session, authority).send("/rest/1/emulator-secret/profile", **broken)).status == 200
        async with Handle.connect(authority) as handle:
            await handle.add_fault("hang", place="after", seconds=300)
            hanging = asyncio.create_task(Caller(session, authority).pay(1))

            async def executed() -> bool:
                return (await handle.effects()).tally.effects == 1

            await eventually(executed)
        started.terminate()
        assert await asyncio.wait_for(started.wait(), 10) == 0
        assert started.stderr is not None
        assert await started.stderr.read() == b""
        with pytest.raises(aiohttp.ClientError):
            await hanging


async def test_wrong_settings_end_it_with_a_text(tmp_path: Path) -> None:
    """A typo in the configuration is said on stderr, with status 2."""
    config = tmp_path / "farm.json"
    config.write_text('{"template": {"plann": "none"}}')
    async with process("--config", str(config)) as (started, line):
        assert line is None
        assert await started.wait() == 2
        assert started.stderr is not None
        assert b"did you mean 'plan'" in await started.stderr.read()


async def test_addresses_beyond_loopback_are_refused() -> None:
    """The emulator opens no door to the network."""
    async with process("--listen", "0.0.0.0:0") as (started, line):
        assert line is None
        assert await started.wait() == 2


async def test_it_listens_elsewhere_for_those_who_say_so() -> None:
    """In a container the network is its own: an address is taken as it is given, and no other one is opened."""
    from emulator.listening import split_address

    async with process("--exposed", "127.0.0.1:0") as (_, line), aiohttp.ClientSession() as session:
        (authority,) = line["listen"]
        assert (await Caller(session, authority).pay(1)).json["result"] is True
    assert split_address("0.0.0.0:8024", exposed=True) == ("0.0.0.0", 8024)
    with pytest.raises(ValueError, match="loopback"):
        split_address("0.0.0.0:8024")


async def test_every_loopback_address_is_a_portal_of_its_own(
    emulator: RunningEmulator, session: aiohttp.ClientSession, handle: Handle
) -> None:
    """One listener serves thousands of portals by their addresses."""
    names = [emulator.loopback(number) for number in range(300)]
    assert len(set(names)) == 300
    for name in names:
        assert (await Caller(session, name).pay(1)).json["result"] is True
    effects = await handle.effects()
    assert (effects.tally.effects, effects.tally.doubles) == (300, 0)


async def test_strangers_are_dropped_before_they_can_speak() -> None:
    """The guard of the all-loopback listener closes a connection with a foreign end."""
    from emulator.listening import LoopbackServer

    class ForeignTransport(asyncio.Transport):
        aborted = False

        def get_extra_info(self, name: str, default: object = None) -> object:
            return {"peername": ("192.0.2.1", 5), "sockname": ("127.0.0.1", 80)}.get(name, default)

        def close(self) -> None:
            self.abort()

        def abort(self) -> None:
            self.aborted = True

    async def never(_request: object) -> aiohttp.web.StreamResponse:
        raise AssertionError

    server = LoopbackServer(never)
    transport = ForeignTransport()
    server().connection_made(transport)
    assert transport.aborted
    await server.shutdown(0.1)


async def test_tls_needs_only_the_certificate_file() -> None:
    """A client that trusts the file reaches the portal by https."""
    async with running_emulator(tls=["127.0.0.1:0"], addresses=()) as emulator:
        context = ssl.create_default_context(cafile=str(emulator.ca_file))
        connector = aiohttp.TCPConnector(ssl=context)
        async with aiohttp.ClientSession(connector=connector) as session:
            emulator.farm.patch(emulator.tls[0], {"https_required": True})
            url = f"https://{emulator.tls[0]}/rest/1/emulator-secret/profile"
            async with session.get(url) as response:
                assert (await response.json())["result"]["ID"] == "1"
