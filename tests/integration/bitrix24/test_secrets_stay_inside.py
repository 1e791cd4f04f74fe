"""The webhook's code: whatever goes wrong, it is in no exception, no chain behind one, no log line and no warning."""

import asyncio
import json
import logging
import traceback
import warnings
from collections.abc import Iterator

import pytest

from bitrix24.client import Client
from bitrix24.errors import PortalError
from bitrix24.portal import Portal, parse_portal
from emulator.server import running_emulator
from tests.integration.bitrix24.raw_portal import (
    CODE,
    Line,
    Step,
    a_pay,
    answering,
    batch_reply,
    cutting,
    http,
    raw_portal,
)

URL = f"http://127.0.0.1/rest/1/{CODE}/batch"
ECHO = json.dumps({"error": f"X_{CODE}", "error_description": f"cannot open {URL} for {CODE.upper()}"})


async def reset_at_once(line: Line) -> None:
    """Break the connection before anything was read."""
    line.reset()


async def reset_after_reading(line: Line) -> None:
    """Break the connection after the request."""
    await line.request()
    line.reset()


async def silent(line: Line) -> None:
    """Never answer."""
    await line.request()
    await asyncio.Event().wait()


async def drop_while_reading(line: Line) -> None:
    """Break the connection in the middle of the request."""
    line.read += await line.reader.readexactly(20)
    line.reset()


ECHOED = batch_reply(result=[], result_error={"p0": json.loads(ECHO), "r": json.loads(ECHO)})
FAILURES: dict[str, Step] = {
    "reset at once": reset_at_once,
    "reset in the middle": drop_while_reading,
    "reset after reading": reset_after_reading,
    "silence": silent,
    "garbage": cutting(b"\x00\x01\r\n\r\n"),
    "a bad head": cutting(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"),
    "a cut body": cutting(http("{}", length=100)),
    "a bad chunk": cutting(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
    "html": answering(http(f"<html>{URL}")),
    "a redirect": answering(http("", "302 Found", headers=[f"Location: http://127.0.0.1:1/rest/1/{CODE}/batch"])),
    "a foreign redirect": answering(http("", "302 Found", headers=[f"Location: http://evil.example/{CODE}"])),
    "an echo in an error": answering(http(ECHO, "400 Bad Request")),
    "an echo in a command": answering(http(ECHOED)),
    "an echo in the status": answering(http("", f"500 {CODE}")),
    "an echo in a cookie": answering(http("", "500 X", headers=[f"Set-Cookie: {CODE}=\x01{CODE}; path=\x02"])),
}


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and everything behind it."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        each = waiting.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting += [each.__cause__, each.__context__]


def assert_clean(error: PortalError) -> None:
    """No spelling of the secret in anything a log or a result backend could take from an exception."""
    assert len(list(chain(error))) == 1, "something stands behind the error"
    shown = [str(error), repr(error), repr(error.args), repr(vars(error)), error.code, error.text]
    shown += traceback.format_exception(error)
    shown += traceback.TracebackException.from_exception(error, capture_locals=True).format()
    assert CODE not in "".join(shown).lower()


async def provoke(client: Client, portal: Portal) -> list[PortalError]:
    """What every door of the client raises or answers."""
    found: list[PortalError] = []
    calls = (
        client.pay(portal, [a_pay()]),
        client.pay(portal, [a_pay()], singly=True),
        client.read_back(portal, [2]),
        client.call(portal, "profile"),
    )
    for call in calls:
        try:
            reply = await call
        except PortalError as error:
            found.append(error)
        else:
            answers = [*reply.answers, reply.invoices] if hasattr(reply, "answers") else []
            found += [each for each in answers if isinstance(each, PortalError)]
    return found


@pytest.fixture
def overheard(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """Everything that was logged, warned about or left to the loop during a test."""
    said: list[str] = []
    caplog.set_level(logging.DEBUG)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        yield said
    said += [str(each.message) for each in warned]
    said += [caplog.text, *(repr(record.__dict__) for record in caplog.records)]
    assert CODE not in "".join(said).lower()


@pytest.mark.parametrize("step", FAILURES.values(), ids=FAILURES.keys())
async def test_no_failure_shows_the_secret(step: Step, overheard: list[str]):
    """Each way a call can fail, through each door of the client."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: overheard.append(repr(context)))
    async with raw_portal(step) as server, Client(http_total_s=0.4, allow_insecure=True) as client:
        errors = await provoke(client, server.portal)
    assert errors
    for error in errors:
        assert_clean(error)


async def test_no_connection_shows_the_secret(overheard: list[str]):
    """A refused connection, a name that does not resolve, a bad certificate and a full pool."""
    async with running_emulator(tls=["127.0.0.1:0"]) as running, raw_portal(silent) as hanging:
        places = [
            "http://127.0.0.1:1",
            f"https://{running.tls[0]}",
            "http://no-such-name.localhost.:1",
            "https://127.0.0.1:1",
        ]
        async with Client(http_total_s=1, allow_insecure=True, connections=1) as client:
            for place in places:
                portal = parse_portal("acme", {"webhook": f"{place}/rest/1/{CODE}/"}, allow_insecure=True)
                for error in await provoke(client, portal):
                    assert_clean(error)
            calls = [client.pay(hanging.portal, [a_pay()]) for _ in range(2)]
            for error in await asyncio.gather(*calls, return_exceptions=True):
                assert isinstance(error, PortalError)
                assert_clean(error)


async def test_a_cancelled_call_shows_nothing(overheard: list[str]):
    """The cancellation that a stopping worker sends leaves no URL in its chain."""
    async with raw_portal(silent) as server, Client(http_total_s=5, allow_insecure=True) as client:
        call = asyncio.create_task(client.pay(server.portal, [a_pay()]))
        await asyncio.sleep(0.1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await call
    for error in chain(caught.value):
        assert CODE not in repr(error)
        assert CODE not in "".join(traceback.format_exception(error))
