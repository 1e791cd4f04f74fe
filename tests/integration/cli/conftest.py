"""A house with one worker, and a terminal in it."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from cli.documents import ALWAYS, DOCUMENTS
from cli.main import run
from tests.canaries import SEARCH
from tests.house import ROOT, House, a_house
from tests.saying import Said

COMMAND = [sys.executable, "-c", "from cli.main import main; main()"]


def hold_against_schema(arguments: Sequence[str], said: Said) -> None:
    """Each document has the fields of its schema and no other."""
    name = " ".join(arguments[:2]) if " ".join(arguments[:2]) in DOCUMENTS else arguments[0]
    schema = {**DOCUMENTS[name].schema(name), "additionalProperties": False}
    for document in said.documents:
        jsonschema.validate(document, schema, format_checker=jsonschema.FormatChecker())
    assert said.code in (*ALWAYS, *DOCUMENTS[name].codes)


@dataclass(frozen=True)
class Terminal:
    """Gives commands in a house."""

    house: House
    directory: Path
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str) -> Said:
        """Give one command in this process."""
        self.capsys.readouterr()
        code = run(arguments)
        return Said(code, *self.capsys.readouterr())

    def json(self, *arguments: str) -> Said:
        """The same with --json; whatever comes is held against the verb's schema."""
        said = self(*arguments, "--json")
        hold_against_schema(arguments, said)
        return said

    def start(self, *arguments: str, **options: Any) -> "subprocess.Popen[str]":
        """Start the command as a process of its own, with pipes."""
        environ = {**self.house.environment, "PYTHONPATH": str(ROOT)}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.Popen([*COMMAND, *arguments], env=environ, cwd=self.directory, text=True, **pipes)

    def feed(self, text: str, *arguments: str) -> Said:
        """Give a command that reads stdin, as a process."""
        process = self.start(*arguments)
        out, err = process.communicate(text, timeout=60)
        return Said(process.returncode, out, err)

    def file(self, name: str, content: bytes | str) -> str:
        """A file in the directory that commands run in; it may hand a secret in."""
        path = SEARCH.allow(self.directory / name)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    """Server, emulator and one worker."""
    with a_house() as house:
        house.start_worker()
        yield house


@pytest.fixture
def terminal(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Terminal:
    """A terminal whose environment is the house's."""
    for name, value in house.environment.items():
        if name not in os.environ:
            monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return Terminal(house, tmp_path, capsys)
