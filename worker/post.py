"""How a worker's events leave: composed and published by a thread with a connection of its own, in groups.

Whoever has an event only leaves a note, so neither a payment nor Celery's consumer ever waits for a broker here. Events
may be lost, as all of Celery's: the oldest notes go first, and what meets an outage is not sent again.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final

import structlog
from celery.events.dispatcher import EventDispatcher
from celery.events.event import Event, get_exchange, group_from
from celery.utils.time import utcoffset
from kombu.messaging import Producer

log = structlog.get_logger(__name__)

# Notes that wait to be published; each is one request's payments or one group of messages. Older ones are lost first.
MOST_NOTES: Final = 500
# What comes together goes together: one message for so many events, after so long at most.
AT_ONCE: Final = 100
GATHER_S: Final = 0.1
AFTER_OUTAGE_S: Final = 1.0

# One event: its type, and its fields by Celery's names.
Note = tuple[str, dict[str, Any]]
# Celery and kombu have no types; for the checker our class stands on Any.
_theirs: Any = EventDispatcher
_Producer: Any = Producer


class Post:
    """Publishes events beside everything else; any thread may leave notes."""

    def __init__(self, app: Any) -> None:  # Celery has no types
        self._app = app
        self._notes: deque[Callable[[], Iterable[Note]]] = deque(maxlen=MOST_NOTES)
        self._ready = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.hostname = ""  # of the worker; known when it starts

    def put(self, note: Callable[[], Iterable[Note]]) -> None:
        """Leave a note of events, composed when they are published; never waits."""
        self._notes.append(note)
        if not self._ready.is_set():
            self._ready.set()

    def __len__(self) -> int:
        """How many notes wait."""
        return len(self._notes)

    def start(self, hostname: str) -> None:
        """Begin to publish what is noted, as events of this worker."""
        self.hostname = hostname
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)
        self._thread.start()

    def stop(self, patience_s: float) -> None:
        """Publish what is left, as far as that goes within the patience."""
        self._stopping.set()
        self._ready.set()
        if self._thread is not None:
            self._thread.join(patience_s)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._publish_while_connected()
            except Exception as error:  # noqa: BLE001 - a broker that is away, of whatever make: these events are lost
                log.warning("events.lost", error=type(error).__name__, retry_s=AFTER_OUTAGE_S)
                self._stopping.wait(AFTER_OUTAGE_S)

    def _publish_while_connected(self) -> None:
        self._ready.wait()
        # Nobody would answer AMQP's heartbeats here; the worker's own events keep the connection busy.
        with self._app.connection_for_write(heartbeat=0) as connection:
            connection.connect()  # once: by itself kombu would try for ever
            producer: Any = _Producer(connection, serializer=self._app.conf.event_serializer, auto_declare=False)
            exchange = get_exchange(connection, name=self._app.conf.event_exchange)
            while True:
                self._ready.clear()
                for group in groups_of(self._taken()):
                    self._publish(group, producer, exchange)
                if self._stopping.is_set() and not self._notes:
                    return
                self._ready.wait()
                self._stopping.wait(GATHER_S)

    def _taken(self) -> Iterable[dict[str, Any]]:
        while self._notes:
            with suppress(IndexError):
                for kind, fields in self._notes.popleft()():
                    yield self._complete(kind, fields)

    def _complete(self, kind: str, fields: dict[str, Any]) -> dict[str, Any]:
        event: dict[str, Any] = Event(
            kind,
            **{"hostname": self.hostname, "utcoffset": utcoffset(), "pid": os.getpid(), **fields},
            clock=self._app.clock.forward(),
        )
        return event

    def _publish(self, group: list[dict[str, Any]], producer: Any, exchange: Any) -> None:
        """As Celery does: several events of tasks are one message with a list; others travel alone."""
        kind = group[0]["type"]
        several = group_from(kind) == "task"
        producer.publish(
            group if several else group[0],
            routing_key="task.multi" if several else kind.replace("-", "."),
            exchange=exchange.name,
            declare=[exchange],
            headers={"hostname": self.hostname},
            delivery_mode=1,
            retry=False,
        )


class Dispatcher(_theirs):  # type: ignore[misc]  # Celery has no types
    """Celery's own events, of workers and of the bulk task, take the same way: they never hold up the consumer."""

    def send(self, type: str, blind: bool = False, **fields: Any) -> None:  # noqa: A002, FBT001, FBT002 - Celery's
        """Note one event, where its group is wanted."""
        if not self.enabled or (self.groups and group_from(type) not in self.groups):
            return
        for option in ("utcoffset", "retry", "retry_policy", "Event"):
            fields.pop(option, None)
        fields.setdefault("timestamp", time.time())
        self.app.post.put(lambda: [(type, fields)])

    def flush(self, *_args: Any, **_options: Any) -> None:
        """Nothing waits here."""


def tasks_are_watched(worker: Any) -> bool:
    """Whether somebody wants events of tasks: `-E`, or `enable_events` by remote control, as Flower does."""
    dispatcher = getattr(getattr(worker, "consumer", None), "event_dispatcher", None)
    return bool(dispatcher and dispatcher.enabled and (not dispatcher.groups or "task" in dispatcher.groups))


def groups_of(events: Iterable[dict[str, Any]]) -> Iterable[list[dict[str, Any]]]:
    """Events in their order, as they may travel together."""
    group: list[dict[str, Any]] = []
    for event in events:
        together = group_from(event["type"]) == "task"
        if group and (len(group) >= AT_ONCE or not together):
            yield group
            group = []
        group.append(event)
        if not together:
            yield group
            group = []
    if group:
        yield group
