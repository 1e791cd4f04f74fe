"""Measure b24pay and other clients on the same emulated portals: `python -m benchmarks [NAME ...] [--quick]`.

Prints one table per scenario; with --write (as `make bench` does) the figures go to docs/benchmarks/.
"""

import argparse
import asyncio
import importlib
import sys
import time
from typing import Final

from benchmarks.meters import load
from benchmarks.report import keep
from benchmarks.table import Table, text_of

# In this order they are run.
SCENARIOS: Final = (
    "burst",
    "lost",
    "idle",
    "callers",
    "unlimited",
    "bound",
    "portals",
    "small",
    "million",
    "execution",
    "pages",
    "http",
    "lists",
)


def measure(name: str, *, quick: bool) -> Table:
    """Run one scenario and print its table."""
    module = importlib.import_module(f"benchmarks.scenarios.{name}")
    sys.stderr.write(f"{name}: {str(module.__doc__).splitlines()[0]}\n")
    began, before = time.monotonic(), load()
    table: Table = asyncio.run(module.run(quick=quick))
    table.notes.append(f"load average before {before}, after {load()}; took {time.monotonic() - began:.0f} s")
    sys.stdout.write(text_of(f"\n{table.title} ({table.wanted})", table.rows, table.columns))
    sys.stdout.writelines(f"  {note}\n" for note in table.notes)
    sys.stdout.flush()
    return table


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SCENARIOS))
    parser.add_argument("--quick", action="store_true", help="smaller numbers, in a few minutes")
    parser.add_argument("--write", action="store_true", help="keep the figures in docs/benchmarks/")
    given = parser.parse_args()
    unknown = set(given.names) - set(SCENARIOS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known are {', '.join(SCENARIOS)}")
    for name in given.names or SCENARIOS:
        table = measure(name, quick=given.quick)
        if given.write:
            keep(table, quick=given.quick)
    return 0


if __name__ == "__main__":
    sys.exit(main())
