"""Huge, endless, packed and slow replies: each ends in time, costs less than 8 MB, and decides nothing.

The payer is a process of its own, and its growth counts from before the first hostile reply to the last peak.
"""

import asyncio
import gzip
import sys
import zlib
from collections.abc import Callable, Mapping

import pytest

from bitrix24.transport import REPLY_CAP
from tests.integration.bitrix24.payer import a_payer
from tests.integration.bitrix24.raw_portal import (
    CODE,
    Line,
    Step,
    answering,
    batch_reply,
    cutting,
    http,
    raw_portal,
)

MOST_KB = 8 * 1024
TOTAL_S = 2.0
FLOOD = 300_000_000
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
WHOLE = http(batch_reply())
EMPTY = http(b"")


def flooding(head: bytes, piece: bytes) -> Step:
    """Send a head, then the same bytes over and over, 300 MB of them."""
    block = piece * max(1, 65536 // len(piece))

    async def step(line: Line) -> None:
        await line.request()
        await line.send(head)
        for _ in range(FLOOD // len(block)):
            await line.send(block)
        line.close()

    return step


def dripping(head: bytes, piece: bytes) -> Step:
    """Send a head, then a few bytes at a time without end."""

    async def step(line: Line) -> None:
        await line.request()
        await line.send(head)
        while True:
            await line.send(piece)
            await asyncio.sleep(0.02)

    return step


def packed(raw: bytes, encoding: str = "gzip") -> bytes:
    """A body with the name of its packing."""
    return http(raw, headers=[f"Content-Encoding: {encoding}"])


def filled(text: str, to: int = REPLY_CAP) -> bytes:
    """A batch with a member `x`, exactly as large as a reply may be."""
    empty = batch_reply(x="").encode()
    room = to - len(empty)
    inner = text.encode() if len(text) > 1 else text.encode() * room
    return http(empty.replace(b'"x": ""', b'"x": "' + inner[:room] + b'"'))


def valued(value: str, times: int) -> bytes:
    """A batch with so many values beside its answers."""
    return http(batch_reply(x=0).replace('"x": 0', f'"x": [{",".join([value] * times)}]'))


BOMB = gzip.compress(b" " * 400_000_000, compresslevel=9)
WIDE = "\U0001f600" + "x" * (REPLY_CAP)

DOUBTS: Mapping[str, Callable[[], Step]] = {
    "300 MB with a length": lambda: flooding(OK + b"Content-Length: 300000000\r\n\r\n", b" "),
    "300 MB in chunks": lambda: flooding(CHUNKED, b"8000\r\n" + b"x" * 32768 + b"\r\n"),
    "300 MB until the end": lambda: flooding(OK + b"\r\n", b"["),
    "300 MB of one-byte chunks": lambda: flooding(CHUNKED, b"1\r\n[\r\n"),
    "a length beyond all memory": lambda: flooding(OK + b"Content-Length: 99999999999999999\r\n\r\n", b"{"),
    "a bomb of 400 MB": lambda: answering(packed(BOMB)),
    "a bomb in zlib's packing": lambda: answering(packed(zlib.compress(b"[" * 400_000_000, 9)[:400_000], "deflate")),
    "a bomb in a bomb": lambda: answering(packed(gzip.compress(BOMB, 9), "gzip, gzip")),
    "a bomb until the end": lambda: cutting(OK + b"Content-Encoding: gzip\r\n\r\n" + BOMB),
    "an endless stream of packed members": lambda: flooding(
        OK + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n",
        f"{len(gzip.compress(b' ')):x}\r\n".encode() + gzip.compress(b" ") + b"\r\n",
    ),
    "a byte too much": lambda: answering(filled("x", REPLY_CAP + 1)),
    "100,000 brackets": lambda: answering(http(b"[" * 100_000)),
    "100,000 objects": lambda: answering(valued("{}", 100_000)),
    "50,000 nested objects": lambda: answering(http(b'{"a":' * 50_000)),
    "a number of 300,000 digits": lambda: answering(valued("9" * 300_000, 1)),
    "100,000 headers": lambda: cutting(OK + b"a: b\r\n" * 100_000 + b"\r\n"),
    "headers without end": lambda: flooding(OK, b"a: b\r\n"),
    "a header without end": lambda: flooding(OK + b"x: ", b"x"),
    "a status line without end": lambda: flooding(b"HTTP/1.1 200 ", b"x"),
    "no status line at all": lambda: flooding(b"", b"\0"),
    "120 headers of 8 kB": lambda: answering(http("{}", headers=["h: " + "x" * 8000] * 120)),
    "early hints without end": lambda: flooding(b"", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"),
    "100 without end": lambda: flooding(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a chunk's extension without end": lambda: flooding(CHUNKED + b"1;", b"x"),
    "a chunk's size without end": lambda: flooding(CHUNKED, b"0"),
    "trailers without end": lambda: flooding(CHUNKED + b"0\r\n", b"a: b\r\n"),
    "a body where there is none": lambda: flooding(
        b"HTTP/1.1 204 No Content\r\nContent-Length: 300000000\r\n\r\n", b" "
    ),
    "a status line that drips": lambda: dripping(b"HTTP/1.1 200 ", b"x"),
    "headers that drip": lambda: dripping(OK, b"a: b\r\n"),
    "a body that drips": lambda: dripping(OK + b"Content-Length: 100000\r\n\r\n", b" "),
    "chunks that drip": lambda: dripping(CHUNKED, b"1\r\n \r\n"),
    "100 that drips": lambda: dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "blank lines that drip": lambda: dripping(b"", b"\r\n"),
    "half a reply and silence": lambda: dripping(WHOLE[:-1], b""),
}
# Whole replies that mean what they say, as large and as odd as is allowed.
ANSWERS: Mapping[str, Callable[[], Step]] = {
    "the largest reply": lambda: answering(filled("x")),
    "the largest reply in the widest text": lambda: answering(filled(WIDE)),
    "the secret, 20,000 times": lambda: answering(filled(CODE * 20_000)),
    "as many values as are read": lambda: answering(valued('{"":0}', 9_000)),
    "as many texts as are read": lambda: answering(valued('"abcdefgh"', 19_000)),
    "an answer and 300 MB more": lambda: flooding(WHOLE, EMPTY),
    "an answer and 256 kB more at once": lambda: flooding(WHOLE + EMPTY * 7_000, EMPTY),
    "as many headers as are read": lambda: answering(http(batch_reply(), headers=[f"h{n}: x" for n in range(120)])),
}


# Statuses that settle nothing for a batch, however long the rest is: read back first, or hold the lane.
REFUSALS: Mapping[str, Callable[[], Step]] = {
    "another protocol's flood": lambda: flooding(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", b"x" * 1024
    ),
    "a login page of 300 MB": lambda: flooding(
        b"HTTP/1.1 302 Found\r\nLocation: /login/\r\nContent-Length: 300000000\r\n\r\n", b"<"
    ),
    "an error page of 300 MB": lambda: flooding(b"HTTP/1.1 502 Bad\r\nContent-Length: 300000000\r\n\r\n", b"<"),
}


@pytest.mark.timeout(180)
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_no_reply_costs_much_or_lasts():
    """One process meets them all; none makes it grow by 8 MB, and each ends with the total timeout at the latest."""
    ended = {}
    async with a_payer(TOTAL_S) as payer:
        for name, step in {**DOUBTS, **ANSWERS, **REFUSALS}.items():
            async with raw_portal(step()) as server:
                ended[name] = await payer.pay(server.webhook)
                assert server.requests == 1, name
    for name, said in ended.items():
        print(f"{said['grown_kb']:7} kB {said['took_s']:6.2f} s  {said['kind']:9} {name}: {said['text']}")
    assert {name: said for name, said in ended.items() if said["grown_kb"] > MOST_KB} == {}
    assert {name: said for name, said in ended.items() if said["took_s"] > TOTAL_S + 5} == {}
    assert {name: said for name, said in ended.items() if name in DOUBTS and said["fate"] != "UNKNOWN"} == {}
    # What floods is ended by its size; only what keeps us waiting needs the time.
    waited = {name for name, said in ended.items() if "no reply within" in said["text"]}
    assert waited == {name for name in DOUBTS if "drip" in name or "silence" in name}
    assert {name: said for name, said in ended.items() if name in REFUSALS and said["kind"] != "Refused"} == {}
    assert {name: said for name, said in ended.items() if name in ANSWERS and said["kind"] != "Reply"} == {}
