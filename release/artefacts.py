"""What a release gives away: source and wheel, looked into; the list of everything that is in it; and the image."""

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

# Folders and files that a reader of the package has no business with.
_NEVER: Final = re.compile(
    r"(?:^|/)(?:tests|benchmarks|manual|release|docs|\.git|\.github|\.venv|build)/|(?:^|/)\.env$|\.(?:pem|key)$"
)
# What a secret looks like: a Fernet key, a token of ours, a webhook of a portal's.
_SECRET: Final = re.compile(
    rb"\bb24t_[0-9a-f]{12}_[0-9a-f]{64}\b|https://[\w.-]+/rest/\d+/[a-z0-9]{16}/|-----BEGIN [A-Z ]*PRIVATE KEY"
)
# The standard's hooks of the locked setuptools, each in a process of its own: they leave the interpreter changed.
_BUILD: Final = "import sys; from setuptools import build_meta as hooks; getattr(hooks, sys.argv[1])(sys.argv[2])"


def build(root: Path, to: Path) -> list[Path]:
    """Source and wheel of a tree; raises CalledProcessError."""
    to.mkdir(parents=True, exist_ok=True)
    for hook in ("build_sdist", "build_wheel"):
        _run([sys.executable, "-c", _BUILD, hook, str(to)], root)
    return sorted([*to.glob("*.tar.gz"), *to.glob("*.whl")])


def bill(root: Path, to: Path) -> Path:
    """The list of all packages with versions and hashes (CycloneDX), of what runs."""
    command = ["cyclonedx-py", "requirements", "requirements.txt", "--pyproject", "pyproject.toml"]
    _run([str(Path(sys.executable).parent / command[0]), *command[1:], "--output-reproducible", "-o", str(to)], root)
    return to


def image(root: Path, version: str) -> str:
    """Build the container's image where there is an engine; a sentence about it."""
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "info"], capture_output=True, check=False).returncode:  # noqa: S603
        return "image: NOT built, there is no Docker engine here"
    _run([docker, "build", "-q", "-t", f"b24pay:{version}", "."], root)
    return f"image: b24pay:{version}"


def findings(artefact: Path, version: str) -> Iterator[str]:
    """What must not be given away, or is missing."""
    names = []
    for name, content in _files(artefact):
        names.append(name)
        if _NEVER.search(name):
            yield f"{artefact.name} has {name}"
        if _SECRET.search(content):
            yield f"{artefact.name}: {name} has what looks like a secret"
    if version not in artefact.name:
        yield f"{artefact.name} is not version {version}"
    for needed in ("worker/driver.py", "ledger/redis/lua/claim.lua", "cli/main.py"):
        if not any(name.endswith(needed) for name in names):
            yield f"{artefact.name} lacks {needed}"


def _files(artefact: Path) -> Iterator[tuple[str, bytes]]:
    if artefact.suffix == ".whl":
        with zipfile.ZipFile(artefact) as wheel:
            yield from ((name, wheel.read(name)) for name in wheel.namelist())
        return
    with tarfile.open(artefact) as source:
        for member in source:
            file = source.extractfile(member)
            if file is not None:
                yield member.name.partition("/")[2], file.read()


def _run(command: list[str], root: Path) -> None:
    subprocess.run(command, cwd=root, stdout=subprocess.DEVNULL, check=True)  # noqa: S603 - our own commands
