"""Kombu's Redis transport without its gap: a message is in its queue or in `unacked`, and never in neither.

Kombu pops a message with BRPOP and writes it to `unacked` one round trip later; a worker that dies in between takes it
along. Here one step on the server does both (`lua/fetch.lua`). Waiting for a message is BLMOVE of the queue's last
element onto its own place: it blocks as BRPOP does and moves nothing. The step is sent right behind it, so the server
takes it in the moment when the wait ends. Producers see nothing of this.

A consumer without messages waits, and has each one at once. In a stream it rests for some milliseconds between two
steps (`worker.pace`): whatever comes meanwhile comes as one group, and the server writes to its disk once for it.

Every fetched message carries its consumer's name, and consumers give a sign of life every few seconds; whoever sees
that one is dead puts its messages back (`lua/recover.lua`). That is about speed alone: no message depends on it.

Only channels with the transport option `atomic_fetch` work like this; everything else is kombu's own.
"""

import os
import socket
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty
from time import monotonic
from typing import Any, Final
from uuid import uuid4

import kombu.transport.redis
import redis
from kombu.transport import TRANSPORT_ALIASES
from redis.exceptions import NoScriptError

from worker.envelope import Message, read_envelope
from worker.pace import Pace
from worker.scripts import FETCH, PUT_BACK, RECOVER, Script
from worker.unacked import LIFE_MS, QoS

# Kombu has no types; for the checker our classes stand on Any.
_theirs: Any = kombu.transport.redis
_beside: Any = object

# What one step moves: a few milliseconds on the server, and a bounded reply.
MOST_MESSAGES: Final = 100
MOST_BYTES: Final = 1_000_000
RECOVERED_AT_ONCE: Final = 500
NO_WAIT_S: Final = 0.001  # the shortest that the server knows; 0 would be for ever
ANSWER_WITHIN_S: Final = 1.0  # a step that is under way when the channel closes

Fetched = list[tuple[str, str, bytes]]  # queue, tag, message


@dataclass(frozen=True, slots=True)
class Step:
    """A step of fetching, to be asked for and to read its reply by."""

    number: int
    most: int
    queues: Sequence[str]  # of each key
    keys: Sequence[str]
    acks: Sequence[str]
    waits: bool = False  # behind a BLMOVE


class _Fetching(_beside):  # type: ignore[misc]  # kombu has no types
    """The part of a channel that both kinds of transport share; comes before kombu's class."""

    QoS = QoS
    Message = Message
    atomic_fetch = False
    consumers_key = "consumers"

    def __init__(self, *args: Any, **options: Any) -> None:
        self._name = _new_name()
        self._steps = 0
        self._asked_queues: list[str] = []
        self._asked: Step | None = None  # in an event loop: sent, and not answered yet
        self._is_empty = False  # the latest step found nothing
        self._pace = Pace()
        self._rests_until = 0.0  # monotonic
        self._latest_key = ""  # where the latest message came from
        self._in_poll: Any = None
        self._arrived: deque[tuple[str, str, bytes]] = deque()  # queue, tag, message: fetched, not yet delivered
        self._auto_acked: set[str] = set()  # queues whose consumer acknowledges nothing
        super().__init__(*args, **options)

    @property
    def in_event_loop(self) -> bool:
        """Whether a hub turns this channel; otherwise each call delivers one message, as kombu's callers expect."""
        return bool(getattr(self.connection.cycle, "in_event_loop", False)) if self.connection else False

    @property
    def fetches_soon(self) -> bool:
        """Whether the next step of fetching, which takes acknowledgements along, comes within the length of a rest.

        A step that stands behind a wait is in the way. One that does not is answered at once, and it may be the very
        one that takes them along: to tell the server beside it would be to tell it twice.
        """
        stands = self._asked is not None and self._asked.waits
        return self.in_event_loop and bool(self.active_queues) and self.qos.can_consume() and not stands

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
                with suppress(*self.connection_errors, self.ResponseError):
                    self._abandon(connection)
            if self._qos:
                self._qos.restore_unacked_once()
        super().close()

    def _abandon(self, connection: Any) -> None:
        """Let no step happen after we have left: one under way is waited for, one behind a wait never begins."""
        try:
            if self._asked and not self._asked.waits and connection.can_read(ANSWER_WITHIN_S):
                self.client.parse_response(connection, "EVALSHA")
        finally:
            connection.disconnect()

    def _begin_anew(self) -> None:
        """Go on as another consumer, because a step was not answered before its connection was dropped.

        Nobody knows whether the server has taken it, or is yet to. All that was fetched under the old name goes back at
        once, and what is fetched under it later does when the name has given no sign of life. What we hold may come
        twice.
        """
        self.qos.flush_acks()
        self.leave()
        self._name = _new_name()
        self._asked = None

    def _brpop_start(self, timeout: int | None = None) -> None:
        if not self.atomic_fetch:
            super()._brpop_start(timeout)
            return
        self._deliver_arrived()
        if self._asked:
            self._begin_anew()
        if monotonic() < self._rests_until:
            return
        queues = self._queue_cycle.consume(len(self.active_queues))
        if not queues or not self.qos.can_consume():
            return
        wait_s = timeout or self.brpop_timeout
        self._in_poll = self.client.connection
        self._brpop_sent_at = monotonic()
        if self.in_event_loop:
            self._ask(queues, wait_s)
        else:
            self._asked_queues = queues
            wait = self._wait(self._queue_keys(queues), wait_s if self._is_empty else NO_WAIT_S)
            self._in_poll.send_command(*wait)

    def _wait(self, keys: Sequence[str], wait_s: float) -> tuple[object, ...]:
        # One list can be waited for. Messages in others (of a priority, say) are found when anything wakes us, once a
        # second at the latest; then their list is the one.
        key = self._latest_key if self._latest_key in keys else keys[0]
        return ("BLMOVE", key, key, "RIGHT", "RIGHT", wait_s)

    def _ask(self, queues: Sequence[str], wait_s: float) -> None:
        """Send the next step of fetching, behind a wait when there is nothing else to do."""
        # Acknowledgements do not wait. And while there are messages nobody does.
        waits = self._is_empty and not self.qos.has_acks
        self._asked = step = self._step(queues, self._room(), acks=self.qos.tell_acks(), waits=waits)
        keys, arguments = self._parts(step)
        commands: list[tuple[object, ...]] = [("EVALSHA", FETCH.sha, len(keys), *keys, *arguments)]
        if waits:
            commands.insert(0, self._wait(step.keys, wait_s))
        self._in_poll.send_packed_command(self._in_poll.pack_commands(commands))

    def _brpop_read(self, **options: Any) -> bool:
        if not self.atomic_fetch:
            return bool(super()._brpop_read(**options))
        if self.in_event_loop:
            if self._asked is None:
                self.client.connection.disconnect()  # by the server, while nothing was asked: the next turn connects
                return False
            fetched = self._answer(self._asked, **options)
        else:
            self._replies(["BLMOVE"], **options)
            # None of a queue whose consumer was cancelled meanwhile.
            queues = [queue for queue in self._asked_queues if queue in self.active_queues]
            fetched = self._fetch(queues, 1) if queues else []
        self._is_empty = not fetched
        self._arrived.extend(fetched)
        if fetched:
            self._deliver_arrived()
        elif not self.in_event_loop:
            raise Empty  # kombu's callers without an event loop wait on
        return bool(fetched)

    def _answer(self, step: Step, **options: Any) -> Fetched:
        """What the step that was asked for brought; in a stream a rest follows if there was little."""
        try:
            *_, reply = self._replies(["BLMOVE", "EVALSHA"] if step.waits else ["EVALSHA"], **options)
        except NoScriptError:
            reply = self._run(FETCH, *self._parts(step))
        self._asked = None
        self.qos.acks_heard(step.acks)
        fetched = self._read(step, reply)
        now = monotonic()
        rest_s = self._pace.found(reply[0], now)
        if rest_s and len(fetched) < step.most:
            self._rests_until = now + rest_s
            self.connection.cycle.hub.call_later(rest_s, _turn)
        return self._still_wanted(fetched)

    def _still_wanted(self, fetched: Fetched) -> Fetched:
        """Without those of a queue whose consumer was cancelled meanwhile: they are the next ones again."""
        for queue, tag, _ in reversed(fetched):
            if queue not in self.active_queues:
                self.put_back("RPUSH", tag)
        return [row for row in fetched if row[0] in self.active_queues]

    def _replies(self, commands: Sequence[str], **options: Any) -> list[Any]:
        """The replies to what was sent; raises the first error when all of them are read."""
        replies, errors = [], []
        try:
            for command in commands:
                try:
                    replies.append(self.client.parse_response(self.client.connection, command, **options))
                except self.ResponseError as error:
                    errors.append(error)
        except self.connection_errors:
            # So that the next turn connects anew.
            self.client.connection.disconnect()
            raise
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()
        if errors:
            raise errors[0]
        return replies

    def _fetch(self, queues: Sequence[str], most: int) -> Fetched:
        """Up to so many messages, at once."""
        step = self._step(queues, most)
        return self._read(step, self._run(FETCH, *self._parts(step)))

    def _step(self, queues: Sequence[str], most: int, acks: Sequence[str] = (), *, waits: bool = False) -> Step:
        self._steps += 1
        names = [queue for _ in self.priority_steps for queue in queues]
        return Step(self._steps, most, names, self._queue_keys(queues), acks, waits)

    def _parts(self, step: Step) -> tuple[list[str], list[object]]:
        """Its keys and arguments."""
        return [*self._keys(), *step.keys], [self._name, LIFE_MS, step.number, step.most, MOST_BYTES, *step.acks]

    def _read(self, step: Step, reply: Sequence[Any]) -> Fetched:
        fetched = []
        for number, (at, raw) in enumerate(zip(reply[1::2], reply[2::2], strict=True), start=1):
            fetched.append((step.queues[at - 1], f"{self._name}:{step.number}:{number}", raw))
            self._latest_key = step.keys[at - 1]
        for queue in dict.fromkeys(queue for queue, _, _ in fetched):
            self._queue_cycle.rotate(queue)
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


def _new_name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:12]}"


def _turn() -> None:
    """For a timer: the event loop turns, and the channel finds its rest over."""


_OPTIONS: Final = ("atomic_fetch", "consumers_key")


class Channel(_Fetching, _theirs.Channel):  # type: ignore[misc]  # kombu has no types
    """A channel to one server."""

    from_transport_options = (*_theirs.Channel.from_transport_options, *_OPTIONS)


class SentinelChannel(Channel, _theirs.SentinelChannel):  # type: ignore[misc]  # kombu has no types
    """A channel to the server that the sentinels name."""

    from_transport_options = (*_theirs.SentinelChannel.from_transport_options, *_OPTIONS)


class Poller(_theirs.MultiChannelPoller):  # type: ignore[misc]  # kombu has no types
    """Kombu's poller; it also lets each channel acknowledge and give its own signs of life."""

    hub: Any = None

    @property
    def in_event_loop(self) -> bool:
        """Whether a hub turns the channels."""
        return self.hub is not None

    def on_poll_start(self) -> None:
        """Before each wait of the event loop."""
        for channel in self._channels:
            if channel.atomic_fetch is True and not channel.fetches_soon:
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
        self.cycle.hub = loop
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
