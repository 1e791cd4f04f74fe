"""Let tokens run out again and again under load: `python -m tests.renewal_storm [--expiries 200] [--workers 4]`.

Once with refresh tokens that work one time, and once with a server that accepts the old one for a while; there some
answers are lost, and some workers are killed between the answer and the store.
"""

import argparse
import json
import random
import sys
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass

from tests.eventually import eventually_sync
from tests.failpoints import Listener
from tests.house import EmulatedPortal, House, Worker, a_house

FREE = {"plan": "none", "operating_limit_s": None, "latency_s": 0.05}
AT_ONCE = 400
LOST_EVERY, KILLED_EVERY = 7, 20
LONGEST_PAUSE_S = 0.3  # some round trips: so expiries meet requests at any of their moments


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was seen."""

    rotation: str
    workers: int
    expiries: int
    refreshed: int
    replayed: int  # the same pair once more
    lost: int
    kills: int
    refused: int  # 401 at the portal
    accepted: int
    paid: int
    failed: int
    doubles: int
    held: str | None
    secrets_in_addresses: int
    seconds: float


def storm(expiries: int, workers: int, *, rotation: str, trouble: bool) -> Outcome:
    """One run."""
    began = time.monotonic()
    seen: Counter[str] = Counter()
    moments = random.Random(rotation)
    with Listener("renewal.answered") as listener, a_house() as house:
        portal = house.add_application(settings=FREE, rotation=rotation, grace_s=600, token_cache_s=0)
        crew = [house.start_worker(**listener.environment) for _ in range(workers)]
        kill = threading.Event()
        threading.Thread(target=_answer, args=(listener, house, crew, kill, seen), daemon=True).start()
        done = 0
        for number in range(1, expiries + 1):
            before = _refreshed(portal)
            if trouble and number % LOST_EVERY == 0:
                portal.fault("reset", method="oauth.token", place="after", count=1)
                seen["lost"] += 1
            if trouble and number % KILLED_EVERY == 0:
                kill.set()
            portal.ask(lambda emulator, name: emulator.expire(name))
            if portal.counts()["queued"] < AT_ONCE:
                done += _send_more(house, portal, done)
            eventually_sync(lambda before=before: _refreshed(portal) > before, within_s=90)  # type: ignore[misc]
            # Tokens that run out before anything was paid with them are another story: the lane rests then.
            paid = portal.counts()["paid"]
            eventually_sync(lambda paid=paid: portal.counts()["paid"] > paid, within_s=90)  # type: ignore[misc]
            time.sleep(moments.uniform(0, LONGEST_PAUSE_S))
        eventually_sync(lambda: portal.counts()["paid"] == done, within_s=120)
        told = portal.ask(lambda emulator, name: emulator.token_counters(name))
        counts, counters = portal.counts(), portal.counters
        return Outcome(
            rotation=rotation,
            workers=workers,
            expiries=expiries,
            refreshed=told.refreshed,
            replayed=told.replayed,
            lost=seen["lost"],
            kills=seen["kills"],
            refused=counters.statuses[401],
            accepted=done,
            paid=counts["paid"],
            failed=counts["failed"],
            doubles=portal.tally.doubles,
            held=portal.held(),
            secrets_in_addresses=counters.tokens_in_url + told.secrets_in_url,
            seconds=round(time.monotonic() - began, 1),
        )


def _send_more(house: House, portal: EmulatedPortal, done: int) -> int:
    celery = house.celery()
    items = [{"invoice_id": n, "pay_system_id": 1} for n in range(done + 1, done + AT_ONCE + 1)]
    message = {"portal": portal.key, "payments": items}
    answer = celery.send_task("tasks.pay_invoices", kwargs=message, queue="payments").get(timeout=60)
    return int(answer["accepted"])


def _answer(listener: Listener, house: House, crew: list[Worker], kill: threading.Event, seen: Counter[str]) -> None:
    """Let every process go on that has new tokens, or kill it with them."""
    while True:
        try:
            stop = listener.next(within_s=300)
        except Exception:  # noqa: BLE001 - the end of the storm
            return
        victims = [worker for worker in crew if worker.child_pid() == stop.pid or worker.process.pid == stop.pid]
        if kill.is_set() and victims:
            kill.clear()
            victims[0].kill()
            crew.remove(victims[0])
            seen["kills"] += 1
            stop.go_on()
            crew.append(house.start_worker(**listener.environment))
        else:
            stop.go_on()


def _refreshed(portal: EmulatedPortal) -> int:
    return int(portal.ask(lambda emulator, name: emulator.token_counters(name)).refreshed)


def main() -> int:
    """Run both storms; 1 where a payment was lost, failed or paid twice, or a lane was held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--expiries", type=int, default=200)
    parser.add_argument("--workers", type=int, default=4)
    given = parser.parse_args()
    outcomes = [
        storm(given.expiries, given.workers, rotation="one_time", trouble=False),
        storm(given.expiries, given.workers, rotation="grace", trouble=True),
    ]
    for outcome in outcomes:
        sys.stdout.write(json.dumps(asdict(outcome)) + "\n")
    sound = all(each.paid == each.accepted and not (each.failed or each.doubles or each.held) for each in outcomes)
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
