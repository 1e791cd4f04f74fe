"""`b24pay doctor` against servers in the states it warns about."""

import time
from collections.abc import Callable

import pytest

from cli.embedded import EmbeddedServer
from cli.main import run
from config.connections import redis_client
from tests.conftest import SECRET_KEY
from tests.integration.cli.conftest import Said

Doctor = Callable[[], Said]


@pytest.fixture
def doctor(own_server: EmbeddedServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Doctor:
    """Give the command about a server of one's own."""
    monkeypatch.setenv("REDIS_URL", own_server.url)
    monkeypatch.setenv("B24PAY_SECRET_KEYS", SECRET_KEY)

    def examine() -> Said:
        capsys.readouterr()
        code = run(("doctor", "--json"))
        return Said(code, *capsys.readouterr())

    return examine


def findings(said: Said, level: str) -> list[str]:
    """The texts of one level."""
    return [each["text"] for each in said.document["findings"] if each["level"] == level]


def test_a_fit_server_is_healthy(doctor: Doctor):
    """No problem; that nobody works and no portal is there yet are warnings."""
    said = doctor()
    assert (said.code, said.document["healthy"]) == (0, True)
    assert findings(said, "problem") == []
    assert any("no worker is at work" in text for text in findings(said, "warning"))


@pytest.mark.parametrize("stale", ["yes", "no"])
def test_a_replica_says_so_although_it_can_be_nothing_else(doctor: Doctor, own_server: EmbeddedServer, stale: str):
    """A server that refuses every step still gets a diagnosis: exit code 78, and the reason first."""
    with redis_client(own_server.url, decode_responses=True) as server:
        server.config_set("replica-serve-stale-data", stale)
        server.execute_command("REPLICAOF", "127.0.0.1", "1")
    said = doctor()
    assert said.code == 78
    assert "is a replica" in findings(said, "problem")[0]


def test_settings_of_the_server_that_lose_payments_are_problems(doctor: Doctor, own_server: EmbeddedServer):
    """Each with its own line, changed on a running server."""
    with redis_client(own_server.url, decode_responses=True) as server:
        changes = {"appendonly": "no", "appendfsync": "everysec", "maxmemory-policy": "allkeys-lru"}
        for name, value in changes.items():
            server.config_set(name, value)
    said = doctor()
    assert said.code == 78
    assert len(findings(said, "problem")) == 2
    assert any("appendfsync is everysec" in text for text in findings(said, "warning"))


def test_a_worker_shows_by_its_signs_of_life(doctor: Doctor, own_server: EmbeddedServer):
    """A consumer that was heard of lately counts, one that fell silent does not."""
    now = int(time.time() * 1000)
    with redis_client(own_server.url, decode_responses=True) as server:
        server.zadd("payments.consumers", {"lives": now + 10_000, "died": now - 10_000})
    assert "1 worker at work" in findings(doctor(), "ok")


def test_nobody_there_is_exit_code_69(doctor: Doctor, own_server: EmbeddedServer):
    """A server that does not answer is unreachable, not badly configured."""
    own_server.kill()
    said = doctor()
    assert said.code == 69
    assert "cannot be reached" in findings(said, "problem")[0]
