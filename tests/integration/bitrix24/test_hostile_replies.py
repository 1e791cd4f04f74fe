"""The client against peers that cut, reset, drip, flood and lie: every end is known, and nothing is sent twice."""

import asyncio
import gzip
import json
import tracemalloc
from collections.abc import Callable

import pytest

from bitrix24.client import Client
from bitrix24.credentials import Webhook
from bitrix24.errors import Effect, Fate, Moved, NoAnswer, NotSent, PortalError, Refused
from bitrix24.facts import Claims, Reply
from bitrix24.portal import Portal
from bitrix24.resolver import PublicResolver
from bitrix24.secret import Secret
from tests.eventually import eventually
from tests.integration.bitrix24.raw_portal import (
    Line,
    RawPortal,
    Step,
    a_pay,
    answering,
    batch_reply,
    cutting,
    http,
    raw_portal,
)

WHOLE = http(batch_reply())


def a_client(http_total_s: float = 20.0, connections: int = 10) -> Client:
    """A client that may talk to this machine."""
    return Client(http_total_s=http_total_s, allow_insecure=True, connections=connections)


async def outcome(*script: Step, http_total_s: float = 20.0) -> tuple[Reply | PortalError, RawPortal]:
    """What one pay ends in, and the server it met."""
    async with raw_portal(*script) as server, a_client(http_total_s) as client:
        try:
            return await client.pay(server.portal, [a_pay()]), server
        except PortalError as error:
            return error, server


async def test_a_whole_reply_is_read():
    """The control: the untouched reply is a claim with its proof."""
    reply, _ = await outcome(answering(WHOLE))
    assert isinstance(reply, Reply)
    assert reply.answers == (Claims(),)
    assert not isinstance(reply.invoices, PortalError)
    assert reply.invoices[2].paid


async def test_a_reply_cut_at_any_byte_is_a_doubt():
    """However much of the reply arrived, without its end the outcome is unknown, and the request went out once."""
    sent = 0

    async def step(line: Line) -> None:
        await line.request()
        await line.send(WHOLE[:sent])
        line.close()

    async with raw_portal(step) as server, a_client() as client:
        for sent in range(len(WHOLE)):
            with pytest.raises(NoAnswer) as caught:
                await client.pay(server.portal, [a_pay()])
            assert caught.value.meaning.fate is Fate.UNKNOWN, sent
        assert server.requests == len(WHOLE)


async def test_a_body_without_a_length_that_is_cut_is_a_doubt():
    """A body that ends with the connection is judged by its JSON."""
    body = batch_reply().encode()
    for sent in range(0, len(body), 7):
        error, _ = await outcome(cutting(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body[:sent]))
        assert isinstance(error, NoAnswer), sent


async def test_a_request_cut_at_any_byte_counts_as_sent():
    """A reset after some of the request was taken is a doubt; "not sent" is only said where the portal saw nothing."""
    _, control = await outcome(answering(WHOLE))
    taken = 0

    async def step(line: Line) -> None:
        if taken:
            line.read += await line.reader.readexactly(taken)
        line.reset()

    async with raw_portal(step) as server, a_client() as client:
        for taken in range(0, len(control.lines[0].read) + 1, 7):
            with pytest.raises((NoAnswer, NotSent)) as caught:
                await client.pay(server.portal, [a_pay()])
            if taken:
                assert isinstance(caught.value, NoAnswer), taken


async def test_a_connection_that_closed_between_requests_is_replaced():
    """A keep-alive connection that the portal ended while it was idle is not used again."""
    async with raw_portal(answering(WHOLE)) as server, a_client() as client:
        await client.pay(server.portal, [a_pay()])
        server.lines[0].close()
        await eventually(server.lines[0].reader.at_eof)
        await client.pay(server.portal, [a_pay()])
        assert [line.read.count(b"POST ") for line in server.lines] == [1, 1]


async def test_a_connection_that_closes_as_we_take_it_gets_nothing():
    """An end that has arrived but was not looked at yet is noticed before the first byte: certainly not sent."""
    async with raw_portal(answering(WHOLE)) as server, a_client() as client:
        await client.pay(server.portal, [a_pay()])
        server.lines[0].close()
        with pytest.raises(NotSent):
            await client.pay(server.portal, [a_pay()])
        assert server.requests == 1
        await client.pay(server.portal, [a_pay()])


@pytest.mark.parametrize("end", [Line.reset, Line.close])
async def test_a_kept_connection_that_breaks_under_a_request_is_not_retried(end: Callable[[Line], None]):
    """The second request on a connection is taken and never answered: a doubt, and no silent second sending."""

    async def break_off(line: Line) -> None:
        await line.request()
        end(line)

    async with raw_portal(answering(WHOLE), break_off, answering(WHOLE)) as server, a_client() as client:
        await client.pay(server.portal, [a_pay()])
        with pytest.raises(NoAnswer):
            await client.pay(server.portal, [a_pay()])
        await client.pay(server.portal, [a_pay()])
        assert [line.read.count(b"POST ") for line in server.lines] == [2, 1]


async def test_a_refused_connection_is_not_sent():
    """Nobody listens: certainly not executed."""
    async with raw_portal(answering(WHOLE)) as server:
        portal = server.portal
    async with a_client() as client:
        with pytest.raises(NotSent) as caught:
            await client.pay(portal, [a_pay()])
    assert (caught.value.meaning.fate, caught.value.meaning.effect) == (Fate.NOT_RUN, Effect.BACKOFF)


async def silent(line: Line) -> None:
    """Take the request and say nothing."""
    await line.request()
    await asyncio.Event().wait()


async def test_no_reply_in_time_is_a_doubt():
    """The total timeout ends the wait."""
    error, server = await outcome(silent, http_total_s=0.3)
    assert isinstance(error, NoAnswer)
    assert server.requests == 1


async def test_a_reply_that_drips_ends_with_the_total_timeout():
    """Bytes that keep coming do not extend the time."""

    async def drip(line: Line) -> None:
        await line.request()
        await line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            await line.send(b" ")
            await asyncio.sleep(0.01)

    error, _ = await outcome(drip, http_total_s=0.4)
    assert isinstance(error, NoAnswer)


async def test_waiting_for_a_connection_is_not_sending():
    """Who gets no connection from the full pool in time has certainly not sent; who holds it is in doubt."""
    async with raw_portal(silent) as server, a_client(http_total_s=1.0, connections=1) as client:
        first = asyncio.create_task(client.pay(server.portal, [a_pay(2)]))
        await eventually(lambda: server.requests == 1)
        with pytest.raises(NotSent):
            await client.pay(server.portal, [a_pay(3)])
        with pytest.raises(NoAnswer):
            await first
        assert server.requests == 1


async def test_a_cancelled_call_ends_its_connection():
    """A cancelled pay leaves no connection behind that could be used for another."""
    async with raw_portal(silent) as server, a_client() as client:
        call = asyncio.create_task(client.pay(server.portal, [a_pay()]))
        await eventually(lambda: server.requests == 1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await eventually(server.lines[0].reader.at_eof)


BODIES = {
    "html": b"<html>sorry</html>",
    "empty": b"",
    "blank": b" \n",
    "cut": batch_reply().encode()[:-1],
    "a list": b"[]",
    "a string": b'"true"',
    "null": b"null",
    "no result": b"{}",
    "result true": b'{"result": true}',
    "result list": b'{"result": []}',
    "deep": b"[" * 100_000,
    "deep inside": b'{"result":' * 50_000,
    "not a number": b'{"result": NaN}',
    "not a number aside": batch_reply().replace('"operating": 0', '"operating": NaN').encode(),
    "infinity aside": batch_reply().replace('"operating": 0', '"operating": -Infinity').encode(),
    "a key that stands twice": batch_reply().replace('"p0": true', '"p0": false, "p0": true').encode(),
    "two results": b'{"result": [], ' + batch_reply().encode()[1:],
    "33 deep": batch_reply().replace('"operating": 0', '"x": ' + "[" * 33 + "]" * 33).encode(),
    "30,000 values": batch_reply().replace('"operating": 0', '"x": [' + "0," * 30_000 + "0]").encode(),
    "not utf-8": b"\xff\xfe\x00",
    "an endless number": b'{"result": ' + b"9" * 10_000 + b"}",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
async def test_a_body_that_is_no_batch_is_a_doubt(body: bytes):
    """Status 200 with anything but an answered batch says nothing about the payment."""
    error, _ = await outcome(answering(http(body)))
    assert isinstance(error, NoAnswer)
    assert error.meaning.fate is Fate.UNKNOWN


HEADS = {
    "garbage": b"\x00\x01\x02\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}",
    "a huge status": b"HTTP/1.1 99999 OK\r\nContent-Length: 0\r\n\r\n",
    "a bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "100,000 headers": b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 100_000 + b"\r\n",
    "a long header": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1_000_000 + b"\r\n\r\n",
    "a long status line": b"HTTP/1.1 200 " + b"x" * 1_000_000 + b"\r\n\r\n",
    "an unknown packing": http(b"{}", headers=["Content-Encoding: br"]),
    "a false gzip": http(b"{}", headers=["Content-Encoding: gzip"]),
    "a cut gzip": http(gzip.compress(batch_reply().encode())[:-9], headers=["Content-Encoding: gzip"]),
}


@pytest.mark.parametrize("raw", HEADS.values(), ids=HEADS.keys())
async def test_a_reply_that_is_no_http_is_a_doubt(raw: bytes):
    """What cannot be read as HTTP came after the request had left."""
    error, _ = await outcome(cutting(raw))
    assert isinstance(error, NoAnswer)
    assert error.meaning.fate is Fate.UNKNOWN


async def test_the_type_of_the_content_is_not_believed():
    """JSON under any content type, packed or with a byte order mark, is read."""
    for raw in (
        http(batch_reply(), headers=["Content-Type: text/html"]),
        http(gzip.compress(batch_reply().encode()), headers=["Content-Encoding: gzip"]),
        http("\ufeff" + batch_reply()),
    ):
        reply, _ = await outcome(answering(raw))
        assert isinstance(reply, Reply)


async def test_a_packed_bomb_does_not_unfold():
    """400 kB that unpack to 400 MB end as a doubt, within the size we allow."""
    bomb = gzip.compress(b" " * 400_000_000, compresslevel=9)
    tracemalloc.start()
    try:
        error, _ = await outcome(answering(http(bomb, headers=["Content-Encoding: gzip"])))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(error, NoAnswer)
    assert peak < 16_000_000


async def test_an_endless_body_is_left():
    """Reading stops at the cap; the connection is closed instead of being read to its end."""
    sent = 0

    async def flood(line: Line) -> None:
        nonlocal sent
        await line.request()
        await line.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await line.send(b"10000\r\n" + b" " * 65536 + b"\r\n")
            sent += 65536

    error, _ = await outcome(flood)
    assert isinstance(error, NoAnswer)
    assert sent < 64_000_000


async def test_redirects_are_not_followed():
    """The body and the secret go to nobody else; a new address of the same portal is named, others hold the lane."""
    async with raw_portal(answering(WHOLE)) as other:
        target = f"http://127.0.0.1:{other.port}/rest/1/x/batch"
        for status in ("301 M", "302 F", "307 T", "308 P"):
            error, _ = await outcome(answering(http("<html>", status, headers=[f"Location: {target}"])))
            assert isinstance(error, Moved)
            assert error.endpoint == f"http://127.0.0.1:{other.port}/rest/"
            assert error.meaning.effect is Effect.MOVED
        for location in ("http://evil.example/rest/1/x/", "/login/", f"http://127.0.0.1:{other.port}/auth/", ""):
            error, _ = await outcome(answering(http("<html>", "302 F", headers=[f"Location: {location}"])))
            assert isinstance(error, Refused)
            assert error.meaning.effect is Effect.HOLD
        assert other.lines == []


async def test_cookies_are_not_kept():
    """A portal cannot make us carry anything from one call to the next."""
    reply = http(batch_reply(), headers=["Set-Cookie: PHPSESSID=1; path=/"])
    async with raw_portal(answering(reply)) as server, a_client() as client:
        await client.pay(server.portal, [a_pay()])
        await client.pay(server.portal, [a_pay()])
        assert b"ookie" not in server.lines[0].read


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch):
    """The environment cannot route payments through somebody else."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    reply, _ = await outcome(answering(WHOLE))
    assert isinstance(reply, Reply)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_an_inside_address_is_not_called_unless_allowed(host: str):
    """Without the permission for insecure portals nothing that leads inside gets a connection."""
    async with raw_portal(answering(WHOLE)) as server, Client(http_total_s=5, allow_insecure=False) as client:
        endpoint = f"https://{host}:{server.port}/rest/"
        portal = Portal(key="inside", endpoint=endpoint, credential=Webhook(1, Secret("codecode")))
        with pytest.raises(NotSent):
            await client.pay(portal, [a_pay()])
        assert server.lines == []


async def test_a_name_that_leads_inside_does_not_resolve():
    """A name is judged by its addresses when it is looked up, not when it was configured."""
    resolver = PublicResolver()
    with pytest.raises(OSError, match="private address"):
        await resolver.resolve("localhost")
    await resolver.close()


COMMANDS = {
    "in neither map": ({"result": []}, NoAnswer, Fate.UNKNOWN),
    "in both maps": ({"result_error": {"p0": {"error": "ERROR_CHECK_FAILURE"}}}, NoAnswer, Fate.UNKNOWN),
    "result 1": ({"result": {"p0": 1}}, NoAnswer, Fate.UNKNOWN),
    "result 'true'": ({"result": {"p0": "true"}}, NoAnswer, Fate.UNKNOWN),
    "result null": ({"result": {"p0": None}}, NoAnswer, Fate.UNKNOWN),
    "result an object": ({"result": {"p0": {"x": 1}}}, NoAnswer, Fate.UNKNOWN),
    "an error that is a string": ({"result": [], "result_error": {"p0": "broken"}}, NoAnswer, Fate.UNKNOWN),
    "an error without code": ({"result": [], "result_error": {"p0": {"error": ""}}}, Refused, Fate.REFUSED_IF_UNPAID),
    "a numeric code": ({"result": [], "result_error": {"p0": {"error": 100}}}, Refused, Fate.REFUSED_IF_UNPAID),
    "an error object": (
        {"result": [], "result_error": {"p0": {"error": {"code": "ERROR_CHECK_FAILURE", "message": "no"}}}},
        Refused,
        Fate.REFUSED,
    ),
}


@pytest.mark.parametrize(("changes", "kind", "fate"), COMMANDS.values(), ids=COMMANDS.keys())
async def test_a_command_claims_by_true_alone(changes: dict[str, object], kind: type[PortalError], fate: Fate):
    """Every other answer of a command is an error of its own, and the other commands are not touched by it."""
    reply, _ = await outcome(answering(http(batch_reply(**changes))))
    assert isinstance(reply, Reply)
    (answer,) = reply.answers
    assert type(answer) is kind
    assert answer.meaning.fate is fate


@pytest.mark.parametrize("rows", [None, True, "x", [{"ID": 99, "PAYED": "Y"}]])
async def test_a_read_back_about_something_else_is_an_error(rows: object):
    """A read-back that is missing or shows foreign invoices says nothing about ours, in a batch and alone."""
    reply, _ = await outcome(answering(http(batch_reply(result={"p0": True, "r": rows}))))
    assert isinstance(reply, Reply)
    assert isinstance(reply.invoices, NoAnswer)
    async with raw_portal(answering(http(json.dumps({"result": rows})))) as server, a_client() as client:
        with pytest.raises(NoAnswer):
            await client.read_back(server.portal, [2])


async def test_sizes_are_kept():
    """No pays, too many, or several singly are a mistake of the caller and never sent."""
    async with raw_portal(answering(WHOLE)) as server, a_client() as client:
        for pays, singly in (([], False), ([a_pay()] * 50, False), ([a_pay()] * 2, True)):
            with pytest.raises(ValueError, match="do not fit"):
                await client.pay(server.portal, pays, singly=singly)
        with pytest.raises(ValueError, match="do not fit"):
            await client.read_back(server.portal, range(1, 52))
        assert await client.read_back(server.portal, []) == {}
        assert server.lines == []
