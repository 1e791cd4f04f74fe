"""Payments as NDJSON: written down and answered while they come, whatever breaks on the way."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from cli.embedded import EmbeddedServer
from ledger.payment import Evidence, Refusal
from ledger.verdict import Failed, Paid
from tests.eventually import eventually_sync
from tests.house import EmulatedPortal, House, open_ledger, wait_for
from tests.integration.web.api_house import (
    PAYMENTS,
    a_payment,
    drive,
    ids,
    lines,
    listed,
    pay,
    results_in,
    stream,
    streamed,
)
from tests.integration.web.conftest import Street, Web, refused


@pytest.fixture
def alone(own_server: EmbeddedServer, house: House, street: Street) -> Iterator[tuple[EmbeddedServer, Web]]:
    """A web process on a server of its own, which a test may stop; it knows the portal `acme`."""
    web = street.start(f"web-{id(own_server)}", REDIS_URL=own_server.url)

    async def add() -> None:
        async with open_ledger(own_server.url) as (ledger, _):
            await ledger.add_lane("acme")

    wait_for(add())
    yield own_server, web
    web.stop()


def test_each_line_has_its_answer_and_bad_ones_stop_nothing(web: Web, portal: EmulatedPortal):
    """In order, with index and line; blank lines do not count, and the last line says how it ended."""
    known = pay(web, portal, 9).body["id"]
    drive(portal, Paid(Evidence.READ_BACK))
    good = [json.dumps(a_payment(portal, n)).encode() for n in (1, 2, 1, 9)]
    text = b"\r\n".join([good[0], b"", b"no json", good[1], b'{"portal": "x"', good[2], good[3], b"x" * 5000])
    status, came = streamed(web, text + b"\n" + lines([a_payment("nobody"), {"portal": portal.key}, [1]]))
    assert status == 202
    *results, end = came
    told = [(each["index"], each.get("outcome") or each["error"]["type"].rpartition(":")[2]) for each in results]
    assert told == [
        (0, "accepted"),
        (1, "bad-json"),
        (2, "accepted"),
        (3, "bad-json"),
        (4, "joined"),
        (5, "already_paid"),
        (6, "too-large"),
        (7, "no-portal"),
        (8, "invalid"),
        (9, "invalid"),
    ]
    assert [each["line"] for each in results if "error" in each] == [3, 5, 8, 9, 10, 11]
    assert results[0]["id"] == results[4]["id"]
    assert web.ask("GET", f"{PAYMENTS}/{results[5]['id']}").body["duplicate"] is True
    assert web.ask("GET", f"{PAYMENTS}/{known}").body["duplicate"] is False
    assert end == {"end": True, "accepted": 2, "joined": 1, "already_paid": 1, "refused": 6}


def test_who_sends_a_line_and_waits_gets_its_answer(web: Web, portal: EmulatedPortal):
    """Nothing is kept back until more has come."""

    async def talk() -> list[dict[str, Any]]:
        said: list[dict[str, Any]] = []
        reader, writer = await asyncio.open_connection(*web.address.removeprefix("http://").split(":"))
        writer.write(_head("Transfer-Encoding: chunked"))
        for n in range(1, 4):
            text = lines([a_payment(portal, n)])
            writer.write(b"%x\r\n%s\r\n" % (len(text), text))
            while not (line := await asyncio.wait_for(reader.readline(), 10)).startswith(b"{"):
                pass
            said.append(json.loads(line))
        writer.write(b"0\r\n\r\n")
        rest = await asyncio.wait_for(reader.read(), 10)
        assert b'"end":true' in rest
        writer.close()
        return said

    assert [each["outcome"] for each in asyncio.run(talk())] == ["accepted"] * 3


def _head(length: str) -> bytes:
    kind = "Content-Type: application/x-ndjson"
    return f"POST {PAYMENTS} HTTP/1.1\r\nHost: 127.0.0.1\r\n{kind}\r\n{length}\r\n\r\n".encode()


def test_a_client_that_reads_only_when_it_has_sent_everything_is_served(web: Web, portal: EmulatedPortal):
    """As many HTTP clients do: its answers wait for it."""
    body = lines(a_payment(portal, n) for n in range(1, 8001))
    host, port = web.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        raw.sendall(_head(f"Content-Length: {len(body)}") + body)
        came = b"".join(iter(lambda: raw.recv(65536), b""))
    assert came.count(b'"accepted"}') == 8000
    assert b'{"end":true,"accepted":8000,"joined":0,"already_paid":0,"refused":0}' in came
    [lane] = portal.ledger(lambda ledger: ledger.lanes([portal.key]))
    assert lane.counts["queued"] == 8000


@pytest.mark.parametrize("key", [None, "this-very-file"])
def test_a_connection_that_breaks_in_the_middle_has_lost_nothing(web: Web, portal: EmulatedPortal, key: str | None):
    """What was accepted is joined when the whole is sent again; with a key also what has ended since."""
    body = lines(a_payment(portal, n) for n in range(1, 2001))
    host, port = web.address.removeprefix("http://").split(":")
    head = _head(f"Content-Length: {len(body)}" + (f"\r\nIdempotency-Key: {key}" if key else ""))
    with socket.create_connection((host, int(port)), timeout=60) as raw:
        raw.sendall(head + body[: len(body) * 2 // 3])
        told = b""
        while told.count(b'"accepted"}') < 1000:
            told += raw.recv(65536)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset, as of a crash
    before = {each["index"]: each["id"] for each in results_in(told)}
    if key:
        drive(portal, Failed(Refusal("CODE", "refused")), 40)
    headers = {"Idempotency-Key": key} if key else {}
    status, came = streamed(web, body, headers)
    assert (status, came[-1]["end"], came[-1]["refused"]) == (202, True, 0)
    assert came[-1]["accepted"] + came[-1]["joined"] == 2000
    assert came[-1]["joined"] >= len(before) >= 1000
    assert {index: came[index]["id"] for index in before} == before
    rows = [
        row for state in ("queued", "failed") for row in listed(web, f"portal={portal.key}&state={state}&limit=500")
    ]
    assert sorted(ids(rows)) == sorted(ids(came[:-1]))
    crashed = [each for each in web.events() if each["event"] == "web.crashed"]
    assert crashed == []


def test_without_redis_nothing_is_half_accepted(alone: tuple[EmbeddedServer, Web]):
    """503 with Retry-After for whatever comes; the same again is accepted when it is back."""
    server, web = alone
    body = lines(a_payment("acme", n) for n in range(1, 11))
    server.kill()
    for kind, text in (("application/json", json.dumps(a_payment("acme")).encode()), ("application/x-ndjson", body)):
        answer = web.ask("POST", PAYMENTS, data=text, headers={"Content-Type": kind})
        refused(answer, 503, "unavailable")
        assert answer.headers["Retry-After"]
    for path in (PAYMENTS, f"{PAYMENTS}/x", "/v1/doubts", "/v1/portals", "/v1/portals/acme"):
        refused(web.ask("GET", path), 503, "unavailable")
    server.restart()
    eventually_sync(lambda: web.ask("GET", "/readyz").status == 200)
    assert streamed(web, body)[1][-1]["accepted"] == 10


def test_when_redis_goes_in_the_middle_the_last_line_says_from_where_on(alone: tuple[EmbeddedServer, Web]):
    """Everything that was answered is written down; the whole again joins it."""
    server, web = alone
    payments = [a_payment("acme", n) for n in range(1, 21)]

    async def half_then_stop() -> AsyncIterator[bytes]:
        yield lines(payments[:10])
        await asyncio.sleep(0.3)
        await asyncio.to_thread(server.kill)
        yield lines(payments[10:])

    status, came = asyncio.run(stream(web.address, half_then_stop()))
    assert status == 202
    *results, end = came
    assert [each["outcome"] for each in results] == ["accepted"] * 10
    assert (end["end"], end["unanswered_from"], end["error"]["status"]) == (False, 10, 503)
    server.restart()
    eventually_sync(lambda: web.ask("GET", "/readyz").status == 200)
    again = streamed(web, lines(payments))[1]
    assert ids(again[:10]) == ids(results)
    assert (again[-1]["accepted"] + again[-1]["joined"], again[-1]["end"]) == (20, True)


def test_a_stream_without_lines_is_refused(web: Web):
    """Nothing was asked for."""
    for body in (b"", b"\n\r\n \n"):
        answer = web.ask("POST", PAYMENTS, data=body, headers={"Content-Type": "application/x-ndjson"})
        refused(answer, 422, "empty")


def test_a_line_without_end_is_not_kept(web: Web, portal: EmulatedPortal):
    """Ten megabytes in one line are refused as one line, and the next is read."""
    status, came = streamed(web, b"x" * 10_000_000 + b"\n" + lines([a_payment(portal, 1)]))
    assert status == 202
    assert [each.get("outcome") for each in came[:-1]] == [None, "accepted"]
    assert came[0]["error"]["status"] == 413
