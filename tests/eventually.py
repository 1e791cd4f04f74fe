"""Waiting for something that another process or task does, with a deadline instead of a guess."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

# Generous: a deadline only ends a test that has already failed. Two cores may be shared by several runs.
WITHIN_S = 30.0
_EVERY_S = 0.02


async def eventually(condition: Callable[[], T | Awaitable[T]], *, within_s: float = WITHIN_S) -> T:
    """Return the condition's first true value; an AssertionError inside it counts as "not yet" until the deadline."""
    end = time.monotonic() + within_s
    while True:
        try:
            value = condition()
            seen = await value if inspect.isawaitable(value) else value
            if seen:
                return seen
            failure = AssertionError(f"still {seen!r} after {within_s:g} s")
        except AssertionError as error:
            failure = error
        if time.monotonic() >= end:
            raise failure
        await asyncio.sleep(_EVERY_S)


def eventually_sync(condition: Callable[[], T], *, within_s: float = WITHIN_S) -> T:
    """The same for tests without an event loop."""
    end = time.monotonic() + within_s
    while True:
        try:
            if seen := condition():
                return seen
            failure = AssertionError(f"still {seen!r} after {within_s:g} s")
        except AssertionError as error:
            failure = error
        if time.monotonic() >= end:
            raise failure
        time.sleep(_EVERY_S)
