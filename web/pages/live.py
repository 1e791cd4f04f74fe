"""
`/live`: tells open pages that something has happened, so that they ask for what they show anew (server-sent events).

One looker in a process serves all its streams, and looks only while there is one. A stream says nothing of what has
happened: what somebody may see is decided where the page is made. It ends with its session.

    standing  the first word: all is well      change  something happened       away   Redis does not answer
    beat      nothing new, the stream lives    over    the session has ended    full   too many streams: ask by yourself
"""

import asyncio
import time
from typing import Final

import structlog
from aiohttp import web
from redis.exceptions import RedisError

from metrics.glances import Glances
from web.pages.entering import principal_of

log = structlog.get_logger(__name__)

# A change is seen after so long at the latest, and is on the screen within half a second.
EVERY_S: Final = 0.2
# With many lanes a look takes longer: the pause after it is so many times as long, or it would do nothing else.
_PAUSES: Final = 3
_BEAT_S: Final = 5.0
_SESSION_S: Final = 2.0
MOST_STREAMS: Final = 200
_HEADERS: Final = {"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
_GONE: Final = (RedisError, OSError, TimeoutError)


class Looker:
    """Looks as long as somebody watches, and wakes everybody when something has happened."""

    def __init__(self, glances: Glances) -> None:
        self._glances = glances
        self._task: asyncio.Task[None] | None = None
        self._happened = asyncio.Condition()
        self.streams = 0
        self.round = 0  # grows with every change
        self.away = False
        self.ending = False

    def join(self) -> None:
        """Somebody watches from now on."""
        self.streams += 1
        if self._task is None:
            self._task = asyncio.create_task(self._look())

    def leave(self) -> None:
        """Somebody has stopped watching."""
        self.streams -= 1
        if self.streams == 0 and self._task is not None:
            self._task.cancel()
            self._task = None

    async def news(self, known: int, within_s: float) -> int:
        """Wait for a change after the known one; the number of the latest."""
        try:
            async with asyncio.timeout(within_s), self._happened:
                await self._happened.wait_for(lambda: self.round != known or self.ending)
        except TimeoutError:
            pass
        return self.round

    async def end(self) -> None:
        """Let all streams end."""
        self.ending = True
        await self._tell()

    async def _look(self) -> None:
        mark: object = None
        self.away = False
        while True:
            began = time.monotonic()
            try:
                seen: object = (await self._glances.look()).mark
            except _GONE as error:
                seen = None
                if not self.away:
                    log.warning("web.ledger_away", error=type(error).__name__)
            except Exception as error:
                seen = mark
                log.exception("web.looker_stumbled", error=type(error).__name__)
            if seen != mark or (seen is None) != self.away:
                mark, self.away = seen, seen is None
                self.round += 1
                await self._tell()
            await asyncio.sleep(max(EVERY_S, (time.monotonic() - began) * _PAUSES if seen else EVERY_S))

    async def _tell(self) -> None:
        async with self._happened:
            self._happened.notify_all()


LOOKER: Final = web.AppKey("looker", Looker)


async def end_streams(app: web.Application) -> None:
    """Before the process ends."""
    await app[LOOKER].end()


async def watch(request: web.Request) -> web.StreamResponse:
    """One page's stream, until the page, the session or the process ends."""
    looker = request.app[LOOKER]
    response = web.StreamResponse(headers=_HEADERS)
    await response.prepare(request)
    if request.method == "HEAD":
        return response
    if looker.streams >= MOST_STREAMS:
        await _say(response, "full")
        return response
    looker.join()
    try:
        await _follow(request, response, looker)
    except ConnectionError:
        pass  # the page was closed
    finally:
        looker.leave()
    return response


async def _follow(request: web.Request, response: web.StreamResponse, looker: Looker) -> None:
    await response.write(b"retry: 2000\n\n")
    await _say(response, "away" if looker.away else "standing")
    known, said_at = looker.round, time.monotonic()
    asked_at = said_at
    while not looker.ending:
        latest = await looker.news(known, _SESSION_S)
        now = time.monotonic()
        if now - asked_at >= _SESSION_S:
            asked_at = now
            if not await _is_still_in(request):
                await _say(response, "over")
                return
        if latest != known:
            known, said_at = latest, now
            await _say(response, "away" if looker.away else "change")
        elif now - said_at >= _BEAT_S:
            said_at = now
            await _say(response, "away" if looker.away else "beat")


async def _is_still_in(request: web.Request) -> bool:
    try:
        return await principal_of(request, counts=False) is not None
    except _GONE:
        return True  # nobody can say: nothing is shown meanwhile either


async def _say(response: web.StreamResponse, event: str) -> None:
    await response.write(f"event: {event}\ndata: \n\n".encode())
