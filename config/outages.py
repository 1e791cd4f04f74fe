"""What is an outage of Redis, to be waited out, and what is a fault that waiting does not mend."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from redis.exceptions import RedisError, ResponseError

T = TypeVar("T")
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0  # between tries while Redis is away

# Answers of a server that cannot do it now: full, a replica, still loading, a disk that takes no writes.
_NOT_NOW: Final = frozenset(
    {"BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "MISCONF", "NOREPLICAS", "OOM", "READONLY", "TRYAGAIN"}
)


def is_outage(error: Exception) -> bool:
    """Whether the same step may succeed later without anybody's doing.

    redis-py has classes of their own for some of the answers; what is left as a plain ResponseError is one of the
    others, or a step that failed on what it found: a wrong type, a missing field.
    """
    if type(error) is ResponseError:
        return str(error).partition(" ")[0] in _NOT_NOW
    return isinstance(error, RedisError | OSError)


async def wait_out(
    step: Callable[[], Awaitable[T]],
    *,
    until: Callable[[], float],
    clock: Callable[[], float],
    tell: Callable[[Exception, float], None],
) -> T:
    """Repeat a step until Redis has taken it; raises its error where that is not an outage, or at `until`.

    `until` is asked anew each time, in seconds of `clock`; `tell` hears of each failure and the pause after it.
    """
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            return await step()
        except Exception as error:
            if not is_outage(error) or clock() + pause_s >= until():
                raise
            tell(error, pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
