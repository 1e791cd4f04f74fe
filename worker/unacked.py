"""What a channel was handed and has not acknowledged: on the server, in `unacked`, under the channel's name."""

from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final

import kombu.transport.redis
from kombu.transport import virtual

# Kombu has no types; for the checker our class stands on Any.
_theirs: Any = kombu.transport.redis
_virtual: Any = virtual

# Three signs of life may be late (`unacked_restore_interval` is 5 s) before a consumer's messages go to others.
LIFE_MS: Final = 15_000
MOST_ACKS: Final = 1000  # in one step


class QoS(_theirs.QoS):  # type: ignore[misc]  # kombu has no types
    """Kombu's bookkeeping of a channel's messages, except that the server has known of each since it was fetched.

    In an event loop acknowledgements are collected, and the channel's next step of fetching takes them along. What the
    server does not hear now it hears the next time; until then it only believes that a message is still under way.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._acked: deque[str] = deque()
        self._told: dict[str, None] = {}  # to a server that has not answered yet

    def append(self, message: Any, delivery_tag: str) -> None:
        """Remember a message; the server was told when it was fetched."""
        if self.channel.atomic_fetch is True:
            _virtual.QoS.append(self, message, delivery_tag)
        else:
            super().append(message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge; in an event loop the server is told soon, together with others."""
        if self.channel.atomic_fetch is not True:
            super().ack(delivery_tag)
            return
        _virtual.QoS.ack(self, delivery_tag)
        if self.channel.closed:
            return  # it was put back when the channel was closed; that it comes again is harmless
        self._acked.append(delivery_tag)
        if not self.channel.in_event_loop:
            self.flush_acks()

    @property
    def has_acks(self) -> bool:
        """Whether the server is still to be told something."""
        return bool(self._acked or self._told)

    def tell_acks(self) -> list[str]:
        """Tags for the next step to take along; `acks_heard` says that it has been taken."""
        while self._acked and len(self._told) < MOST_ACKS:
            self._told[self._acked.popleft()] = None
        return list(self._told)

    def acks_heard(self, tags: Iterable[str]) -> None:
        """The server has answered the step that took these along."""
        for tag in tags:
            self._told.pop(tag, None)

    def flush_acks(self) -> None:
        """Tell the server at once."""
        while tags := self.tell_acks():
            try:
                with self.pipe_or_acquire() as pipe:
                    pipe.zrem(self.unacked_index_key, *tags).hdel(self.unacked_key, *tags).execute()
            except (*self.channel.connection_errors, self.channel.ResponseError):
                if not self.channel.in_event_loop:
                    raise
                return
            self.acks_heard(tags)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:  # noqa: FBT001, FBT002 - kombu's signature
        """Drop a message, or put it back behind the others."""
        if self.channel.atomic_fetch is not True:
            super().reject(delivery_tag, requeue=requeue)
        elif requeue and not self.channel.closed:
            self.channel.put_back("LPUSH", delivery_tag)
            _virtual.QoS.ack(self, delivery_tag)
        else:
            self.ack(delivery_tag)

    def restore_by_tag(self, tag: str, client: Any = None, leftmost: bool = False) -> None:  # noqa: FBT001, FBT002 - kombu's
        """Put one message back where kombu would."""
        if self.channel.atomic_fetch is True:
            self.channel.put_back("LPUSH" if leftmost else "RPUSH", tag)
        else:
            super().restore_by_tag(tag, client=client, leftmost=leftmost)

    def restore_visible(self, start: int = 0, num: int | None = 10, interval: int = 10) -> None:
        """Give a sign of life, and put back what dead consumers had fetched."""
        if self.channel.atomic_fetch is True:
            self.channel.recover(LIFE_MS)
        else:
            super().restore_visible(start=start, num=num, interval=interval)

    def restore_unacked(self, client: Any = None) -> None:
        """Put back everything this channel holds, at once and in order."""
        if self.channel.atomic_fetch is not True:
            super().restore_unacked(client=client)
            return
        self.flush_acks()
        self.channel.leave()
        self._delivered.clear()

    def restore_unacked_once(self, stderr: Any = None) -> None:
        """At the end: a server that cannot be told now learns from the missing signs of life."""
        if self.channel.atomic_fetch is True and self.restore_at_shutdown and self.channel.do_restore:
            with suppress(*self.channel.connection_errors, self.channel.ResponseError, AttributeError):
                self.restore_unacked()
            self._delivered.clear()
        super().restore_unacked_once(stderr)
