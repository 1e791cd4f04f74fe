"""Storms and spoilt messages: afterwards ledger and portal agree about every invoice, and every worker still works."""

import base64
import json
import os
import signal
import subprocess
import uuid
from collections.abc import Iterator, Mapping

import pytest

from config.connections import redis_client
from tests.acceptance.test_trouble import assert_all_paid_once, send_bulk
from tests.eventually import eventually_sync
from tests.house import House, a_house

WITHIN_S = 60
LEASE_S = 4  # as in tests.house.QUICK
PORTALS = 3


@pytest.fixture
def house() -> Iterator[House]:
    """A house without workers; each test starts its own."""
    with a_house() as house:
        yield house


def test_a_storm_of_kills_loses_and_repeats_nothing(house: House) -> None:
    """Eight SIGKILLs while batches fly and some answers are lost: each invoice is paid once and proven."""
    workers = [house.start_worker() for _ in range(2)]
    celery = house.celery()
    portals = [house.add_portal(latency_s=0.3, pay_s=0.06, plan="enterprise") for _ in range(PORTALS)]
    for portal in portals:
        portal.fault("close", place="after", method="batch", probability=0.1)
    sent = [(portal, send_bulk(celery, portal, 200)) for portal in portals]
    for turn in range(8):
        workers[turn % 2].kill()
        workers[turn % 2] = house.start_worker()
    for portal, ids in sent:
        assert_all_paid_once(celery, portal, ids)
        assert portal.tally.repeats == 0


def test_a_worker_that_slept_past_its_lease_sends_nothing_late(house: House) -> None:
    """SIGSTOP in mid-flight, another worker takes over, SIGCONT: no overlap, no second call, nothing overwritten."""
    sleeper = house.start_worker()
    celery = house.celery()
    portals = [house.add_portal(latency_s=0.3, pay_s=0.05) for _ in range(PORTALS)]
    sent = [(portal, send_bulk(celery, portal, 150)) for portal in portals]
    eventually_sync(lambda: portals[0].tally.effects)
    sleeper.freeze()
    house.start_worker()
    eventually_sync(lambda: all(portal.counts()["paid"] for portal in portals), within_s=10 * LEASE_S)
    sleeper.thaw()
    for portal, ids in sent:
        assert_all_paid_once(celery, portal, ids)
        assert portal.tally.repeats == 0
    assert sleeper.never_died()


def test_connections_and_scripts_may_vanish_at_any_time(house: House) -> None:
    """CLIENT KILL of everything and SCRIPT FLUSH, thirty times under load: every step is safe to repeat."""
    workers = [house.start_worker() for _ in range(2)]
    celery = house.celery()
    portals = [house.add_portal(latency_s=0.1, pay_s=0.02, plan="enterprise") for _ in range(PORTALS)]
    sent = [(portal, send_bulk(celery, portal, 300)) for portal in portals]
    with redis_client(house.server.url, decode_responses=True) as client:
        for _ in range(30):
            for kind in ("normal", "pubsub"):
                client.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
            client.script_flush()
            # A round of the worker's own work in between: the kills must meet it, not only each other.
            portals[0].counts()
    for portal, ids in sent:
        assert_all_paid_once(celery, portal, ids)
        assert portal.tally.repeats == 0
    assert all(worker.never_died() for worker in workers)


def test_a_server_that_stands_still_is_waited_for(house: House) -> None:
    """A frozen Redis, longer than a lease: connections hang half-open, and afterwards all goes on."""
    worker = house.start_worker()
    celery = house.celery()
    portal = house.add_portal(latency_s=0.2, pay_s=0.02)
    ids = send_bulk(celery, portal, 300)
    eventually_sync(lambda: portal.tally.effects)
    os.kill(house.server.pid, signal.SIGSTOP)
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            worker.process.wait(LEASE_S + 1)
    finally:
        os.kill(house.server.pid, signal.SIGCONT)
    assert_all_paid_once(celery, portal, ids)
    assert portal.tally.repeats == 0


GOOD_HEADERS: Mapping[str, object] = {
    "lang": "py",
    "task": "tasks.pay_invoice",
    "retries": 0,
    "timelimit": [None, None],
}
SPOILT_MESSAGES: Mapping[str, tuple[Mapping[str, object], str, str]] = {
    "kwargs are a list": ({}, '[[], [1], {"callbacks": null}]', "application/json"),
    "a text": ({}, '"abc"', "application/json"),
    "a number": ({}, "7", "application/json"),
    "null": ({}, "null", "application/json"),
    "no JSON": ({}, "{nope", "application/json"),
    "too deep": ({}, "[" * 100_000 + "]" * 100_000, "application/json"),
    "pickled": ({}, "\x80\x04.", "application/x-python-serialize"),
    "an unknown kind": ({}, "x", "text/nope"),
    "ten megabytes": ({}, json.dumps([[], {"portal": "x" * 10_000_000}, {}]), "application/json"),
    "half a character": (
        {},
        '[[], {"portal": "a", "idempotency_key": "\\ud800", "\\udfff": 1}, {}]',
        "application/json",
    ),
    "an odd ETA": ({"eta": "soon"}, "[[], {}, {}]", "application/json"),
    "an ETA past the end of time": ({"eta": "9999-12-31T23:59:59-12:00"}, "[[], {}, {}]", "application/json"),
    "an odd expiry": ({"expires": "never"}, "[[], {}, {}]", "application/json"),
    "an unknown task": ({"task": "tasks.nothing"}, "[[], {}, {}]", "application/json"),
}


def test_spoilt_messages_stop_neither_the_worker_nor_its_neighbours(house: House) -> None:
    """Whatever a message is made of, the payments behind it are paid and every line of the log is JSON."""
    worker = house.start_worker()
    celery = house.celery()
    portal = house.add_portal()
    for headers, body, kind in SPOILT_MESSAGES.values():
        put_raw(house, {**GOOD_HEADERS, "id": str(uuid.uuid4()), **headers}, body, kind)
    assert_all_paid_once(celery, portal, send_bulk(celery, portal, 3))
    assert worker.never_died()
    assert worker.events()


def put_raw(house: House, headers: Mapping[str, object], body: str, kind: str) -> None:
    """Put a message into the broker's list as any producer, or anybody else, may write it there."""
    message = {
        "body": base64.b64encode(body.encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": kind,
        "headers": headers,
        "properties": {
            "correlation_id": "x",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": "payments"},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": str(uuid.uuid4()),
        },
    }
    with redis_client(house.server.url, decode_responses=True) as client:
        client.lpush("payments", json.dumps(message))
