"""What a portal sends without having been asked is no answer to anything, and ends the connection it came on."""

import asyncio
from collections.abc import Callable

import pytest

from bitrix24.client import Client
from bitrix24.errors import NotSent
from bitrix24.facts import Reply
from tests.eventually import eventually
from tests.integration.bitrix24.raw_portal import Line, Step, a_pay, answering, batch_reply, http, raw_portal

WHOLE = http(batch_reply())
EMPTY = http(b"")
SOON_S = 10.0  # an idle connection ends by itself after 20


def a_client() -> Client:
    """A client that may talk to this machine."""
    return Client(http_total_s=20, allow_insecure=True)


@pytest.mark.parametrize("then", [lambda _: None, Line.close], ids=["stays", "closes"])
@pytest.mark.parametrize("unasked", [WHOLE, b"HTTP/1.1 408 Request Time-out\r\n\r\n"], ids=["a claim", "a timeout"])
async def test_a_reply_that_came_before_the_request_is_nobodys(unasked: bytes, then: Callable[[Line], None]):
    """What arrives on an idle connection answers no call: the next one has not been sent, and pays on another."""
    async with raw_portal(answering(WHOLE)) as server, a_client() as client:
        await client.pay(server.portal, [a_pay()])
        await server.lines[0].send(unasked)
        then(server.lines[0])
        with pytest.raises(NotSent):
            await client.pay(server.portal, [a_pay()])
        assert server.requests == 1
        assert isinstance(await client.pay(server.portal, [a_pay()]), Reply)
        assert [line.read.count(b"POST ") for line in server.lines] == [1, 1]


async def test_an_idle_connection_that_speaks_is_ended():
    """At once, instead of keeping what it says until the next call."""
    async with raw_portal(answering(WHOLE)) as server, a_client() as client:
        await client.pay(server.portal, [a_pay()])
        await server.lines[0].send(EMPTY)
        await eventually(server.lines[0].reader.at_eof, within_s=SOON_S)
        await client.pay(server.portal, [a_pay()])
        assert [line.read.count(b"POST ") for line in server.lines] == [1, 1]


async def twice(line: Line) -> None:
    """Answer in two pieces, of which the second holds another answer."""
    await line.request()
    await line.send(WHOLE[:60])
    await asyncio.sleep(0.05)
    await line.send(WHOLE[60:] + WHOLE)


@pytest.mark.parametrize("step", [answering(WHOLE + WHOLE), twice], ids=["at once", "in pieces"])
async def test_a_connection_that_answers_twice_is_ended(step: Step):
    """The first answer counts; the second, which came along with it, waits for nobody."""
    async with raw_portal(step) as server, a_client() as client:
        assert isinstance(await client.pay(server.portal, [a_pay()]), Reply)
        await eventually(server.lines[0].reader.at_eof, within_s=SOON_S)
        assert isinstance(await client.pay(server.portal, [a_pay()]), Reply)
        assert [line.read.count(b"POST ") for line in server.lines] == [1, 1]


async def test_a_connection_that_answers_once_is_kept():
    """The control: many calls, one connection."""
    async with raw_portal(answering(WHOLE)) as server, a_client() as client:
        for _ in range(5):
            await client.pay(server.portal, [a_pay()])
        assert [line.read.count(b"POST ") for line in server.lines] == [5]
