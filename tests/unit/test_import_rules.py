"""The boxes stay apart: who may import whom, read from the source, late imports and type-only ones included."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BOXES = frozenset(
    {
        "config",
        "tasks",
        "worker",
        "bitrix24",
        "ledger",
        "limiter",
        "cli",
        "emulator",
        "chaos",
        "benchmarks",
        "web",
        "access",
        "metrics",
        "callbacks",
        "reconciling",
        "manual",
        "release",
    }
)


@dataclass(frozen=True, slots=True)
class Rule:
    """What one box may import of ours, and which libraries it must not know."""

    ours: frozenset[str] = frozenset()
    never: frozenset[str] = frozenset()


CELERY = frozenset({"celery", "kombu", "billiard"})
# design.md, "Boxes". Whatever box is not named here may import nothing.
RULES = {
    "config": Rule(never=frozenset({"aiohttp"})),
    "ledger": Rule(never=CELERY | {"aiohttp"}),
    "limiter": Rule(never=CELERY | {"aiohttp"}),
    "bitrix24": Rule(frozenset({"config"}), never=CELERY),
    "access": Rule(frozenset({"config"}), never=CELERY | {"aiohttp"}),
    "emulator": Rule(never=CELERY | {"redis"}),
    "tasks": Rule(frozenset({"config", "ledger"}), never=frozenset({"aiohttp"})),
    "callbacks": Rule(frozenset({"config", "tasks", "ledger", "bitrix24"}), never=CELERY),
    # Reads both sides and changes neither; the terminal and the web are its doors, and tell of both in results' words.
    "reconciling": Rule(frozenset({"ledger", "limiter", "bitrix24", "tasks"}), never=CELERY | {"aiohttp"}),
    # Counts and looks; whoever does the work knows it, and it knows nobody of them.
    "metrics": Rule(frozenset({"config", "ledger", "limiter", "bitrix24"}), never=CELERY | {"aiohttp"}),
    "worker": Rule(frozenset({"config", "tasks", "ledger", "limiter", "bitrix24", "metrics", "callbacks"})),
    # Celery is how payments travel between others; who comes by HTTP writes the ledger, and means by a payment and its
    # result what the producers' door does.
    # The limiter is read for people to see how fast a portal is asked.
    "web": Rule(
        frozenset(
            {"config", "bitrix24", "ledger", "limiter", "access", "tasks", "metrics", "callbacks", "reconciling"}
        ),
        never=CELERY,
    ),
    # A storm strikes the worker from outside, as a process: it knows nothing of its insides.
    "chaos": Rule(BOXES - {"web", "worker", "benchmarks", "manual", "release"}),
    # Measures everything from outside and, for the profile, from inside; nothing imports it.
    "benchmarks": Rule(BOXES - {"web", "manual", "release"}),
    # Reads tables of all boxes and writes pages; nothing imports it.
    "manual": Rule(BOXES - {"benchmarks", "release"}),
    # Works on the tree as files; knows nothing of what it releases.
    "release": Rule(),
    "cli": Rule(BOXES - {"web", "benchmarks", "manual", "release"}),
}
# One session per process is made in one place; everywhere else the far side is known only through bitrix24.
AIOHTTP_IN_WORKER = "worker/runtime.py"
# The commands that run an emulator; no other part of the terminal knows it.
EMULATOR_IN_CLI = ("cli/emulating", "cli/demo")
CHAOS_IN_CLI = "cli/chaos.py"


@dataclass(frozen=True, slots=True)
class Import:
    """One imported top-level name and the place that imports it."""

    path: str
    line: int
    name: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line} imports {self.name}"


def imports(root: Path, box: str) -> Iterator[Import]:
    """Every import of a box, wherever in a file it stands; relative ones stay inside and do not count."""
    for path in sorted((root / box).rglob("*.py")):
        place = path.relative_to(root).as_posix()
        for node in ast.walk(ast.parse(path.read_text(), place)):
            if isinstance(node, ast.Import):
                yield from (Import(place, node.lineno, alias.name.partition(".")[0]) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                yield Import(place, node.lineno, node.module.partition(".")[0])


def breaches(root: Path, box: str) -> list[Import]:
    """What a box imports against the rules."""
    rule = RULES.get(box, Rule())
    return [each for each in imports(root, box) if _breaks(each, box, rule)]


def _breaks(each: Import, box: str, rule: Rule) -> bool:
    if each.name == "emulator" and box == "cli":
        return not each.path.startswith(EMULATOR_IN_CLI)
    if each.name == "chaos" and box == "cli":
        return each.path != CHAOS_IN_CLI
    if each.name == "aiohttp" and box == "worker":
        return each.path != AIOHTTP_IN_WORKER
    return (each.name in BOXES - rule.ours - {box}) or each.name in rule.never


@pytest.mark.parametrize("box", sorted(BOXES))
def test_a_box_imports_only_what_it_may_know(box: str):
    """No import of any file breaks the table in design.md."""
    assert [str(each) for each in breaches(ROOT, box)] == []


def test_every_folder_with_code_is_a_box_with_a_rule():
    """A new package is a decision: it gets a line in the table before it imports anything."""
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    assert packages <= BOXES
    assert set(RULES) >= packages


@pytest.mark.parametrize(
    ("place", "code"),
    [
        ("config/a.py", "import ledger"),
        ("config/a.py", "import aiohttp.web"),
        ("ledger/redis/a.py", "from config.connections import redis_client"),
        ("ledger/a.py", "import aiohttp"),
        ("limiter/a.py", "from ledger import Payment"),
        ("bitrix24/a.py", "from ledger.payments import Payment"),
        ("bitrix24/a.py", "import celery.result"),
        ("emulator/a.py", "from bitrix24 import client"),
        ("emulator/a.py", "import config"),
        ("tasks/a.py", "def late():\n    import aiohttp"),
        ("tasks/a.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from worker.app import app"),
        ("tasks/a.py", "import bitrix24.client"),
        ("worker/a.py", "import aiohttp"),
        ("worker/a.py", "from cli.main import main"),
        ("worker/a.py", "import emulator"),
        ("cli/pay.py", "from emulator.farm import Farm"),
        ("cli/a.py", "import web"),
        ("cli/stage.py", "from chaos.proxy import Proxy"),
        ("chaos/a.py", "from worker.driver import drive"),
        ("web/a.py", "from cli.main import main"),
        ("web/a.py", "import worker"),
        ("web/a.py", "from celery.result import AsyncResult"),
        ("unheard/a.py", "import config"),
    ],
)
def test_a_breach_is_found(tmp_path: Path, place: str, code: str):
    """Each rule bites: at the top, inside a function, for types only and in a nested folder."""
    path = tmp_path / place
    path.parent.mkdir(parents=True)
    path.write_text(code)
    found = breaches(tmp_path, place.partition("/")[0])
    assert [each.path for each in found] == [place]


@pytest.mark.parametrize(
    ("place", "code"),
    [
        ("worker/runtime.py", "import aiohttp"),
        ("worker/a.py", "import bitrix24, ledger, limiter, tasks, config, worker"),
        ("tasks/a.py", "from . import ledger\nfrom ledger import Payment"),
        ("cli/demo.py", "from emulator.farm import Farm"),
        ("cli/emulating.py", "import emulator, worker"),
        ("bitrix24/a.py", "import aiohttp\nfrom config.redaction import redact"),
    ],
)
def test_what_is_allowed_is_not_found(tmp_path: Path, place: str, code: str):
    """The rules do not stand in the way of the design."""
    path = tmp_path / place
    path.parent.mkdir(parents=True)
    path.write_text(code)
    assert breaches(tmp_path, place.partition("/")[0]) == []


def test_importing_tasks_stays_light():
    """A producer that only enqueues loads no HTTP client, no worker, no settings machinery and no terminal."""
    code = "import json, sys; import tasks; print(json.dumps(sorted(sys.modules)))"
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environ, cwd=ROOT
    )
    loaded = set(json.loads(told.stdout))
    heavy = {
        "aiohttp",
        "asyncio.base_events",
        "worker",
        "bitrix24",
        "emulator",
        "cli",
        "limiter",
        "pydantic",
        "structlog",
        "rich",
        "cryptography",
        "celery.worker",
        "celery.apps.worker",
        "celery.bin",
        "celery.concurrency",
        "celery.backends.redis",
        "kombu.transport.redis",
    }
    assert sorted(loaded & heavy) == []
