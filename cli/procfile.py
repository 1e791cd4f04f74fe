"""The Procfile: which processes the service consists of, and the command line of each."""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from cli.exits import CommandError, Exit

ROOT: Final = Path(__file__).resolve().parent.parent
PROCFILE: Final = ROOT / "Procfile"


def read_procfile(path: Path = PROCFILE) -> Mapping[str, list[str]]:
    """Process names and their command lines; raises CommandError where there is no Procfile."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        raise CommandError(
            "The Procfile, which says how a worker starts, is not here.",
            "Run this from a clone of the repository: `make demo`.",
            Exit.CONFIGURATION,
        ) from None
    processes = {}
    for line in lines:
        name, colon, command = line.partition(":")
        if colon and command.strip() and not name.startswith("#"):
            processes[name.strip()] = shlex.split(command)
    return processes


def command_of(name: str, path: Path = PROCFILE) -> list[str]:
    """The command line of one process, run by our own interpreter; raises CommandError where the Procfile has none."""
    command = read_procfile(path).get(name)
    if command is None:
        raise CommandError(f"The Procfile has no process {name}.", "Restore the line.", Exit.CONFIGURATION)
    # A system may have no program of the plain name, or another version under it.
    return [sys.executable, *command[1:]] if command[0] == "python" else command
