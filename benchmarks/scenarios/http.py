"""Payments over HTTP: single posts and one long stream, beside a bare aiohttp handler that does nothing with them.

The load comes from outside the process (wrk for posts, two threads with a socket for the stream), so the web process'
own processor time is known apart from it. Two cores are shared by generator, web processes and server.
"""

import asyncio
import json
import re
import shutil
import socket
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from access.roles import Role
from access.tokens import Tokens
from benchmarks.meters import cpu_s, group_of, peak_mb
from benchmarks.stage import UNLIMITED, Portal, Stage, a_stage, until
from benchmarks.table import Table
from chaos.processes import Process
from cli.procfile import command_of

CONNECTIONS: Final = (16, 64)
_SCRIPT: Final = """
local n = {first}
local headers = {{["Content-Type"] = "application/json", ["Authorization"] = "Bearer {token}"}}
request = function()
  n = n + 1
  local body = '{{"portal": "{portal}", "invoice_id": ' .. n .. ', "pay_system_id": 31}}'
  return wrk.format("POST", "/v1/payments", headers, body)
end
done = function(summary, latency)
  local errors = summary.errors
  io.write(string.format('{{"requests": %d, "us": %d, "wrong": %d, "p50_ms": %f, "p99_ms": %f}}\\n', summary.requests,
    summary.duration, errors.status + errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
"""


@dataclass(frozen=True, slots=True)
class Service:
    """What is asked: some processes with a port each."""

    name: str
    processes: Sequence[Process]
    ports: Sequence[int]

    @property
    def cpu_s(self) -> float:
        """Their processor time so far."""
        return cpu_s([pid for process in self.processes for pid in group_of(process)])


@dataclass(slots=True)
class Scene:
    """Who asks for what."""

    stage: Stage
    portal: Portal
    token: str
    invoices: int = 0

    def next(self, count: int) -> int:
        """The first of so many invoices that nobody has asked for."""
        first, self.invoices = self.invoices, self.invoices + count
        return first


async def run(*, quick: bool) -> Table:
    """Bare first and last, ours in between: the machine is shared."""
    wanted = "≥ 1,500 single posts/s, ≥ 10,000 streamed payments/s on two cores"
    table = Table("http", "Payments over HTTP", wanted)
    if shutil.which("wrk") is None:
        table.notes.append("Not measured: it needs wrk (https://github.com/wg/wrk).")
        return table
    async with a_stage(workers=0, emulated={"plan": "none", "operating_limit_s": None}) as stage:
        [portal] = await stage.add_portals(1, UNLIMITED)
        issued = await Tokens(stage.redis).create("bench", Role.PRODUCER)
        scene = Scene(stage, portal, issued.text)
        services = [
            await bare(stage),
            await ours(stage, "b24pay", 1),
            await ours(stage, "b24pay", 2),
        ]
        for service in services:
            for connections in CONNECTIONS:
                await posts(table, scene, service, connections, seconds=3 if quick else 10)
        for service in services[:2]:
            await stream(table, scene, service, count=20_000 if quick else 100_000)
        compare(table)
    table.notes += [
        "`web_us`: processor time of the web processes per payment, `server_us`: of the ledger's server.",
        "`to_bare`: web_us over that of a bare aiohttp handler, which checks, keeps and logs nothing.",
        "The generator (wrk, one thread) takes a part of the same two cores.",
    ]
    return table


async def bare(stage: Stage) -> Service:
    """The yardstick."""
    port = a_port()
    process = stage.start("bare", [sys.executable, "-m", "benchmarks.peers.bare_http", str(port)])
    await until(lambda: answers(port))
    return Service("bare aiohttp", [process], [port])


async def ours(stage: Stage, name: str, count: int) -> Service:
    """Web processes as the Procfile starts them."""
    ports = [a_port() for _ in range(count)]
    processes = []
    for port in ports:
        listen = f"127.0.0.1:{port}"
        processes.append(stage.start(f"web-{port}", command_of("web"), piped=False, B24PAY_WEB_LISTEN=listen))
    await until(lambda: all(map(answers, ports)))
    return Service(name, processes, ports)


async def posts(table: Table, scene: Scene, service: Service, connections: int, *, seconds: int) -> None:
    """One row of single posts."""
    await load(scene, service, connections, 1)  # what is made on the first request is no request's
    cpu, server = service.cpu_s, cpu_s([scene.stage.server.pid])
    told = await load(scene, service, connections, seconds)
    cpu, server = service.cpu_s - cpu, cpu_s([scene.stage.server.pid]) - server
    requests = sum(each["requests"] for each in told)
    table.add(
        service=service.name,
        door="single posts",
        processes=len(service.ports),
        connections=connections,
        payments=int(requests),
        per_s=sum(each["requests"] / each["us"] * 1e6 for each in told),
        web_us=cpu / requests * 1e6,
        server_us=server / requests * 1e6,
        p50_ms=max(each["p50_ms"] for each in told),
        p99_ms=max(each["p99_ms"] for each in told),
        not_2xx=int(sum(each["wrong"] for each in told)),
    )


async def load(scene: Scene, service: Service, connections: int, seconds: int) -> list[dict[str, float]]:
    """Post to all ports at once."""
    each = connections // len(service.ports)
    return list(await asyncio.gather(*(wrk(scene, port, each, seconds) for port in service.ports)))


async def wrk(scene: Scene, port: int, connections: int, seconds: int) -> dict[str, float]:
    """Post as fast as so many connections can."""
    first = scene.next(1_000_000)
    script = Path(scene.stage.directory / f"posts-{first}.lua")
    script.write_text(_SCRIPT.format(first=first, token=scene.token, portal=scene.portal.key))  # noqa: ASYNC240 - small
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), f"http://127.0.0.1:{port}"]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    told: dict[str, float] = json.loads(out.decode().strip().splitlines()[-1])
    return told


async def stream(table: Table, scene: Scene, service: Service, *, count: int) -> None:
    """One row of one NDJSON request."""
    first = scene.next(count)
    lines = [
        f'{{"portal": "{scene.portal.key}", "invoice_id": {first + n + 1}, "pay_system_id": 31}}\n'.encode()
        for n in range(count)
    ]
    body = b"".join(lines)
    cpu, server = service.cpu_s, cpu_s([scene.stage.server.pid])
    loop = asyncio.get_running_loop()
    began = loop.time()
    answered = await asyncio.to_thread(sent, service.ports[0], scene.token, body)
    took = loop.time() - began
    cpu, server = service.cpu_s - cpu, cpu_s([scene.stage.server.pid]) - server
    table.add(
        service=service.name,
        door="one NDJSON request",
        processes=1,
        connections=1,
        payments=answered,
        per_s=answered / took,
        web_us=cpu / count * 1e6,
        server_us=server / count * 1e6,
        peak_mb=peak_mb(service.processes[0]),
    )


def sent(port: int, token: str, body: bytes) -> int:
    """Send a body, read the answer beside it; how many lines say `accepted`."""
    head = (
        f"POST /v1/payments HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/x-ndjson\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=300) as connection:
        sender = threading.Thread(target=connection.sendall, args=(head.encode() + body,))
        sender.start()
        came = bytearray()
        while data := connection.recv(1 << 20):
            came += data
        sender.join()
    return len(re.findall(rb'"outcome": ?"accepted"', came))


def compare(table: Table) -> None:
    """Each row's processor time beside that of the bare handler."""
    bare_us = {(row["door"], row["connections"]): row["web_us"] for row in table.rows if row["service"] != "b24pay"}
    for row in table.rows:
        ours_us, theirs = row["web_us"], bare_us[row["door"], row["connections"]]
        if isinstance(ours_us, float) and isinstance(theirs, float):
            row["to_bare"] = round(ours_us / theirs, 2)


def a_port() -> int:
    """A free one."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port


def answers(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", port)) == 0
