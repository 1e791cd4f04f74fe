"""The storm's own Redis: it can be killed, and it can lose what it wrote last, as a disk without power does."""

import asyncio
import contextlib
import os
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cli.embedded import EmbeddedServer

_LOOK_EVERY_S: Final = 0.01
_REMEMBERED: Final = 5000  # sizes; a power loss reaches back two seconds
# Shorter than most commands: the cut lands inside of one.
_INTO_A_COMMAND: Final = 40


@dataclass(frozen=True, slots=True)
class Size:
    """How long the newest append-only file was at a moment (epoch seconds)."""

    at: float
    path: Path
    bytes: int


@dataclass(frozen=True, slots=True)
class Loss:
    """What a power loss took: everything written between two moments (epoch seconds)."""

    from_at: float
    to_at: float
    bytes: int


class StormServer:
    """An embedded server whose append-only file is watched."""

    def __init__(self) -> None:
        self._server = EmbeddedServer()
        self._sizes: deque[Size] = deque(maxlen=_REMEMBERED)

    @property
    def url(self) -> str:
        """The address for `REDIS_URL`, directly."""
        return self._server.url

    @property
    def socket(self) -> Path:
        """The Unix socket, for a gate of the proxy."""
        return self._server.socket

    @property
    def directory(self) -> Path:
        """Where it keeps its data."""
        return self._server.directory

    async def kill(self, away_s: float) -> float:
        """SIGKILL, and start again after a while; returns the moment of death (epoch seconds)."""
        await asyncio.to_thread(self._server.kill)
        died_at = time.time()
        await asyncio.sleep(away_s)
        await asyncio.to_thread(self._server.start)
        return died_at

    async def lose_power(self, back_s: float, away_s: float, into: float) -> Loss:
        """SIGKILL, cut off what was written in the last `back_s`, and start again after a while.

        `into` (0..1) chooses how far into the command before the cut goes.
        """
        await asyncio.to_thread(self._server.kill)
        from_at, lost = self._cut(time.time(), back_s, round(into * _INTO_A_COMMAND))
        await asyncio.sleep(away_s)
        # A client may read an answer of the dead server late, but not after this.
        to_at = time.time()
        await asyncio.to_thread(self._server.start)
        # It has dropped the half command at the end: only sizes from now on tell what is safe.
        self._sizes.clear()
        return Loss(from_at, to_at, lost)

    def _cut(self, died_at: float, back_s: float, into: int) -> tuple[float, int]:
        """Shorten the file; since when writing is lost (epoch seconds), and how many bytes."""
        newest = self._newest()
        if newest is None:
            return died_at, 0
        known = [size for size in self._sizes if size.path == newest.path]
        before = [size for size in known if size.at <= died_at - back_s]
        # What was there when we first looked at this part stays.
        least = known[0].bytes if known else newest.bytes
        length = min(newest.bytes, max(least, (before[-1].bytes if before else least) - into))
        os.truncate(newest.path, length)
        # What was written when the file was no longer than this is safe. One look more, because a look may
        # meet the server between two parts of one writing.
        safe = [size for size in known if size.bytes <= length]
        from_at = safe[max(len(safe) - 2, 0)].at if safe else died_at
        self._sizes.clear()
        return from_at, newest.bytes - length

    def _newest(self) -> Size | None:
        """The newest part of the append-only file; servers that rewrite it start a new one."""
        parts = sorted(
            (int(path.suffixes[-3].strip(".")), path) for path in (self.directory / "appendonlydir").glob("*.incr.aof")
        )
        if not parts:
            return None
        try:
            return Size(time.time(), parts[-1][1], parts[-1][1].stat().st_size)
        except FileNotFoundError:  # rewritten between the two looks
            return None

    async def _watch(self) -> None:
        while True:
            newest = self._newest()
            last = self._sizes[-1] if self._sizes else None
            if newest and (last is None or (newest.path, newest.bytes) != (last.path, last.bytes)):
                self._sizes.append(newest)
            await asyncio.sleep(_LOOK_EVERY_S)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["StormServer"]:
        """Started and watched; in the end it is gone with its data."""
        watching = None
        try:
            await asyncio.to_thread(self._server.start)
            watching = asyncio.create_task(self._watch())
            yield self
        finally:
            if watching is not None:
                watching.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await watching
            self._server.stop()
