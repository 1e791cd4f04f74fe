"""Kombu's Redis transport without its gap: a message is in its queue or in `unacked`, and never in neither.

Kombu pops a message with BRPOP and writes it to `unacked` one round trip later; a worker that dies in between takes it
along. Here one step on the server does both (`lua/fetch.lua`). Waiting for a message is BLMOVE of the queue's last
element onto its own place: it blocks as BRPOP does and moves nothing, so a consumer waits and then takes the step.
Producers see nothing of this.

Every fetched message carries its consumer's name, and consumers give a sign of life every few seconds; whoever sees
that one is dead puts its messages back (`lua/recover.lua`). That is about speed alone: no message depends on it.

Only channels with the transport option `atomic_fetch` work like this; everything else is kombu's own.
"""

import os
import socket
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha1
from pathlib import Path
from queue import Empty
from time import monotonic
from typing import Any, Final
from uuid import uuid4

import kombu.transport.redis
import redis
from kombu.transport import TRANSPORT_ALIASES, virtual
from redis.exceptions import NoScriptError

from worker.envelope import Message, read_envelope

# Kombu has no types; for the checker our classes stand on Any.
_theirs: Any = kombu.transport.redis
_virtual: Any = virtual
_beside: Any = object

# Three signs of life may be late (`unacked_restore_interval` is 5 s) before a consumer's messages go to others.
LIFE_MS: Final = 15_000
# What one step moves: a few milliseconds on the server, and a bounded reply.
MOST_MESSAGES: Final = 100
MOST_BYTES: Final = 1_000_000
RECOVERED_AT_ONCE: Final = 500
NO_WAIT_S: Final = 0.001  # the shortest that the server knows; 0 would be for ever

_FOLDER: Final = Path(__file__).parent / "lua"


class Script:
    """A Lua text and the name the server knows it by."""

    def __init__(self, name: str) -> None:
        self.text = (_FOLDER / f"{name}.lua").read_text(encoding="utf-8")
        self.sha = sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    def run(self, client: Any, keys: Sequence[str], arguments: Sequence[object]) -> Any:
        """Run the step; a server that does not know the script learns it."""
        try:
            return client.evalsha(self.sha, len(keys), *keys, *arguments)
        except NoScriptError:
            return client.eval(self.text, len(keys), *keys, *arguments)


FETCH: Final = Script("fetch")
PUT_BACK: Final = Script("put_back")
RECOVER: Final = Script("recover")


class QoS(_theirs.QoS):  # type: ignore[misc]  # kombu has no types
    """What this channel was handed and has not acknowledged; the server has the same under the channel's name."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._acked: deque[str] = deque()

    def append(self, message: Any, delivery_tag: str) -> None:
        """Remember a message; the server was told when it was fetched."""
        if self.channel.atomic_fetch is True:
            _virtual.QoS.append(self, message, delivery_tag)
        else:
            super().append(message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge; in an event loop all of one turn go to the server together."""
        if self.channel.atomic_fetch is not True:
            super().ack(delivery_tag)
            return
        _virtual.QoS.ack(self, delivery_tag)
        if self.channel.closed:
            return  # it was put back when the channel was closed; that it comes again is harmless
        self._acked.append(delivery_tag)
        if not self.channel.in_event_loop:
            self.flush_acks()

    def flush_acks(self) -> None:
        """Tell the server what was acknowledged; what it does not hear now it hears the next time."""
        tags = [self._acked.popleft() for _ in range(len(self._acked))]
        if not tags:
            return
        try:
            with self.pipe_or_acquire() as pipe:
                pipe.zrem(self.unacked_index_key, *tags).hdel(self.unacked_key, *tags).execute()
        except (*self.channel.connection_errors, self.channel.ResponseError):
            self._acked.extendleft(reversed(tags))
            if not self.channel.in_event_loop:
                raise

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


class _Fetching(_beside):  # type: ignore[misc]  # kombu has no types
    """The part of a channel that both kinds of transport share; comes before kombu's class."""

    QoS = QoS
    Message = Message
    atomic_fetch = False
    consumers_key = "consumers"

    def __init__(self, *args: Any, **options: Any) -> None:
        self._name = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:12]}"
        self._steps = 0
        self._asked_queues: list[str] = []
        self._is_empty = False  # the latest step found nothing
        self._latest_key = ""  # where the latest message came from
        self._in_poll: Any = None
        self._arrived: deque[tuple[str, str, bytes]] = deque()  # queue, tag, message: fetched, not yet delivered
        self._auto_acked: set[str] = set()  # queues whose consumer acknowledges nothing
        super().__init__(*args, **options)

    @property
    def in_event_loop(self) -> bool:
        """Whether a hub turns this channel; otherwise each call delivers one message, as kombu's callers expect."""
        return bool(getattr(self.connection.cycle, "in_event_loop", False)) if self.connection else False

    def put_back(self, side: str, tag: str) -> None:
        """Put one message back: RPUSH, it is the next one again; LPUSH, behind all others."""
        self._run(PUT_BACK, self._keys()[:2], [side, tag])

    def recover(self, life_ms: int) -> int:
        """One round of recovery; how many messages went back."""
        visibility_ms = int(self.visibility_timeout * 1000)
        return int(self._run(RECOVER, self._keys(), [self._name, life_ms, visibility_ms, RECOVERED_AT_ONCE]))

    def leave(self) -> None:
        """Put back everything that was fetched under this channel's name, and forget the name."""
        while self.recover(0) >= RECOVERED_AT_ONCE:
            pass
        self._arrived.clear()

    def basic_consume(self, queue: str, no_ack: bool = False, *args: Any, **options: Any) -> Any:  # noqa: FBT001, FBT002 - kombu's
        """Consume; remembers which queues need no acknowledgement."""
        (self._auto_acked.add if no_ack else self._auto_acked.discard)(queue)
        return super().basic_consume(queue, no_ack, *args, **options)

    def basic_get(self, queue: str, no_ack: bool = False, **options: Any) -> Any:  # noqa: FBT001, FBT002 - kombu's
        """One message, by the same step."""
        if not self.atomic_fetch:
            return super().basic_get(queue, no_ack=no_ack, **options)
        for name, tag, raw in self._fetch([queue], 1):
            message = self.Message(read_envelope(raw, tag, name), channel=self)
            self.qos.append(message, tag)
            if no_ack:
                self.qos.ack(tag)
            return message
        return None

    def close(self) -> None:
        """Leave: what was fetched goes back, and nobody waits for a wait to end."""
        if self.atomic_fetch and not self.closed:
            self._closing = True
            if connection := self._in_poll:
                self._in_poll = None
                with suppress(*self.connection_errors):
                    connection.disconnect()  # waiting moves nothing, so nothing is lost with it
            if self._qos:
                self._qos.restore_unacked_once()
        super().close()

    def _brpop_start(self, timeout: int | None = None) -> None:
        if not self.atomic_fetch:
            super()._brpop_start(timeout)
            return
        self._deliver_arrived()
        queues = self._queue_cycle.consume(len(self.active_queues))
        if not queues or not self.qos.can_consume():
            return
        self._asked_queues = queues
        keys = self._queue_keys(queues)
        # One list can be waited for. Messages in others (of a priority, say) are found when anything wakes us, once a
        # second at the latest; then their list is the one. While there are messages, the wait is none.
        key = self._latest_key if self._latest_key in keys else keys[0]
        wait_s = (timeout or self.brpop_timeout) if self._is_empty else NO_WAIT_S
        self._in_poll = self.client.connection
        self._brpop_sent_at = monotonic()
        self._in_poll.send_command("BLMOVE", key, key, "RIGHT", "RIGHT", wait_s)

    def _brpop_read(self, **options: Any) -> bool:
        if not self.atomic_fetch:
            return bool(super()._brpop_read(**options))
        self._end_wait(**options)
        # None of a queue whose consumer was cancelled meanwhile.
        queues = [queue for queue in self._asked_queues if queue in self.active_queues]
        fetched = self._fetch(queues, self._room()) if queues else []
        self._is_empty = not fetched
        self._arrived.extend(fetched)
        if fetched:
            self._deliver_arrived()
        elif not self.in_event_loop:
            raise Empty  # kombu's callers without an event loop wait on
        return bool(fetched)

    def _end_wait(self, **options: Any) -> None:
        try:
            self.client.parse_response(self.client.connection, "BLMOVE", **options)
        except self.connection_errors:
            # So that the next turn connects anew.
            self.client.connection.disconnect()
            raise
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()

    def _fetch(self, queues: Sequence[str], most: int) -> list[tuple[str, str, bytes]]:
        """Up to so many messages: queue, tag and bytes of each."""
        keys = self._queue_keys(queues)
        names = [queue for _ in self.priority_steps for queue in queues]
        self._steps += 1
        arguments = [self._name, LIFE_MS, self._steps, most, MOST_BYTES]
        reply = self._run(FETCH, [*self._keys(), *keys], arguments)
        fetched = []
        for number, (at, raw) in enumerate(zip(reply[::2], reply[1::2], strict=True), start=1):
            self._latest_key = keys[int(at) - 1]
            self._queue_cycle.rotate(names[int(at) - 1])
            fetched.append((names[int(at) - 1], f"{self._name}:{self._steps}:{number}", raw))
        return fetched

    def _deliver_arrived(self) -> None:
        """Hand on what was fetched; after an error the rest waits for the next turn."""
        while self._arrived:
            queue, tag, raw = self._arrived.popleft()
            self.connection._deliver(read_envelope(raw, tag, queue), queue)  # noqa: SLF001 - kombu's own way
            if queue in self._auto_acked:
                self.qos.ack(tag)

    def _run(self, script: Script, keys: Sequence[str], arguments: Sequence[object]) -> Any:
        """Run a step beside the waiting connection; by a plain client, since kombu's would prefix a key twice."""
        return script.run(redis.Redis(connection_pool=self.pool), keys, arguments)

    def _keys(self) -> list[str]:
        prefix = self.global_keyprefix
        return [prefix + key for key in (self.unacked_key, self.unacked_index_key, self.consumers_key)]

    def _queue_keys(self, queues: Sequence[str]) -> list[str]:
        return [
            self.global_keyprefix + self._q_for_pri(queue, step) for step in self.priority_steps for queue in queues
        ]

    def _room(self) -> int:
        """How many messages one step may fetch."""
        if not self.in_event_loop:
            return 1
        return min(self.qos.can_consume_max_estimate() or MOST_MESSAGES, MOST_MESSAGES)


_OPTIONS: Final = ("atomic_fetch", "consumers_key")


class Channel(_Fetching, _theirs.Channel):  # type: ignore[misc]  # kombu has no types
    """A channel to one server."""

    from_transport_options = (*_theirs.Channel.from_transport_options, *_OPTIONS)


class SentinelChannel(Channel, _theirs.SentinelChannel):  # type: ignore[misc]  # kombu has no types
    """A channel to the server that the sentinels name."""

    from_transport_options = (*_theirs.SentinelChannel.from_transport_options, *_OPTIONS)


class Poller(_theirs.MultiChannelPoller):  # type: ignore[misc]  # kombu has no types
    """Kombu's poller; it also lets each channel acknowledge once a turn and give its own signs of life."""

    in_event_loop = False

    def on_poll_start(self) -> None:
        """Before each wait of the event loop."""
        for channel in self._channels:
            if channel.atomic_fetch is True:
                channel.qos.flush_acks()
        super().on_poll_start()

    def maybe_restore_messages(self) -> None:
        """By timer, also while a channel's prefetch is full."""
        ours = [channel for channel in self._channels if channel.atomic_fetch is True]
        for channel in ours:
            # The connection that waits for messages decides about a lost server.
            with suppress(*channel.connection_errors, channel.ResponseError):
                if channel.active_queues:
                    channel.qos.restore_visible()
        if len(ours) < len(self._channels):
            super().maybe_restore_messages()


class _FetchingTransport(_beside):  # type: ignore[misc]  # kombu has no types
    """Kombu's transport with our poller."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.cycle = Poller()

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """From now on the hub turns the channels."""
        self.cycle.in_event_loop = True
        super().register_with_event_loop(connection, loop)


class Transport(_FetchingTransport, _theirs.Transport):  # type: ignore[misc]  # kombu has no types
    """`redis://`, `rediss://` and `redis+socket://`."""

    Channel = Channel


class SentinelTransport(_FetchingTransport, _theirs.SentinelTransport):  # type: ignore[misc]  # kombu has no types
    """`sentinel://`."""

    Channel = SentinelChannel


def install() -> None:
    """Let this process' Redis URLs lead here. By alias: a URL's own scheme overrides every other way of choosing."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = "worker.transport:Transport"
    TRANSPORT_ALIASES["sentinel"] = "worker.transport:SentinelTransport"
