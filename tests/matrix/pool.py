"""Several workers at once, each as the Procfile starts it; a process that stands at a point is found by its number."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

from tests.house import House, Worker

WITHIN_S = 90.0  # many start at once on few cores
LOOK_EVERY_S = 0.1


class Pool:
    """Workers over one ledger."""

    def __init__(self, house: House, environment: Mapping[str, str]) -> None:
        self._house = house
        self._environment = environment
        self.workers: list[Worker] = []

    async def start(self, number: int) -> None:
        """Start so many more and wait until all of them consume."""
        started = [self._start() for _ in range(number)]
        end = time.monotonic() + WITHIN_S
        while not all(worker.is_consuming() for worker in started):
            if time.monotonic() > end:
                raise TimeoutError(f"{number} workers did not start within {WITHIN_S:g} s")
            await asyncio.sleep(LOOK_EVERY_S)

    def owner(self, pid: int) -> Worker:
        """The worker that a process belongs to: its child, or the process itself."""
        parents = {pid, _parent(pid)}
        [worker] = [worker for worker in self.workers if worker.process.pid in parents]
        return worker

    async def stop(self, worker: Worker) -> int:
        """Wait for the end of a worker that was told to stop; its exit code."""
        code = await asyncio.to_thread(worker.process.wait, 30)
        worker.kill()  # its guard
        self.workers.remove(worker)
        return code

    def said(self, word: str) -> list[str]:
        """Lines above `info` of all workers that have a word in them."""
        lines = [line for log in sorted(self._house.directory.glob("matrix-*.log")) for line in _lines(log)]
        return [line for line in lines if word in line and '"level": "info"' not in line]

    def close(self) -> None:
        """Kill every process that was started."""
        for worker in self.workers:
            worker.kill()

    def _start(self) -> Worker:
        name = f"matrix-{len(list(self._house.directory.glob('matrix-*.log')))}"
        worker = self._house.begin_worker(name, **self._environment)
        self.workers.append(worker)
        return worker


def _parent(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("PPid:")]
    return int(line.split()[1])


def _lines(log: Path) -> list[str]:
    return log.read_text(errors="replace").splitlines()
