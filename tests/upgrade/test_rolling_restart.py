"""A deploy that restarts worker after worker while payments come in: nobody notices."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

import pytest

from ledger.ledger import Accepted
from ledger.payment import Handle, NewPayment, Payment, PortalKey, State
from tests.eventually import eventually_sync
from tests.house import EmulatedPortal, House, Worker, a_house, open_ledger, wait_for

pytestmark = [pytest.mark.whole, pytest.mark.timeout(400)]

WORKERS = 4
FOR_S, EVERY_S = 120.0, 5.0
A_SECOND = 20  # payments, over all portals
BUSY = {"plan": "none", "latency_s": 0.4, "operating_limit_s": None}


@pytest.fixture
def house() -> Iterator[House]:
    """Server and emulator."""
    with a_house() as house:
        yield house


@dataclass
class Deploy:
    """Workers that are replaced one after the other, and payments that come meanwhile."""

    house: House
    portals: Sequence[EmulatedPortal]
    workers: list[Worker] = field(default_factory=list)
    leaving: list[Worker] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)
    most_doubts: int = 0
    numbers: Iterator[int] = field(default_factory=count)

    def begin(self) -> Worker:
        """One more worker."""
        worker = self.house.begin_worker(f"deploy-{next(self.numbers)}")
        self.house.workers.append(worker)
        return worker

    def replace(self) -> None:
        """SIGTERM to the oldest worker that consumes, and a new one beside it."""
        oldest = next((each for each in self.workers if each.is_consuming()), None)
        if oldest is None:
            return
        self.workers.remove(oldest)
        oldest.process.terminate()
        self.leaving.append(oldest)
        self.workers.append(self.begin())

    async def work(self, for_s: float) -> None:
        """Accept payments, restart workers, and look for doubts all the while."""
        begins = time.monotonic()
        next_restart, made = begins + EVERY_S, 0
        async with open_ledger(self.house.server.url) as (ledger, _):
            while (passed_s := time.monotonic() - begins) < for_s:
                wanted = int(passed_s * A_SECOND)
                asks = [self.ask(n) for n in range(made, wanted)]
                opened = await ledger.open(asks) if asks else []
                assert all(isinstance(each, Accepted) for each in opened)
                self.accepted += [ask.id for ask in asks]
                made = wanted
                lanes = await ledger.lanes()
                self.most_doubts = max(self.most_doubts, sum(lane.counts[State.IN_DOUBT] for lane in lanes))
                if time.monotonic() >= next_restart:
                    next_restart += EVERY_S
                    self.replace()
                await asyncio.sleep(0.05)

    def ask(self, number: int) -> NewPayment:
        """The next invoice of the next portal."""
        at, portal = divmod(number, len(self.portals))
        key = PortalKey(self.portals[portal].key)
        return NewPayment(id=Handle(f"roll-{number}"), portal=key, invoice_id=at + 1, pay_system_id=1)


def test_a_rolling_restart_loses_doubts_and_repeats_nothing(house: House) -> None:
    """Every worker ends by itself with code 0; no payment was ever in doubt, sent twice or left behind."""
    deploy = Deploy(house, [house.add_portal(**BUSY) for _ in range(4)])
    deploy.workers = [deploy.begin() for _ in range(WORKERS)]
    for worker in deploy.workers:
        eventually_sync(worker.is_consuming, within_s=90)
    wait_for(deploy.work(FOR_S))
    eventually_sync(lambda: sum(each.counts()["paid"] for each in deploy.portals) == len(deploy.accepted), within_s=90)
    assert len(deploy.leaving) >= FOR_S / EVERY_S / 2
    assert [worker.process.wait(30) for worker in deploy.leaving] == [0] * len(deploy.leaving)
    assert deploy.most_doubts == 0
    assert [line for worker in house.workers for line in worker.lines() if "lane.recovered" in line] == []
    rows = wait_for(_rows(house, deploy.accepted))
    assert {(row.state, row.attempts, row.deaths) for row in rows} == {(State.PAID, 1, 0)}
    for portal in deploy.portals:
        tally = portal.tally
        assert (tally.effects, tally.doubles, tally.overlaps, tally.repeats) == (portal.counts()["paid"], 0, 0, 0)


async def _rows(house: House, names: Sequence[str]) -> list[Payment]:
    async with open_ledger(house.server.url) as (ledger, _):
        return [row for row in await ledger.find(names) if row is not None]
