"""A worker that does not consume is found within 15 s, whatever keeps it: all of it together, since finding takes time.

Four workers: one is stopped by a signal, one has a payments' loop that stands still, one has lost its broker, and one
has lost the ledger's server.
"""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.conformance.ledger.world import an_ask
from tests.eventually import eventually_sync
from tests.failpoints import Listener, Stop
from tests.house import House, Worker, a_house, open_ledger, wait_for
from tests.integration.metrics.conftest import ANY_PORT, get, health, listens_at, scrape
from tests.integration.web.conftest import Street
from tests.sinks import GuardedServer

WITHIN_S = 15.0


@dataclass
class Standstill:
    """Four workers that have stopped consuming, and how long it took until all of them were found."""

    house: House
    stopped: Worker
    blocked: Worker
    unbrokered: Worker
    unledgered: Worker
    broker: GuardedServer
    ledger: GuardedServer
    failpoint: Stop
    web: str  # its ledger is the one that is gone
    after_s: float = 0.0

    def causes(self) -> dict[str, tuple[int, str]]:
        """What each worker's own server says of it."""
        workers = ("stopped", "blocked", "unbrokered", "unledgered")
        return {name: get(listens_at(getattr(self, name)), "/readyz", within_s=1) for name in workers}

    def told(self) -> dict[str, dict[str, object]]:
        """What the command says of each worker that shares the living server."""
        rows = health(self.house).document["workers"]
        assert isinstance(rows, list)
        return {row["worker"].partition("@")[0]: row for row in rows}


def ready(worker: Worker) -> bool:
    """Whether a worker says that it consumes."""
    return get(listens_at(worker), "/readyz")[0] == 200


@pytest.fixture(scope="module")
def standstill() -> Iterator[Standstill]:
    """All four, from well to found."""
    with ExitStack() as stack:
        house = stack.enter_context(a_house(**ANY_PORT))
        broker, ledger = GuardedServer(), GuardedServer()
        for server in (broker, ledger):
            server.start()
            stack.callback(server.stop)
        points = stack.enter_context(Listener("lane.taken"))
        blocked = house.begin_worker("blocked", **points.environment)
        unbrokered = house.begin_worker("unbrokered", BROKER_URL=broker.url)
        unledgered = house.begin_worker("unledgered", REDIS_URL=ledger.url)
        stopped = house.begin_worker("stopped")
        workers = [blocked, unbrokered, unledgered, stopped]
        house.workers += workers
        street = Street(house, [])
        stack.callback(street.close)
        web = street.start("web", REDIS_URL=ledger.url).address.removeprefix("http://")
        for worker in workers:
            eventually_sync(worker.is_consuming)
            eventually_sync(lambda: ready(worker))  # noqa: B023 - awaited before the next one
        began = time.monotonic()
        os.kill(stopped.child_pid(), signal.SIGSTOP)
        broker.kill()
        ledger.kill()
        wait_for(make_lanes_due(house))
        stop = points.next()
        found = Standstill(house, stopped, blocked, unbrokered, unledgered, broker, ledger, stop, web)
        eventually_sync(lambda: all(status in (0, 503) for status, _ in found.causes().values()))
        eventually_sync(lambda: all(row["condition"] != "consuming" for row in found.told().values()))
        found.after_s = time.monotonic() - began
        yield found
        for worker in workers:  # one after the other in order would take as long as all tests
            worker.kill()


async def make_lanes_due(house: House) -> None:
    """So many that a worker that has others beside it takes one."""
    async with open_ledger(house.server.url) as (ledger, _):
        for number in range(40):
            lane = f"lane-{number}"
            await ledger.add_lane(lane)
            await ledger.open([an_ask(f"h{number}", portal=lane)])


def test_every_standstill_is_found_in_time(standstill: Standstill):
    """Issue 6: within 15 s, by the worker's own server and by the command."""
    assert standstill.after_s < WITHIN_S


def test_a_worker_says_what_keeps_it(standstill: Standstill):
    """Each of those that can speak names its own trouble; the one that was stopped says nothing."""
    causes = standstill.causes()
    assert causes["stopped"] == (0, "")
    assert "payments' loop" in causes["blocked"][1]
    assert "broker" in causes["unbrokered"][1]
    assert "Redis" in causes["unledgered"][1]


def test_alive_it_is_all_the_same(standstill: Standstill):
    """A supervisor that asks for life restarts nobody because a server is away."""
    for worker in (standstill.blocked, standstill.unbrokered, standstill.unledgered):
        assert get(listens_at(worker), "/healthz")[0] == 200


def test_the_command_tells_them_apart(standstill: Standstill):
    """Those that hang say nothing; the one without a broker lives and says why it does not consume."""
    told = standstill.told()
    assert {name: row["condition"] for name, row in told.items()} == {
        "stopped": "silent",
        "blocked": "silent",
        "unbrokered": "hindered",
    }
    assert "broker" in str(told["unbrokered"]["cause"])


@pytest.mark.parametrize("name", ["stopped", "blocked", "unbrokered"])
def test_the_command_refuses_for_one_worker(standstill: Standstill, name: str):
    """What a container's health check gives: exit code 1, a cause and a next step."""
    told = health(standstill.house, "--worker", f"{name}@house")
    assert told.code == 1
    assert name in json.loads(told.error)["error"]
    assert json.loads(told.error)["next_step"]


def test_a_redis_that_is_away_is_told_as_such(standstill: Standstill):
    """By the command (69), by a web process' readiness (503), and in its metrics, which are there all the same."""
    told = health(standstill.house, REDIS_URL=standstill.ledger.url)
    assert told.code == 69
    assert json.loads(told.error)["next_step"]
    assert get(standstill.web, "/readyz", within_s=10)[0] == 503
    assert get(standstill.web, "/healthz")[0] == 200
    seen = scrape(standstill.web)
    assert seen.sum("b24pay_redis_up") == 0
    assert "b24pay_payments" not in seen.names()
    assert seen.sum("process_cpu_seconds_total") > 0


def test_what_goes_on_is_ready_again(standstill: Standstill):
    """Without a restart by anybody."""
    standstill.ledger.start()
    standstill.broker.start()
    os.kill(standstill.stopped.child_pid(), signal.SIGCONT)
    standstill.failpoint.go_on()
    for worker in (standstill.stopped, standstill.unbrokered, standstill.unledgered):
        eventually_sync(lambda: ready(worker))  # noqa: B023 - awaited before the next one
    eventually_sync(lambda: health(standstill.house, "--worker", "stopped@house").code == 0)
    eventually_sync(lambda: scrape(standstill.web).sum("b24pay_redis_up") == 1)
