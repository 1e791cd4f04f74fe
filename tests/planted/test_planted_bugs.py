"""The tests bite: each of the bugs that this house fears is planted in a copy of the source, and is caught there."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.planted import bugs
from tests.planted.access import OF_ACCESS
from tests.planted.bugs import Bug
from tests.planted.callbacks import OF_CALLBACKS
from tests.planted.commands import OF_COMMANDS
from tests.planted.credentials import CREDENTIAL_BUGS
from tests.planted.deployment import OF_THE_DEPLOYMENT
from tests.planted.documents import OF_DOCUMENTS
from tests.planted.far_side import OF_THE_FAR_SIDE
from tests.planted.history import OF_HISTORY
from tests.planted.http import HTTP_BUGS
from tests.planted.pages import OF_PAGES
from tests.planted.reconciling import OF_RECONCILING
from tests.planted.servers import OF_SERVERS
from tests.planted.upgrade import OF_UPGRADES
from tests.planted.watchers import OF_WATCHERS
from tests.planted.watching import OF_WATCHING

BUGS = (
    *bugs.BUGS,
    *CREDENTIAL_BUGS,
    *OF_THE_FAR_SIDE,
    *OF_CALLBACKS,
    *HTTP_BUGS,
    *OF_WATCHING,
    *OF_WATCHERS,
    *OF_ACCESS,
    *OF_COMMANDS,
    *OF_DOCUMENTS,
    *OF_RECONCILING,
    *OF_THE_DEPLOYMENT,
    *OF_UPGRADES,
    *OF_PAGES,
    *OF_HISTORY,
    *OF_SERVERS,
)
ROOT = Path(__file__).parents[2]
FOLDERS = (
    "config",
    "tasks",
    "worker",
    "web",
    "access",
    "metrics",
    "callbacks",
    "bitrix24",
    "ledger",
    "limiter",
    "reconciling",
    "cli",
    "emulator",
    "chaos",
    "manual",
    "docs",
    "deploy",
    "tests",
)
FILES = (
    "pyproject.toml",
    "Procfile",
    ".env.example",
    "docker-compose.yml",
    "Makefile",
    "README.md",
    "CONTRIBUTING.md",
)
TESTS = tuple(dict.fromkeys(test for bug in BUGS for test in bug.tests))
TIMEOUT_S = 120
FAILED, ALL_PASSED = 1, 0


def run_tests(directory: Path, tests: Iterable[str], *options: str) -> tuple[int, str]:
    """Run tests of a copy in a process of their own; exit code and output.

    Assertions are left plain: a test of tokens that fails here, as it should, would show them otherwise.
    """
    passed_on = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PYTHON"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rf", "--tb=no", "--assert=plain", "-m", "", *options, *tests],
        cwd=directory,
        env={**passed_on, "PYTHONPATH": str(directory)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@contextmanager
def a_directory() -> Iterator[Path]:
    """A place that is gone afterwards: forty copies are not worth keeping."""
    with tempfile.TemporaryDirectory(prefix="b24pay-planted-") as name:
        yield Path(name)


@pytest.fixture(scope="session")
def source() -> Iterator[Path]:
    """The source as it is, in a place of its own, with its modules compiled once."""
    with a_directory() as copy:
        _copy_to(copy)
        files = sorted({test.partition("::")[0] for test in TESTS})
        code, output = run_tests(copy, files, "--collect-only")
        assert code == ALL_PASSED, output
        yield copy


def _copy_to(copy: Path) -> None:
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in FILES:
        shutil.copy2(ROOT / file, copy / file)


def plant(bug: Bug, directory: Path) -> None:
    """Change the one place; what was compiled of it is thrown away."""
    path = directory / bug.file
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(bug.old, bug.new), encoding="utf-8")
    for compiled in path.parent.glob(f"__pycache__/{path.stem}.*"):
        compiled.unlink()


def failed(output: str) -> set[str]:
    """The tests that failed, without their parameters."""
    lines = [line.split() for line in output.splitlines() if line.startswith("FAILED ")]
    return {line[1].partition("[")[0] for line in lines}


def test_every_bug_has_its_place() -> None:
    """The code moves, and the bugs have to move along: each is planted in exactly one place."""
    texts = {file: (ROOT / file).read_text(encoding="utf-8") for file in {bug.file for bug in BUGS}}
    lost = {(bug.file, bug.name): places for bug in BUGS if (places := texts[bug.file].count(bug.old)) != 1}
    assert lost == {}


@pytest.mark.whole  # ninety runs of pytest: what they show changes with the tests, and not with each change of the code
@pytest.mark.parametrize("bug", BUGS, ids=[bug.name.replace(" ", "-") for bug in BUGS])
def test_a_planted_bug_is_caught(bug: Bug, source: Path) -> None:
    """Every test that is named for the bug fails with it."""
    with a_directory() as copy:
        shutil.copytree(source, copy, dirs_exist_ok=True)
        plant(bug, copy)
        code, output = run_tests(copy, bug.tests)
    assert code == FAILED, f"with {bug.name!r} in {bug.file} the tests ended with {code}:\n{output}"
    assert failed(output) == set(bug.tests), output


@pytest.mark.whole
def test_without_a_bug_the_same_tests_pass(source: Path) -> None:
    """So it is the bug that they catch, and not the copy."""
    code, output = run_tests(source, TESTS)
    assert code == ALL_PASSED, output
