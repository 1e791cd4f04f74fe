"""Cancelling a task that waits for Redis must end it, also on Python 3.11.

redis-py writes a command under `asyncio.wait_for`. Before Python 3.12 that function returns normally when the write
ends in the same turn of the loop in which the task is cancelled, so the cancellation is lost: a Ctrl-C had no effect in
half of the tries, and a worker that stops could wait for ever for a task that it had cancelled.
"""

import asyncio
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redis.asyncio import Connection as _Connection
else:
    _Connection = object


class CancellableWrites(_Connection):
    """To be put in front of a redis-py connection class."""

    async def send_packed_command(self, command: Any, check_health: Any = True) -> None:  # noqa: FBT002 - the signature is redis-py's
        """As redis-py does, and raise a cancellation that came while the command was written."""
        task = asyncio.current_task()
        before = task.cancelling() if task else 0
        await super().send_packed_command(command, check_health)
        if task and task.cancelling() > before:
            # Nobody will read the reply, so nobody else may use this connection.
            await self.disconnect(nowait=True)
            raise asyncio.CancelledError


def cancellable(connection_class: type) -> type:
    """The connection class, made cancellable where Python itself is not."""
    if sys.version_info >= (3, 12):
        return connection_class
    return type(connection_class.__name__, (CancellableWrites, connection_class), {})
