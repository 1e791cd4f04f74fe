"""Lines of a body as they come: read in a task of their own, so that the next are there when the last are written."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from web.api.bodies import Broken, chunks
from web.problems import Problem

LONGEST_LINE: Final = 4096  # bytes; a payment has a few hundred
# Lines of one step of the ledger (`ledger.redis.steps.OPEN_CHUNK`).
CHUNK: Final = 400
_AHEAD: Final = 2  # chunks
# 100,000 payments take ten seconds or so; whoever trickles keeps others out.
LONGEST_S: Final = 900.0


@dataclass(frozen=True, slots=True)
class Line:
    """One line that is not blank."""

    index: int  # among them, from 0
    number: int  # among all lines, from 1
    text: bytes | None  # None: it was too long to be kept

    def too_long(self) -> Problem:
        """Why it is refused."""
        cause = f"The line has more than {LONGEST_LINE:,} bytes."
        return Problem(413, "too-large", cause, "A payment has a few hundred.")


class Lines:
    """What came so far and was not taken yet; what is more waits in the connection."""

    def __init__(self, request: web.Request, *, most: int, idle_s: float) -> None:
        self._request = request
        self._most = most
        self._idle_s = idle_s
        self._ready: asyncio.Queue[list[Line]] = asyncio.Queue()
        self._room = asyncio.Semaphore(_AHEAD)
        self._rest = bytearray()
        self._overlong = False  # the line that is being read has too many bytes
        self._number = self._index = 0
        self.problem: Problem | None = None  # why nothing more is read

    async def next(self) -> list[Line]:
        """The next lines, in order; none at the end."""
        chunk = await self._ready.get()
        self._room.release()
        return chunk

    async def read(self) -> None:
        """Read to the end of the body, or to what makes an end of it."""
        try:
            await self._read()
        except TimeoutError:
            self.problem = Problem(408, "too-slow", "The lines came too slowly.", "Send the rest again.")
        except Broken:
            self.problem = Problem(400, "broken-body", "The body ended before its end.", "Send the rest again.")
        finally:
            self._ready.put_nowait([])

    async def _read(self) -> None:
        coming, ends_at = chunks(self._request), time.monotonic() + LONGEST_S
        while True:
            async with asyncio.timeout(min(self._idle_s, max(0.0, ends_at - time.monotonic()))):
                data = await anext(coming, b"")
            last = not data
            # A chunk is at most what the connection holds; its lines are answered at once, so that who sends a line
            # and waits for its answer gets it.
            lines = list(self._lines(data if data else b"\n" if self._rest or self._overlong else b""))
            for first in range(0, len(lines), CHUNK):
                await self._room.acquire()
                self._ready.put_nowait(lines[first : first + CHUNK])
            if last or self.problem is not None:
                return

    def _lines(self, data: bytes) -> Iterator[Line]:
        *complete, rest = data.split(b"\n")
        for part in complete:
            self._rest += part
            self._number += 1
            if self._overlong or len(self._rest) > LONGEST_LINE or self._rest.strip():
                if self._index >= self._most:
                    cause, step = f"The request has more than {self._most:,} lines.", "Send the rest in another one."
                    self.problem = Problem(413, "too-large", cause, step)
                    return
                yield self._line()
            self._rest.clear()
            self._overlong = False
        self._keep(rest)

    def _line(self) -> Line:
        kept = None if self._overlong or len(self._rest) > LONGEST_LINE else bytes(self._rest)
        self._index += 1
        return Line(self._index - 1, self._number, kept)

    def _keep(self, rest: bytes) -> None:
        self._rest += rest
        if len(self._rest) > LONGEST_LINE:
            self._overlong = True
            self._rest.clear()
