"""What a producer is told while Redis is away: a clear error it can act on, soon, and never half an entry."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

import pytest
import redis

from config.connections import redis_client
from tests.house import ROOT, EmulatedPortal, House, a_house
from tests.integration.cli.conftest import COMMAND

ENQUEUE = """
import json, sys, tasks
try:
    payment = tasks.enqueue(portal=sys.argv[1], invoice_id=2, pay_system_id=1, idempotency_key=sys.argv[2])
    print(json.dumps({"id": payment.id}))
except tasks.LedgerUnavailable as error:
    print(json.dumps({"error": str(error)}))
"""
# Three tries of 2.5 s and their pauses; a producer that waits for longer is one that hangs.
TOLD_WITHIN_S = 30


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    """No worker: nobody but the producers writes."""
    with a_house() as house:
        yield house


@contextmanager
def down(house: House) -> Iterator[None]:
    """Nobody listens."""
    house.server.kill()
    yield
    house.server.start()


@contextmanager
def read_only(house: House) -> Iterator[None]:
    """A replica that serves what it has."""
    with admin(house) as server:
        server.execute_command("REPLICAOF", "127.0.0.1", "1")
        yield
        server.execute_command("REPLICAOF", "NO", "ONE")


@contextmanager
def configured(house: House, name: str, value: str, *, back: str) -> Iterator[None]:
    """With another setting of the server."""
    with admin(house) as server:
        server.config_set(name, value)
        yield
        server.config_set(name, back)


@contextmanager
def without_master(house: House) -> Iterator[None]:
    """A replica that refuses even to read."""
    with configured(house, "replica-serve-stale-data", "no", back="yes"), read_only(house):
        yield


def without_memory(house: House) -> AbstractContextManager[None]:
    """Every write that takes memory is refused."""
    return configured(house, "maxmemory", "1mb", back="0")


def with_too_few_replicas(house: House) -> AbstractContextManager[None]:
    """`min-replicas-to-write` is not met (NOREPLICAS)."""
    return configured(house, "min-replicas-to-write", "1", back="0")


def admin(house: House) -> redis.Redis:
    """An operator's connection to the server itself."""
    return redis_client(house.server.url, decode_responses=True, replay=False)


def told(house: House, *command: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    """What a program of a producer says and how it ends."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**os.environ, **house.environment, **environ},
        capture_output=True,
        text=True,
        timeout=TOLD_WITHIN_S,
        check=False,
    )


def enqueue(house: House, portal: EmulatedPortal, key: str) -> Mapping[str, str]:
    """`tasks.enqueue` in a program of its own."""
    done = told(house, "-c", ENQUEUE, portal.key, key)
    assert done.returncode == 0, done.stderr
    said: dict[str, str] = json.loads(done.stdout)
    return said


@pytest.mark.parametrize("outage", [down, read_only, without_master, without_memory, with_too_few_replicas])
def test_a_producer_is_told_and_may_try_again(
    house: House, outage: Callable[[House], Iterator[None]], request: pytest.FixtureRequest
) -> None:
    """`enqueue` raises LedgerUnavailable, `b24pay pay` ends with 69 or 75; the same again later is one payment."""
    portal = house.add_portal()
    key = request.node.name
    pay = (*COMMAND[1:], "pay", "2", "--portal", portal.key, "--pay-system", "1", "--key", key, "--json")
    with outage(house):
        refused = enqueue(house, portal, key)
        ended = told(house, *pay)
    assert "send the same request again" in refused["error"]
    assert ended.returncode in {69, 75}, ended.stderr
    assert ended.stdout == ""
    said = json.loads(ended.stderr)
    assert said["error"]
    assert "repeat" in said["next_step"].lower()
    assert sum(portal.counts().values()) == 0, "half an entry"
    assert "id" in enqueue(house, portal, key)
    assert told(house, *pay).returncode == 0
    assert sum(portal.counts().values()) == 1
