"""Where a worker spends its time without limits at the portal: `python -m benchmarks.profile bulk|stock [N]`.

Samples the worker's Celery process with py-spy (`uv pip install py-spy`) while it works, and prints the functions that
it was in most, by themselves (self) and with what they call (total), counting each function once per sample. Only the
thread that runs Python is counted: the others wait, for the interpreter or for the system.
"""

import asyncio
import re
import sys
from collections import Counter
from pathlib import Path

from benchmarks.meters import group_of
from benchmarks.scenarios.unlimited import EMULATED, once
from benchmarks.stage import UNLIMITED, a_program, a_stage, until

TOP = 40


def shares(folded: str) -> tuple[Counter[str], Counter[str], int]:
    """Samples per function, self and total, of py-spy's folded stacks."""
    own, whole, samples = Counter[str](), Counter[str](), 0
    for line in folded.splitlines():
        stack, _, number = line.rpartition(" ")
        frames = [re.sub(r":\d+\)$", ")", frame) for frame in stack.split(";")]
        samples += int(number)
        own[frames[-1]] += int(number)
        for frame in set(frames):
            whole[frame] += int(number)
    return own, whole, samples


async def profile(door: str, count: int) -> None:
    """Run one door with one worker and print the profile."""
    async with a_stage(workers=1, emulated=EMULATED) as stage:
        [warm] = await stage.add_portals(1, UNLIMITED)
        async with a_program(stage, "benchmarks.producing", "bulk") as producer:
            await producer.run({"ranges": [[warm.key, 1, 100]]})
            await stage.until_paid([warm], 100, 60)
        child = max(group_of(stage.workers[0]))
        out = Path(stage.directory / "folded.txt")
        command = ["py-spy", "record", "--gil", "-p", str(child), "-r", "200", "-f", "raw", "-o", str(out), "-d", "60"]
        sampler = stage.start("sampler", command)
        await asyncio.sleep(1)
        row = await once(stage, door, count)
        sampler.signal_group(2)
        await until(lambda: not sampler.running)
        own, whole, samples = shares(out.read_text())  # noqa: ASYNC240 - a small file
    print(f"{door}: {row}")  # noqa: T201 - a tool for people
    for name, counted in (("total", whole), ("self", own)):
        print(f"-- {name}, of {samples} samples")  # noqa: T201
        for frame, number in counted.most_common(TOP):
            print(f"{number / samples:6.1%}  {frame}")  # noqa: T201


if __name__ == "__main__":
    asyncio.run(profile(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 20_000))  # noqa: PLR2004
