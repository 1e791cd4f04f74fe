"""Our transport in an event loop, as Celery's workers turn it: messages come in groups, acknowledgements go along."""

from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any

import pytest
import redis
from kombu import Connection, Consumer, Queue
from kombu.asynchronous import Hub

from cli.embedded import EmbeddedServer
from config.connections import celery_url, redis_client
from tests.eventually import eventually_sync
from tests.integration.worker.test_transport import CONSUMERS, INDEX, MESSAGE, OPTIONS, UNACKED, silence, waiting
from worker.transport import MOST_MESSAGES, Transport

WAIT_S = 60  # longer than a test: no wait ends by itself


class Turned:
    """A consumer whose event loop turns when a test says so."""

    def __init__(self, url: str, prefetch: int = 400, queues: tuple[str, ...] = ("t",)) -> None:
        self.connection = Connection(celery_url(url), transport_options=OPTIONS)
        self.connection.transport_cls = Transport
        self.channel = self.connection.channel()
        self.channel.brpop_timeout = WAIT_S
        self.seen: list[Any] = []
        self.hub = Hub()
        self.consumer = Consumer(self.channel, [Queue(queue) for queue in queues], on_message=self.seen.append)
        self.consumer.qos(prefetch_count=prefetch)
        self.consumer.consume()
        self.connection.register_with_event_loop(self.hub)
        self._loop = self.hub.create_loop()

    @property
    def bodies(self) -> list[str]:
        """What has been delivered."""
        return [message.body.decode() for message in self.seen]

    def turn(self) -> None:
        """Once: timers, what is to be sent, what has come; without waiting for it."""
        self.hub.call_later(0.002, lambda: None)
        next(self._loop)

    def until(self, holds: Callable[[], object]) -> None:
        """Turn until a condition holds."""
        eventually_sync(lambda: holds() or self.turn())

    def until_idle(self) -> None:
        """Turn until the consumer waits for messages."""
        self.until(lambda: self.channel._asked and self.channel._asked.waits)

    def until_resting(self, server: Any) -> None:
        """Send a stream, and turn until the consumer rests; the latest messages may still stand in the queue."""
        for _ in range(100):
            send(server, *"abcde")
            self.turn()
            if self.channel._rests_until > monotonic():
                assert self.channel._asked is None
                return
        pytest.fail("500 messages were no stream")

    def close(self) -> None:
        """End it."""
        self.connection.release()
        self.hub.close()


@pytest.fixture
def server(redis_url: str) -> Iterator[Any]:
    """A client of the broker's server."""
    with redis_client(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture
def turned(redis_url: str) -> Iterator[Callable[..., Turned]]:
    """Open consumers; they are closed at the end."""
    opened: list[Turned] = []

    def open_one(**options: Any) -> Turned:
        opened.append(Turned(redis_url, **options))
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()


def send(server: Any, *bodies: object, queue: str = "t") -> None:
    """Put messages into a list as any producer does."""
    for body in bodies:
        server.lpush(queue, MESSAGE.format(body))


def steps(server: Any) -> dict[str, int]:
    """What clients have asked of the server."""
    told = server.info("commandstats")
    return {name: told.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("evalsha", "blmove")}


def held(server: Any) -> tuple[int, int]:
    """How many messages the server believes to be under way."""
    return server.hlen(UNACKED), server.zcard(INDEX)


def test_the_first_message_after_a_wait_needs_no_further_question(server: Any, turned: Callable[..., Turned]) -> None:
    """The step stands behind the wait already: the server takes it when the message comes."""
    idle = turned()
    idle.until_idle()
    before = steps(server)
    send(server, "a")
    eventually_sync(lambda: held(server) == (1, 1))  # nobody turns the consumer meanwhile
    assert steps(server)["evalsha"] == before["evalsha"] + 1
    idle.until(lambda: idle.bodies == ["a"])


def test_what_comes_while_the_consumer_rests_comes_in_one_step(server: Any, turned: Callable[..., Turned]) -> None:
    """One step for all of it, and no wait."""
    busy = turned()
    busy.until_resting(server)
    before, stream = steps(server), len(busy.seen)
    send(server, *range(20))
    wanted = waiting(server)
    busy.until(lambda: len(busy.seen) > stream)
    assert busy.bodies[stream:] == wanted
    after = steps(server)
    assert (after["evalsha"] - before["evalsha"], after["blmove"] - before["blmove"]) == (1, 0)


def test_a_backlog_is_taken_without_a_rest(server: Any, turned: Callable[..., Turned]) -> None:
    """A step that came back full is followed by the next one at once, as far as the prefetch allows."""
    send(server, *range(MOST_MESSAGES * 3))
    greedy = turned(prefetch=MOST_MESSAGES * 2)
    greedy.until(lambda: len(greedy.seen) == MOST_MESSAGES * 2)
    assert greedy.channel._rests_until == 0
    assert len(waiting(server)) == MOST_MESSAGES
    assert greedy.bodies == [str(n) for n in range(MOST_MESSAGES * 2)]


def test_acknowledgements_go_along_with_the_next_step(server: Any, turned: Callable[..., Turned]) -> None:
    """None has a step of its own, however late the answer is; when the stream has ended the server knows of all."""
    busy = turned()
    busy.until_resting(server)
    before = server.info("commandstats").get("cmdstat_exec", {"calls": 0})["calls"]
    acknowledged = list(busy.seen)
    for message in acknowledged:
        message.ack()
    server.client_pause(100, all=False)  # the answer lets the consumer's loop turn many times
    busy.until_idle()
    assert held(server) == (len(busy.seen) - len(acknowledged),) * 2
    assert server.info("commandstats").get("cmdstat_exec", {"calls": 0})["calls"] == before


def test_an_acknowledgement_during_a_wait_does_not_wait(server: Any, turned: Callable[..., Turned]) -> None:
    """The next step may be a second away."""
    late = turned()
    send(server, "a")
    late.until(lambda: late.seen)
    late.until_idle()
    late.seen[0].ack()
    late.channel.connection.cycle.on_poll_start()
    assert late.channel._asked.waits
    assert held(server) == (0, 0)


def test_an_acknowledgement_at_the_end_of_a_stream_does_not_wait(server: Any, turned: Callable[..., Turned]) -> None:
    """The step that takes it along does not stand behind a wait."""
    late = turned()
    send(server, "a")
    late.until(lambda: late.seen)
    late.until(lambda: late.channel._is_empty and late.channel._asked is None)
    late.seen[0].ack()
    late.until_idle()
    assert held(server) == (0, 0)


def test_an_acknowledgement_with_a_full_prefetch_does_not_wait(server: Any, turned: Callable[..., Turned]) -> None:
    """Nothing is fetched, so nothing could take it along."""
    send(server, "a", "b")
    full = turned()
    full.until(lambda: len(full.seen) == 2)
    full.consumer.qos(prefetch_count=1)
    full.seen[0].ack()
    full.until(lambda: held(server) == (1, 1))


def test_a_lost_answer_costs_no_message(server: Any, turned: Callable[..., Turned]) -> None:
    """The connection is dropped in a wait, and the server takes the step all the same: what it gave comes again, under
    another name, because the server might take the step still later."""
    cut = turned()
    cut.until_idle()
    name = cut.channel._name
    send(server, "a", "b")
    eventually_sync(lambda: held(server) != (0, 0))
    cut.channel.client.connection.disconnect()
    cut.until(lambda: cut.bodies == ["a", "b"])
    assert server.zrange(CONSUMERS, 0, -1) == [cut.channel._name] != [name]
    assert held(server) == (2, 2)


def test_an_answer_that_is_lost_with_the_server_is_the_workers_business(own_server: EmbeddedServer) -> None:
    """Celery connects anew; nothing is asked under the old name again."""
    cut = Turned(own_server.url)
    cut.until_idle()
    own_server.kill()
    with pytest.raises(redis.ConnectionError):
        cut.until(lambda: False)
    cut.close()


def test_a_step_of_a_consumer_that_has_left_is_found(server: Any, turned: Callable[..., Turned]) -> None:
    """A connection that nobody reads any more may take its step late. The name is a dead one's, and not for ever."""
    gone = turned()
    gone.until_idle()
    step = gone.channel._asked
    gone.close()
    send(server, "a")
    gone.channel._run(*_again(gone, step))
    assert waiting(server) == []
    assert server.zcard(CONSUMERS) == 1
    silence(server)
    other = turned()
    other.channel.qos.restore_visible()
    assert waiting(server) == ["a"]


def _again(gone: Turned, step: Any) -> tuple[Any, ...]:
    from worker.scripts import FETCH

    return FETCH, *gone.channel._parts(step)


def test_leaving_waits_for_a_step_under_way(server: Any, turned: Callable[..., Turned]) -> None:
    """Otherwise the server might take it after the consumer has left. What it brings goes back, in order."""
    send(server, "a", "b")
    leaving = turned()
    leaving.channel.connection.cycle.on_poll_start()
    assert leaving.channel._asked is not None
    leaving.channel.close()
    assert waiting(server) == ["a", "b"]
    assert server.exists(UNACKED, INDEX, CONSUMERS) == 0


def test_what_a_refused_step_was_to_tell_is_told_at_the_end(own_server: EmbeddedServer) -> None:
    """A full server refuses the step with all that went along."""
    with redis_client(own_server.url, decode_responses=True) as server:
        send(server, "a", "b")
        busy = Turned(own_server.url)
        busy.until(lambda: len(busy.seen) == 2)
        send(server, "c")
        server.config_set("maxmemory", "1mb")
        busy.seen[0].ack()
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            busy.until(lambda: False)
        server.config_set("maxmemory", "0")
        busy.close()
        assert waiting(server) == ["b", "c"]


def test_a_cancelled_queues_messages_are_the_next_ones_again(server: Any, turned: Callable[..., Turned]) -> None:
    """They were fetched for a consumer that is not there any more; another queue's are delivered."""
    two = turned(queues=("t", "u"))
    two.until_idle()
    send(server, "a", "b")
    eventually_sync(lambda: held(server) != (0, 0))
    two.consumer.cancel_by_queue("t")
    send(server, "c", queue="u")
    two.until(lambda: two.seen)
    assert two.bodies == ["c"]
    assert waiting(server) == ["a", "b"]


def test_a_server_that_forgot_the_script_learns_it_again(server: Any, turned: Callable[..., Turned]) -> None:
    """A restart forgets scripts, in the middle of a wait too."""
    patient = turned()
    patient.until_idle()
    server.script_flush()
    send(server, "a")
    patient.until(lambda: patient.bodies == ["a"])


def test_a_connection_closed_while_nothing_is_asked_is_replaced(server: Any, turned: Callable[..., Turned]) -> None:
    """The server may close it while the consumer rests."""
    resting = turned()
    resting.until_resting(server)
    server.client_kill_filter(_type="normal", skipme=True)
    send(server, "b")
    resting.until(lambda: resting.bodies[-1] == "b")


def test_two_consumers_share_a_stream(server: Any, turned: Callable[..., Turned]) -> None:
    """Each message is one's alone."""
    both = [turned(), turned()]
    for each in both:
        each.until_idle()
    for n in range(30):
        send(server, n)
        both[n % 2].turn()
    for each in both:
        each.until_idle()
    assert sorted(int(body) for each in both for body in each.bodies) == list(range(30))
