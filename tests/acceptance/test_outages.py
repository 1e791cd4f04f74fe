"""Redis goes away in every way it can, under load, and comes back: nobody has to do anything.

Each test makes one outage while batches are in flight. Afterwards the worker consumes again by itself, and ledger and
portal agree about every invoice. The time until it consumes again is printed (`pytest -s`), not asserted.
"""

import time
import uuid
from collections.abc import Iterator

import pytest
import redis

from config.connections import redis_client
from tests.acceptance.test_trouble import send_bulk
from tests.eventually import eventually_sync
from tests.house import EmulatedPortal, House, Worker, a_house

# Shorter than elsewhere: after most outages what might have been sent is read, not before the quiet time.
SHORT = {"B24PAY_HTTP_TOTAL_S": "2", "B24PAY_PORTAL_CUT_S": "1", "B24PAY_LEASE_S": "3"}
PAYMENTS = 120
# The target is 5 s. The deadline only ends a test that has failed; cores may be shared by several runs.
AGAIN_WITHIN_S = 30
PAID_WITHIN_S = 90


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    """One worker lives through all outages of this module."""
    with a_house(**SHORT) as house:
        house.start_worker()
        yield house


@pytest.fixture
def worker(house: House) -> Worker:
    """The worker; every line that it and its parent wrote is JSON."""
    [worker] = house.workers
    return worker


@pytest.fixture
def load(house: House) -> EmulatedPortal:
    """A portal with payments, the first of which are at the portal now."""
    portal = house.add_portal(latency_s=0.2, pay_s=0.02)
    send_bulk(house.celery(), portal, PAYMENTS)
    eventually_sync(lambda: portal.tally.effects)
    return portal


def admin(house: House) -> redis.Redis:
    """An operator's connection to the server itself."""
    return redis_client(house.server.url, decode_responses=True, replay=False)


def consumes_again(house: House, what: str) -> None:
    """A message that is sent now reaches the ledger; prints how long that took."""
    portal = house.add_portal()
    began = time.monotonic()
    task_id = str(uuid.uuid4())
    kwargs = {"portal": portal.key, "invoice_id": 2, "pay_system_id": 1}
    house.celery().send_task("tasks.pay_invoice", kwargs=kwargs, queue="payments", task_id=task_id)
    eventually_sync(lambda: portal.ledger(lambda ledger: ledger.find([task_id])) != [None], within_s=AGAIN_WITHIN_S)
    print(f"{what}: consuming again after {time.monotonic() - began:.2f} s")


def assert_agreement(portal: EmulatedPortal, payments: int = PAYMENTS) -> None:
    """Every payment is paid in the ledger, once at the portal, and no call went again before a read."""
    eventually_sync(lambda: portal.counts()["paid"] == payments, within_s=PAID_WITHIN_S)
    tally = portal.tally
    assert (tally.paid, tally.effects, tally.doubles, tally.overlaps, tally.repeats) == (payments, payments, 0, 0, 0)


def test_a_server_killed_again_and_again(house: House, load: EmulatedPortal) -> None:
    """Four SIGKILLs of the server in a few seconds, each while batches fly."""
    for _ in range(4):
        house.server.restart()
        time.sleep(0.3)
    consumes_again(house, "4 x SIGKILL")
    assert_agreement(load)


def test_a_server_that_is_away_for_a_while(house: House, load: EmulatedPortal) -> None:
    """SHUTDOWN in order, and back after two seconds; the pauses between tries have not grown."""
    with admin(house) as server:
        server.shutdown()
    time.sleep(2)
    house.server.restart()
    consumes_again(house, "SHUTDOWN, 2 s")
    assert_agreement(load)


@pytest.mark.parametrize("kind", ["normal", "pubsub"])
def test_connections_that_are_killed(house: House, load: EmulatedPortal, worker: Worker, kind: str) -> None:
    """CLIENT KILL of all connections of a kind, five times: no process ends."""
    lives = worker.times_ready()
    with admin(house) as server:
        for _ in range(5):
            server.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
            time.sleep(0.1)
    consumes_again(house, f"CLIENT KILL TYPE {kind}")
    assert_agreement(load)
    assert worker.times_ready() == lives


@pytest.mark.parametrize("stale", ["yes", "no"])
def test_a_server_that_is_a_replica_for_a_while(house: House, load: EmulatedPortal, stale: str) -> None:
    """It answers, and refuses to write (READONLY) or even to read (MASTERDOWN), until it is a master again."""
    with admin(house) as server:
        server.config_set("replica-serve-stale-data", stale)
        server.execute_command("REPLICAOF", "127.0.0.1", "1")
        time.sleep(2)
        server.execute_command("REPLICAOF", "NO", "ONE")
        server.config_set("replica-serve-stale-data", "yes")
    consumes_again(house, f"replica, replica-serve-stale-data {stale}")
    assert_agreement(load)


def test_a_server_that_loads_its_data(house: House, load: EmulatedPortal, worker: Worker) -> None:
    """After a kill it answers LOADING for seconds: that is waited for like an outage."""
    with admin(house) as server, server.pipeline(transaction=False) as writes:
        for number in range(50_000):  # three seconds of reading, also where this is the module's first test
            writes.set(f"ballast:{number}", number)
        writes.execute()
    house.server.options["key-load-delay"] = "60"  # microseconds for each command that is read back
    house.server.restart()
    house.server.options.clear()
    with admin(house) as server:
        server.config_set("key-load-delay", "0")
    consumes_again(house, "LOADING")
    assert_agreement(load)
    assert any("loading the dataset" in line or "BusyLoadingError" in line for line in worker.lines())


def test_a_server_without_memory(house: House, load: EmulatedPortal) -> None:
    """Every write is refused (OOM) until an operator gives it room; nothing was half written."""
    with admin(house) as server:
        server.config_set("maxmemory", "1mb")
        time.sleep(2)
        server.config_set("maxmemory", "0")
    consumes_again(house, "out of memory, 2 s")
    assert_agreement(load)


def test_a_server_that_forgets_the_scripts(house: House, load: EmulatedPortal, worker: Worker) -> None:
    """SCRIPT FLUSH costs one more round trip and nothing else."""
    lives = worker.times_ready()
    with admin(house) as server:
        for _ in range(5):
            server.script_flush()
            time.sleep(0.1)
    consumes_again(house, "SCRIPT FLUSH")
    assert_agreement(load)
    assert worker.times_ready() == lives


def test_every_line_was_json(worker: Worker) -> None:
    """Whatever happened above, a log collector could read all of it."""
    assert worker.events()
