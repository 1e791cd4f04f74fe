"""An upgrade in the middle of the work: workers, web processes and producers of two releases on one ledger."""

import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from access.audit import Audit
from access.roles import Role
from config.connections import async_redis_client
from tests.bearers import a_token, bearing
from tests.eventually import eventually_sync
from tests.house import ROOT, EmulatedPortal, House, a_house, wait_for
from tests.upgrade.release import checkout
from tests.upgrade.village import Village, a_village, assert_once, post, send, until_all_paid

pytestmark = [pytest.mark.whole, pytest.mark.timeout(300)]

EACH = 400  # payments of each of the five doors: 2,000 in all
SLOW = {"plan": "none", "latency_s": 0.3, "pay_s": 0.02, "operating_limit_s": None}
KILLS = 8


@pytest.fixture
def house() -> Iterator[House]:
    """Server and emulator."""
    with a_house() as house:
        yield house


@pytest.fixture
def village(house: House) -> Iterator[Village]:
    """With the code of the last release."""
    with tempfile.TemporaryDirectory(prefix="b24pay-release-") as name, a_village(house, checkout(Path(name))) as made:
        yield made


def test_two_releases_pay_two_thousand_payments_once(house: House, village: Village) -> None:
    """By every door of either, with workers of both, some of which are killed: all paid, each once."""
    chance = random.Random(7)
    workers = [village.worker(f"{name}-{n}", code) for n in (1, 2) for name, code in code_of(village).items()]
    addresses = {name: village.web(f"web-{name}", code) for name, code in code_of(village).items()}
    for worker in workers:
        eventually_sync(worker.is_consuming, within_s=60)
    portals = [house.add_portal(**SLOW) for _ in range(5)]
    for portal in portals:
        portal.hold()  # until all is in, so that the kills meet a full house
    village.enqueue(village.former, portals[0], EACH)
    village.enqueue(ROOT, portals[1], EACH)
    post(addresses["former"], portals[2], EACH)
    post(addresses["today"], portals[3], EACH)
    send(house, portals[4], EACH)
    for portal in portals:
        portal.resume()
    kills, next_at = 0, 0.0

    def strike() -> None:
        nonlocal kills, next_at
        village.look(portals)
        if kills < KILLS and time.monotonic() > next_at:
            workers[kills % len(workers)].kill_child()
            kills, next_at = kills + 1, time.monotonic() + chance.uniform(0.5, 2.0)

    until_all_paid(portals, EACH, meanwhile=strike, within_s=200)
    assert_once(portals, EACH)
    assert {name for name, _ in village.drove} == {"former", "today"}
    assert kills > 0
    assert_doors_know_each_other(house, addresses, portals[0])


def assert_doors_know_each_other(house: House, addresses: dict[str, str], portal: EmulatedPortal) -> None:
    """A token made today opens both doors, and what is changed through either is on record for today's reader."""

    async def changed() -> list[str]:
        async with async_redis_client(house.server.url, max_connections=2, decode_responses=False) as redis:
            bearer = bearing(await a_token(redis, "operator", Role.OPERATOR))
            async with aiohttp.ClientSession(headers=bearer) as session:
                for name, address in addresses.items():
                    url = f"{address}/v1/portals/{portal.key}"
                    for action, body in (("hold", {"reason": name}), ("resume", {"because": name})):
                        async with session.post(f"{url}/{action}", json=body) as came:
                            assert came.status == 200, await came.text()
            entries = [entry async for entry in Audit(redis, retention_s=3600).entries(3600)]
        return [f"{entry.what} because {entry.why}: {entry.outcome}" for entry in entries]

    noted = wait_for(changed())
    for name in addresses:
        assert f"portal.hold because {name}: done" in noted
        assert f"portal.resume because {name}: done" in noted


def code_of(village: Village) -> dict[str, Path]:
    """Where each release's code is."""
    return {"former": village.former, "today": ROOT}
