"""What work costs: processor time and memory of processes, commands and bytes of the Redis server."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.stage import Stage
from chaos.processes import Process, groups

TICKS: Final = os.sysconf("SC_CLK_TCK")


def cpu_s(pids: Sequence[int]) -> float:
    """User and system time of processes so far."""
    total = 0
    for pid in pids:
        try:
            words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += int(words[11]) + int(words[12])
    return total / TICKS


def group_of(process: Process) -> list[int]:
    """A process and what it has started."""
    return [pid for pid, group in groups().items() if group == process.pid]


def peak_mb(process: Process) -> float:
    """The largest peak resident size among a process and what it has started, MB."""
    return max((_status(pid, "VmHWM") for pid in group_of(process)), default=0) / 1000


def rss_mb(process: Process) -> float:
    """The largest resident size now among a process and what it has started, MB."""
    return max((_status(pid, "VmRSS") for pid in group_of(process)), default=0) / 1000


def _status(pid: int, name: str) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((float(line.split()[1]) for line in lines if line.startswith(name)), 0)


def load() -> float:
    """The machine's load average of the last minute: others may work here too."""
    return round(os.getloadavg()[0], 2)


@dataclass(frozen=True, slots=True)
class Reading:
    """All meters at one moment."""

    workers_s: float
    emulator_s: float
    server_s: float
    calls: Mapping[str, int] = field(default_factory=dict)
    net_bytes: int = 0

    def __sub__(self, earlier: "Reading") -> "Reading":
        calls = {name: number - earlier.calls.get(name, 0) for name, number in self.calls.items()}
        return Reading(
            self.workers_s - earlier.workers_s,
            self.emulator_s - earlier.emulator_s,
            self.server_s - earlier.server_s,
            {name: number for name, number in calls.items() if number},
            self.net_bytes - earlier.net_bytes,
        )

    @property
    def commands(self) -> int:
        """Commands that clients sent: what scripts did inside is not counted again."""
        return sum(self.calls.values())


async def read(stage: Stage) -> Reading:
    """Read all meters."""
    stats: dict[str, Any] = await stage.redis.info("stats")
    commands: dict[str, Any] = await stage.redis.info("commandstats")
    calls = {name.removeprefix("cmdstat_"): int(told["calls"]) for name, told in commands.items()}
    return Reading(
        workers_s=cpu_s([pid for worker in stage.workers for pid in group_of(worker)]),
        emulator_s=cpu_s(group_of(stage.emulator)),
        server_s=cpu_s([stage.server.pid]),
        calls=calls,
        net_bytes=int(stats["total_net_input_bytes"]) + int(stats["total_net_output_bytes"]),
    )


async def memory_bytes(stage: Stage) -> int:
    """What the server has in use."""
    return int((await stage.redis.info("memory"))["used_memory"])
