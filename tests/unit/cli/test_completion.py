"""Shell completion: by click's own protocol, by a real bash where there is one, and without anything heavy."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cli.main import run
from tests.house import ROOT

HEAVY = ("aiohttp", "asyncio", "celery", "pydantic", "redis", "rich", "structlog")
CODE = """
import atexit, sys
heavy = sys.argv.pop().split()
atexit.register(lambda: print([name for name in heavy if name in sys.modules], file=sys.stderr))
from cli.main import main
main()
"""
# As an installed script, without the time that finding one costs.
COMMAND = f'#!/bin/sh\nexec "{sys.executable}" -c "from cli.main import main; main()" "$@"\n'
# What bash does when the tabulator is struck at the end of a line.
STRUCK = """
. ./script
COMP_WORDS=({line}) COMP_CWORD={at}
_b24pay_completion b24pay
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def completed(directory: Path, *words: str) -> list[str]:
    """What is offered for the last word."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "_B24PAY_COMPLETE": "bash_complete"}
    environ |= {"COMP_WORDS": " ".join(("b24pay", *words)), "COMP_CWORD": str(len(words))}
    command = [sys.executable, "-c", CODE, " ".join(HEAVY)]
    told = subprocess.run(command, env=environ, cwd=directory, capture_output=True, text=True, check=True)
    assert told.stderr.strip() == "[]", "imported while the user waits"
    return [line.partition(",")[2] for line in told.stdout.split()]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["in"], ["inspect"]),
        (["c"], ["cancel", "callback", "chaos", "completion"]),
        (["portal", "re"], ["remove", "resume"]),
        (["list", "--st"], ["--state"]),
        (["list", "--state", "p"], ["paid"]),
        (["token", "create", "shop", "--role", ""], ["producer", "viewer", "operator"]),
        (["retry", "--dry"], ["--dry-run"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
        (["no-such"], []),
    ],
    ids=" ".join,
)
def test_verbs_options_and_values_are_completed_at_once(tmp_path: Path, words: list[str], offered: list[str]):
    """Nothing that takes long to import is imported, and no server is asked."""
    assert completed(tmp_path, *words) == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_the_shell_s(shell: str, capsys: pytest.CaptureFixture[str]):
    """It asks this command, in its shell's own words."""
    assert run(["completion", shell]) == 0
    out, err = capsys.readouterr()
    assert f"_B24PAY_COMPLETE={shell}_complete" in out
    assert err == ""


def test_a_shell_that_is_not_known_is_refused(capsys: pytest.CaptureFixture[str]):
    """With the ones that are."""
    assert run(["completion", "csh"]) == 2
    assert "'bash', 'zsh', 'fish'" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_bash_completes_with_the_script(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """The script is sourced by a real bash and its function called as the tabulator calls it."""
    assert run(["completion", "bash"]) == 0
    (tmp_path / "script").write_text(capsys.readouterr().out)
    (tmp_path / "b24pay").write_text(COMMAND)
    (tmp_path / "b24pay").chmod(0o755)
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    struck = STRUCK.format(line="b24pay doubts resolve ID --as un", at=5)
    told = subprocess.run(
        ["bash", "--norc", "-c", struck], env=environ, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert told.stdout.split() == ["unpaid"]
