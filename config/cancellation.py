"""Cancelling a task that waits for Redis must end it, also on Python 3.11.

redis-py writes a command under `asyncio.wait_for`. Before Python 3.12 that function returns normally when the write
ends in the same turn of the loop in which the task is cancelled, so the cancellation is lost: a Ctrl-C had no effect in
half of the tries, and a worker that stops could wait for ever for a task that it had cancelled.
"""

import asyncio
import sys
from typing import TYPE_CHECKING, Any

from redis.exceptions import TimeoutError as RedisTimeoutError

if TYPE_CHECKING:
    from redis.asyncio import Connection as _Connection
else:
    _Connection = object


class CancellableWrites(_Connection):
    """To be put in front of a redis-py connection class: the write's time limit is ours, by `asyncio.timeout`."""

    async def send_packed_command(self, command: Any, check_health: Any = True) -> None:  # noqa: FBT002 - redis-py's
        """As redis-py does; raises redis' ConnectionError and TimeoutError."""
        if not self.is_connected:
            await self.connect_check_health(check_health=False)
        if check_health:
            await self.check_health()  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
        limit_s, self.socket_timeout = self.socket_timeout, None  # without one, redis-py writes without wait_for
        try:
            async with asyncio.timeout(limit_s):
                await super().send_packed_command(command, check_health=False)
        except TimeoutError:
            await self.disconnect(nowait=True)
            raise RedisTimeoutError("Timeout writing to socket") from None
        finally:
            self.socket_timeout = limit_s


def cancellable(connection_class: type) -> type:
    """The connection class, made cancellable where Python itself is not."""
    if sys.version_info >= (3, 12):
        return connection_class
    return type(connection_class.__name__, (CancellableWrites, connection_class), {})
