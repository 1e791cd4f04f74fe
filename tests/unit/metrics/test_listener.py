"""A worker's small HTTP server: what it tells, and that nobody can make it a burden."""

import http.client
import json
import socket
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from metrics.listener import Listener
from metrics.pulse import Beat, Pulse
from metrics.work import Work
from tests.eventually import eventually_sync


@pytest.fixture
def pulse() -> Pulse:
    """A worker that has just begun."""
    return Pulse()


@pytest.fixture
def listener(pulse: Pulse) -> Iterator[Listener]:
    """The server on a free port."""
    listener = Listener(("127.0.0.1", 0), Work().registry, pulse)
    listener.start()
    yield listener
    listener.stop()


def ask(listener: Listener, path: str, method: str = "GET") -> tuple[int, str]:
    """Status and body."""
    connection = http.client.HTTPConnection(str(listener.listens_at), timeout=5)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_metrics_are_what_prometheus_reads(listener: Listener):
    """Every family parses, the process' own among them."""
    status, text = ask(listener, "/metrics")
    families = {family.name for family in text_string_to_metric_families(text)}
    assert status == 200
    assert {"b24pay_attempts", "b24pay_batch_payments", "process_cpu_seconds"} <= families


def test_ready_means_that_it_consumes(listener: Listener, pulse: Pulse):
    """Alive it is from the start; the cause is told."""
    status, text = ask(listener, "/readyz")
    assert (status, ask(listener, "/healthz")[0]) == (503, 200)
    assert "starting" in json.loads(text)["cause"]
    for beat in Beat:
        pulse.feed(beat)
    assert ask(listener, "/readyz")[0] == 200


@pytest.mark.parametrize(("path", "method", "status"), [("/", "GET", 404), ("/metrics", "POST", 501)])
def test_nothing_else_is_there(listener: Listener, path: str, method: str, status: int):
    """No other address and no other method."""
    assert ask(listener, path, method)[0] == status


def test_callers_that_say_nothing_do_not_keep_others_out_for_long(listener: Listener):
    """Beyond a handful at once, callers are turned away; those who leave make room."""
    host, _, port = str(listener.listens_at).partition(":")
    silent = [socket.create_connection((host, int(port))) for _ in range(40)]
    for caller in silent:
        caller.close()
    assert eventually_sync(lambda: _answers(listener))


def _answers(listener: Listener) -> bool:
    try:
        return ask(listener, "/healthz")[0] == 200
    except OSError:
        return False


def test_a_port_that_is_taken_is_had_later(pulse: Pulse):
    """A worker pays without it and tries again."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        listener = Listener(other.getsockname(), Work().registry, pulse, again_s=0.02)
        listener.start()
        assert listener.listens_at is None
    try:
        eventually_sync(lambda: listener.listens_at)
        assert ask(listener, "/healthz")[0] == 200
    finally:
        listener.stop()
