"""Fixtures for every tier; the servers behind them start only for tests that ask.

Each pytest-xdist worker is a process of its own with a server of its own on a private socket, so neither the
workers of one run nor two runs on one machine can meet. A REDIS_URL of the developer is never used: tests flush.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, settings

from cli.embedded import EmbeddedServer
from config.ending import heed_interrupts
from config.settings import DEVELOPMENT, Settings, load_settings
from tests.canaries import SEARCH, SECRET_KEY
from tests.sinks import GuardedServer, verdict, watched

# Property tests state facts and no speed: the cores may be shared by several runs.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(autouse=True, scope="session")
def _no_secret_leaves(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Whatever any process of this session wrote anywhere has none of the secrets that it was given."""
    with watched():
        yield
    SEARCH.directory(tmp_path_factory.getbasetemp())
    verdict()


@pytest.fixture(autouse=True, scope="session")
def _clean_environment() -> Iterator[None]:
    """No test, and no process a test starts, sees the developer's own settings."""
    names = ("REDIS_URL", "BROKER_URL", "RESULT_BACKEND_URL")
    ours = {name: value for name, value in os.environ.items() if name.startswith("B24PAY_") or name in names}
    for name in ours:
        del os.environ[name]
    yield
    os.environ.update(ours)


@pytest.fixture(autouse=True, scope="session")
def _ctrl_c_is_heard() -> None:
    """A shell starts background jobs with Ctrl-C ignored, and their children inherit that: tests send it to some."""
    heed_interrupts()


@contextmanager
def a_server() -> Iterator[EmbeddedServer]:
    """A running server, stopped at the end whatever a test did to it."""
    server = GuardedServer()
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def embedded() -> Iterator[EmbeddedServer]:
    """A server that lives as long as this test process; ask for `redis_url` instead unless you need the process."""
    with a_server() as server:
        yield server


@pytest.fixture
def redis_url(embedded: EmbeddedServer) -> str:
    """The URL of an empty server with append-only file and fsync, for this test alone."""
    from config.connections import redis_client

    with redis_client(embedded.url, decode_responses=True) as client:
        client.flushall()
        client.script_flush()
    return embedded.url


@pytest.fixture
def own_server() -> Iterator[EmbeddedServer]:
    """A server that a test may kill and restart without touching anybody else's."""
    with a_server() as server:
        yield server


@pytest.fixture
def a_settings() -> Callable[..., Settings]:
    """Build settings from variables alone: `a_settings(REDIS_URL=url, B24PAY_HTTP_TOTAL_S="1")`."""

    def build(**changes: str) -> Settings:
        given = {"B24PAY_SECRET_KEYS": SECRET_KEY, "B24PAY_ALLOW_INSECURE_PORTALS": "1", **changes}
        return load_settings(given, require=DEVELOPMENT)

    return build
