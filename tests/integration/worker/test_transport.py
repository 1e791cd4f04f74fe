"""Our transport on a real server: a message is in its queue or a consumer's, and comes back from a dead one."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis
from kombu import Connection, Consumer, Queue

from cli.embedded import EmbeddedServer
from config.connections import celery_url, redis_client
from tests.eventually import eventually_sync
from worker.transport import RECOVERED_AT_ONCE, Transport

ROOT = Path(__file__).resolve().parents[3]
UNACKED, INDEX, CONSUMERS = "t.unacked", "t.unacked_index", "t.consumers"
OPTIONS = {
    "atomic_fetch": True,
    "unacked_key": UNACKED,
    "unacked_index_key": INDEX,
    "consumers_key": CONSUMERS,
    "visibility_timeout": 1,
}
MESSAGE = (
    '{{"body": "{0}", "content-type": "text/plain", "content-encoding": "utf-8", "headers": {{}}, "properties": {{}}}}'
)


@pytest.fixture
def server(redis_url: str) -> Iterator[Any]:
    """A client of the broker's server."""
    with redis_client(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture
def channel(redis_url: str) -> Iterator[Callable[[], Any]]:
    """Open channels, each on a connection of its own, as workers have them."""
    opened: list[Connection] = []

    def open_channel() -> Any:
        connection = Connection(celery_url(redis_url), transport_options=OPTIONS)
        connection.transport_cls = Transport
        opened.append(connection)
        return connection.channel()

    yield open_channel
    for connection in opened:
        connection.release()


def send(server: Any, *bodies: object) -> None:
    """Put messages into the list as any producer does."""
    for body in bodies:
        server.lpush("t", MESSAGE.format(body))


def waiting(server: Any) -> list[str]:
    """What is in the queue, the next one first."""
    return [str(row).partition('"body": "')[2].partition('"')[0] for row in reversed(server.lrange("t", 0, -1))]


def get(channel: Any) -> Any:
    """The next message, unacknowledged."""
    message = channel.basic_get("t")
    assert message is not None
    return message


def silence(server: Any) -> None:
    """Let every consumer's latest sign of life be long past."""
    for name in server.zrange(CONSUMERS, 0, -1):
        server.zadd(CONSUMERS, {name: 1})


def test_a_fetched_message_is_on_record_before_anybody_has_it(server: Any, channel: Callable[[], Any]) -> None:
    """Left its queue, registered under a known consumer: all of it, or nothing."""
    send(server, "a", "b")
    message = get(channel())
    assert waiting(server) == ["b"]
    assert list(server.hgetall(UNACKED)) == server.zrange(INDEX, 0, -1) == [message.delivery_tag]
    assert [message.delivery_tag.rpartition(":")[0].rpartition(":")[0]] == server.zrange(CONSUMERS, 0, -1)
    message.ack()
    assert server.exists(UNACKED, INDEX) == 0


def test_a_dead_consumers_messages_go_back_in_their_order(server: Any, channel: Callable[[], Any]) -> None:
    """Another consumer finds the signs of life missing; what is acknowledged stays so."""
    send(server, *range(5))
    dead = channel()
    held = [get(dead) for _ in range(4)]
    held[1].ack()
    living = channel()
    living.qos.restore_visible()
    assert waiting(server) == ["4"]
    silence(server)
    living.qos.restore_visible()
    assert waiting(server) == ["0", "2", "3", "4"]
    assert get(living).headers["redelivered"] is True


def test_many_messages_of_the_dead_go_back_in_several_steps(server: Any, channel: Callable[[], Any]) -> None:
    """A step is bounded, and a dead consumer is not forgotten before its last message is back."""
    many = RECOVERED_AT_ONCE + 10
    send(server, *range(many))
    dead = channel()
    assert len(dead._fetch(["t"], many)) == many
    silence(server)
    living = channel()
    living.qos.restore_visible()
    assert server.llen("t") == RECOVERED_AT_ONCE
    silence(server)
    living.qos.restore_visible()
    assert server.llen("t") == many


def test_a_consumer_believed_dead_takes_nothing_from_its_heir(server: Any, channel: Callable[[], Any]) -> None:
    """Its late acknowledgement is of its own tag; the message is another's now."""
    send(server, "a")
    sleeper, heir = channel(), channel()
    late = get(sleeper)
    silence(server)
    heir.qos.restore_visible()
    message = get(heir)
    late.ack()
    assert server.zrange(INDEX, 0, -1) == [message.delivery_tag]
    # And the sleeper, awake again, is known again with its next message.
    send(server, "b")
    get(sleeper)
    assert server.zcard(CONSUMERS) == 2


def test_two_that_recover_at_once_put_back_once(server: Any, channel: Callable[[], Any]) -> None:
    """The second one finds nothing left."""
    send(server, "a")
    get(channel())
    silence(server)
    channel().recover(1000), channel().recover(1000)
    assert waiting(server) == ["a"]


def test_a_living_consumer_may_hold_a_message_for_long(server: Any, channel: Callable[[], Any]) -> None:
    """Longer than the visibility timeout: an ETA is no reason to run a task twice."""
    send(server, "a")
    holder, other = channel(), channel()
    get(holder)
    old = server.time()[0] * 1000 - 10_000
    server.zadd(INDEX, dict.fromkeys(server.zrange(INDEX, 0, -1), old))
    holder.qos.restore_visible()
    other.qos.restore_visible()
    assert waiting(server) == []


def test_a_message_whose_consumer_nobody_knows_goes_back(server: Any, channel: Callable[[], Any]) -> None:
    """The second net: the list of consumers was lost."""
    send(server, "a")
    get(channel())
    server.delete(CONSUMERS)
    other = channel()
    other.qos.restore_visible()
    assert waiting(server) == []
    old = server.time()[0] * 1000 - 10_000
    server.zadd(INDEX, dict.fromkeys(server.zrange(INDEX, 0, -1), old))
    other.qos.restore_visible()
    assert waiting(server) == ["a"]


def test_a_step_whose_reply_was_lost_may_be_repeated(server: Any, channel: Callable[[], Any]) -> None:
    """It gives the same messages, and takes no further ones."""
    send(server, "a", "b", "c")
    asking = channel()
    first = asking._fetch(["t"], 2)
    asking._steps -= 1
    assert asking._fetch(["t"], 2) == first
    assert waiting(server) == ["c"]


def test_closing_puts_back_what_was_not_acknowledged(server: Any, channel: Callable[[], Any]) -> None:
    """Also what was fetched and not yet handed on; and the consumer is forgotten."""
    send(server, *range(4))
    leaving = channel()
    get(leaving)
    leaving._fetch(["t"], 2)
    leaving.close()
    assert waiting(server) == ["0", "1", "2", "3"]
    assert server.exists(UNACKED, INDEX, CONSUMERS) == 0


def test_a_rejected_message_waits_behind_the_others(server: Any, channel: Callable[[], Any]) -> None:
    """Requeued, it is not the next one again; dropped, it is gone."""
    send(server, "a", "b")
    rejecting = channel()
    get(rejecting).requeue()
    assert waiting(server) == ["b", "a"]
    get(rejecting).reject()
    assert (waiting(server), server.hlen(UNACKED)) == (["a"], 0)


def test_a_full_server_loses_nothing(own_server: EmbeddedServer) -> None:
    """Out of memory, the step is refused before its first write."""
    with redis_client(own_server.url, decode_responses=True) as server:
        send(server, "a")
        server.config_set("maxmemory", "1mb")
        connection = Connection(celery_url(own_server.url), transport_options=OPTIONS)
        connection.transport_cls = Transport
        with closing(connection.channel()) as channel:
            with pytest.raises(redis.exceptions.OutOfMemoryError):
                channel.basic_get("t")
            assert waiting(server) == ["a"]
            assert server.exists(UNACKED, INDEX, CONSUMERS) == 0
            server.config_set("maxmemory", "0")
            get(channel)


def test_messages_of_a_priority_are_found(server: Any, channel: Callable[[], Any]) -> None:
    """Stock producers may send them; they stand in lists of their own."""
    consuming = channel()
    server.lpush("t\x06\x166", MESSAGE.format("later"))
    send(server, "soon")
    seen: list[str] = []
    with Consumer(consuming, [Queue("t")], on_message=lambda message: seen.append(message.body.decode())):
        end = time.monotonic() + 20
        while len(seen) < 2 and time.monotonic() < end:
            consuming.connection.client.drain_events(timeout=3)
    assert seen == ["soon", "later"]


# Consumes as a worker does, in an event loop, and writes down what it acknowledges.
CONSUMER = """
import os
from kombu import Connection, Consumer, Queue
from kombu.asynchronous import Hub
from config.connections import celery_url, redis_client
from tests.integration.worker.test_transport import OPTIONS
from worker.transport import Transport
url = os.environ["REDIS_URL"]
connection = Connection(celery_url(url), transport_options=OPTIONS)
connection.transport_cls = Transport
client = redis_client(url, decode_responses=False)
hub = Hub()
def on_message(message):
    client.sadd("seen", message.body)
    message.ack()
consumer = Consumer(connection.channel(), [Queue("t")], on_message=on_message)
consumer.qos(prefetch_count=400)
consumer.consume()
connection.register_with_event_loop(hub)
print("ready", flush=True)
hub.run_forever()
"""
MESSAGES, KILLS = 4000, 10


def test_no_kill_loses_a_message(own_server: EmbeddedServer) -> None:
    """SIGKILL of a busy consumer, again and again, while messages are sent: everything is seen."""
    with redis_client(own_server.url, decode_responses=True) as server:
        sent = 0
        for turn in range(KILLS):
            with subprocess.Popen(
                [sys.executable, "-c", CONSUMER],
                cwd=ROOT,
                env={**os.environ, "REDIS_URL": own_server.url},
                stdout=subprocess.PIPE,
            ) as process:
                assert process.stdout is not None
                assert process.stdout.readline() == b"ready\n"
                before = server.scard("seen")
                for _ in range(MESSAGES // KILLS):
                    send(server, sent)
                    sent += 1
                # Somewhere in the middle of the work, at another place each time.
                eventually_sync(lambda: server.scard("seen") > before + 20 * turn)  # noqa: B023 - waited for here
                process.kill()
            silence(server)
        recover_all(own_server, server)
        left = {int(row) for row in waiting(server)}
        seen = {int(row) for row in server.smembers("seen")}
        assert left | seen == set(range(sent))
        assert server.hlen(UNACKED) == 0


def recover_all(own_server: EmbeddedServer, server: Any) -> None:
    """Put everything back that the dead still hold."""
    connection = Connection(celery_url(own_server.url), transport_options=OPTIONS)
    connection.transport_cls = Transport
    with closing(connection.channel()) as channel:
        while server.hlen(UNACKED):
            channel.qos.restore_visible()
