"""Ends a connection on which something arrives that nobody has asked for.

A front end that gives up an idle connection may say so (408) before it closes; a broken one may answer twice. aiohttp
keeps what arrives between two calls, without a bound, and takes the first of it for the answer to the next.
"""

import asyncio
from typing import Self, cast


class Ear(asyncio.Protocol):
    """Stands before aiohttp's protocol on one connection; passes on what comes while a call listens, up to a limit."""

    def __init__(self, transport: asyncio.Transport, behind: asyncio.Protocol) -> None:
        self._transport = transport
        self._behind = behind
        self._caller: object = None
        self._room = 0

    @classmethod
    def on(cls, transport: asyncio.Transport) -> Self:
        """The one of this connection."""
        there = transport.get_protocol()
        if isinstance(there, cls):
            return there
        made = cls(transport, cast("asyncio.Protocol", there))
        transport.set_protocol(made)
        return made

    def listen(self, caller: object, at_most: int) -> None:
        """Pass on so many bytes from now on; ends the connection where something waits already."""
        self._caller, self._room = caller, at_most
        self._end_if_spoiled()

    def leave(self, caller: object) -> None:
        """Pass nothing on any more, unless another call has the connection by now."""
        if self._caller is caller:
            self._caller = None
            self._end_if_spoiled()

    def _end_if_spoiled(self) -> None:
        # Of aiohttp: there is a part of a reply, or more than one.
        if getattr(self._behind, "should_close", True):
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Pass on, or end."""
        self._room -= len(data)
        if self._caller is None or self._room < 0:
            self._transport.abort()
        else:
            self._behind.data_received(data)

    def eof_received(self) -> bool | None:
        """Pass on."""
        return self._behind.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass on."""
        self._behind.connection_lost(exc)

    def pause_writing(self) -> None:
        """Pass on."""
        self._behind.pause_writing()

    def resume_writing(self) -> None:
        """Pass on."""
        self._behind.resume_writing()
