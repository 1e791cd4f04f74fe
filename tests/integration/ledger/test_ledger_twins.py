"""The Redis ledger and its memory twin give the same answers to any sequence of steps."""

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from redis.asyncio import Redis

from config.connections import async_redis_client, redis_client
from tests.conformance.ledger.machine import LedgerMachine
from tests.conformance.ledger.memory import MemoryWorld
from tests.conformance.ledger.server import ServerWorld

# `python -m pytest tests/integration/ledger/test_ledger_twins.py` plays these histories; for a long search raise the
# number and take `derandomize` out.
HISTORIES = 40
STEPS = 40


class TwinMachine(LedgerMachine):
    """Both ledgers at once."""

    url: str

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self.client: Redis = async_redis_client(self.url, max_connections=2, decode_responses=True)
        server = ServerWorld(self.client)
        self.run(self.client.flushall())
        self.run(server.start_clock())
        self.worlds = [MemoryWorld(), server]
        super().__init__()

    def teardown(self) -> None:
        self.run(self.client.aclose())
        self.runner.close()


@pytest.fixture
def quick_url(redis_url: str) -> Iterator[str]:
    """A server that does not wait for its disk: thousands of steps are played, and none must outlive it."""
    with redis_client(redis_url, decode_responses=True) as client:
        client.config_set("appendfsync", "no")
        yield redis_url
        client.config_set("appendfsync", "always")


def test_the_server_and_the_memory_twin_answer_alike(quick_url: str):
    """Every step of any sequence has the same answer and leaves the same rows, counts and due lanes in both."""
    machine = type("Twins", (TwinMachine,), {"url": quick_url})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=HISTORIES,
            derandomize=True,  # the same histories in every run: a red build is red again
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
            # Thousands of steps on a real server: a failure is shown as it was found, shrinking it takes minutes.
            phases=[Phase.explicit, Phase.generate],
        ),
    )
