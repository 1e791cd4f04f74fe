"""The network between worker and Redis goes away, also without telling: connections that swallow bytes for ever.

The worker reaches the server through a fault proxy; producer and checks go past it.
"""

import asyncio
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from chaos.proxy import Gate, running_proxy
from chaos.toxics import Ending, Flow, Toxics
from tests.acceptance.test_outages import PAYMENTS, SHORT, assert_agreement, consumes_again
from tests.acceptance.test_trouble import send_bulk
from tests.canaries import REDIS_PASSWORD
from tests.eventually import eventually_sync
from tests.house import EmulatedPortal, House, a_house

SWALLOW = Toxics(request=Flow(swallow=True), reply=Flow(swallow=True))


class Way:
    """The way from the worker to the server, turned from a test's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, gate: Gate) -> None:
        self._loop = loop
        self._gate = gate
        self.url = f"redis://:{REDIS_PASSWORD}@{gate.authority}/0"

    def _on_loop(self, work: Callable[[], object]) -> None:
        async def run() -> None:
            work()

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(10)

    def silence(self) -> None:
        """Connections that are open now stay open and pass nothing more; new ones work."""
        self._on_loop(lambda: self._gate.cut(Ending.SILENCE))

    def become(self, toxics: Toxics) -> None:
        """From now on the way is like this."""

        def change() -> None:
            self._gate.toxics = toxics

        self._on_loop(change)

    def heal(self) -> None:
        """New connections work; what fell silent stays so."""
        self._on_loop(self._gate.heal)


@contextmanager
def a_way(house: House) -> Iterator[Way]:
    """A proxy before the house's server, on a loop in a thread of its own."""
    ready: list[Way] = []
    closing = asyncio.Event()

    async def serve() -> None:
        async with running_proxy() as proxy:
            ready.append(Way(asyncio.get_running_loop(), proxy.open(house.server.socket)))
            await closing.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="proxy", daemon=True)
    thread.start()
    [way] = eventually_sync(lambda: ready)
    try:
        yield way
    finally:
        way._on_loop(closing.set)
        thread.join(10)


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    """A house whose workers come through the proxy."""
    with a_house(**SHORT) as house:
        yield house


@pytest.fixture(scope="module")
def way(house: House) -> Iterator[Way]:
    """The worker's way to the server."""
    with a_way(house) as way:
        house.start_worker(REDIS_URL=way.url)
        yield way
        way.heal()
        for worker in house.workers:
            worker.stop()


@pytest.fixture
def load(house: House, way: Way) -> EmulatedPortal:
    """A portal with payments, the first of which are at the portal now."""
    portal = house.add_portal(latency_s=0.2, pay_s=0.02)
    send_bulk(house.celery(), portal, PAYMENTS)
    eventually_sync(lambda: portal.tally.effects)
    return portal


def test_connections_that_fall_silent(house: House, way: Way, load: EmulatedPortal) -> None:
    """Every connection is half-open at once, and nobody tells: all of them are dropped by their own clocks."""
    way.silence()
    consumes_again(house, "half-open connections")
    assert_agreement(load)


def test_a_message_that_was_handed_to_a_dead_connection(house: House, way: Way) -> None:
    """What the server gave away into the void comes back to the queue: none of fifty messages is lost."""
    portal = house.add_portal()
    celery = house.celery()
    way.silence()
    for invoice in range(1, 51):
        kwargs = {"portal": portal.key, "invoice_id": invoice, "pay_system_id": 1}
        celery.send_task("tasks.pay_invoice", kwargs=kwargs, queue="payments", task_id=str(uuid.uuid4()))
    assert_agreement(portal, 50)


def test_a_network_that_swallows_everything_for_a_while(house: House, way: Way, load: EmulatedPortal) -> None:
    """Two seconds without a byte in either direction, for new connections too."""
    way.become(SWALLOW)
    time.sleep(2)
    way.heal()
    consumes_again(house, "a swallowing network, 2 s")
    assert_agreement(load)


def test_a_network_that_is_down_for_longer(house: House, way: Way, load: EmulatedPortal) -> None:
    """Connections are refused for eight seconds; tries do not become rarer with the length of an outage."""
    way.become(Toxics(down=True))
    time.sleep(8)
    way.heal()
    consumes_again(house, "refused connections, 8 s")
    assert_agreement(load)
