"""Couriers that are killed again and again while they tell of ended payments.

`python -m tests.callback_storm --kills 30`. Every end must be told, and a repetition must carry its id.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import asdict, dataclass

from tests.eventually import eventually
from tests.house import ROOT
from tests.integration.callbacks.post_office import a_post_office
from tests.integration.callbacks.receiver import receiving
from tests.sinks import GuardedServer

LEASE_S = 1.0
# What a worker has beside its lanes, alone in a process: it says when it works.
COURIER = """
import asyncio, os, sys
from tests.integration.callbacks.post_office import a_post_office

async def main():
    async with a_post_office(os.environ["REDIS_URL"]) as office:
        async with office.courier(lease_s=float(sys.argv[1]), waits_s=(0.2,) * 1000):
            print("working", flush=True)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nobody reads on, and a full pipe would stop it
            await asyncio.Event().wait()

asyncio.run(main())
"""


@dataclass(frozen=True, slots=True)
class Storm:
    """What came of it."""

    kills: int
    ended: int
    told: int
    letters: int
    unasked: int  # ids that the ledger never made


def start_courier(url: str, **environment: str) -> "subprocess.Popen[bytes]":
    """A process with one courier, at work."""
    environ = {**os.environ, "REDIS_URL": url, "PYTHONPATH": str(ROOT), **environment}
    command = [sys.executable, "-c", COURIER, str(LEASE_S)]
    process = subprocess.Popen(command, env=environ, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def kill(process: "subprocess.Popen[bytes]") -> None:
    """SIGKILL, and wait for the end."""
    process.send_signal(signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


async def storm(url: str, kills: int, *, payments: int = 40, seed: int = 1) -> Storm:
    """Kill a courier so many times while payments go on ending; the last one lives."""
    luck = random.Random(seed)
    with receiving("127.0.0.1") as receiver:
        async with a_post_office(url) as office:
            ended = 0
            for _ in range(kills):
                process = await asyncio.to_thread(start_courier, url)
                ended += len(await office.end(receiver, count=payments))
                await asyncio.sleep(luck.uniform(0, 0.15))
                kill(process)
            process = await asyncio.to_thread(start_courier, url)
            try:
                await eventually(office.all_told, within_s=60)
            finally:
                kill(process)
            counts = await office.ledger.callbacks.counts()
            known = await office.ledger.callbacks.find(sorted(set(receiver.ids)))
        told = Counter(letter.read()["data"]["id"] for letter in receiver.letters)
        assert counts.delivered == ended
        assert len(set(receiver.ids)) == len(told)
        return Storm(kills, ended, len(told), len(receiver.letters), sum(each is None for each in known))


def main() -> None:
    """Say what came of it, as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    server = GuardedServer()
    server.start()
    try:
        print(json.dumps(asdict(asyncio.run(storm(server.url, given.kills, seed=given.seed)))))
    finally:
        server.stop()


if __name__ == "__main__":
    main()
