"""What must be right before a version is given away; every problem is told, not the first one."""

import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

_VERSION: Final = re.compile(r"(\d+)\.(\d+)\.(\d+)")
# Where the version stands: file -> what stands before it. A file that is not there (yet) is passed over.
PLACES: Final = {
    "pyproject.toml": r'^version = "',
    "docker-compose.yml": r"\bb24pay:",
    "deploy/helm/b24pay/Chart.yaml": r'^(?:appVersion: "?|version: )',
}
UNRELEASED: Final = "## [Unreleased]"


def git(root: Path, *words: str) -> str:
    """What git says; raises CalledProcessError."""
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True)  # noqa: S603, S607
    return done.stdout.strip()


def current(root: Path) -> str:
    """The version that the project has now."""
    found = re.search(rf"{PLACES['pyproject.toml']}([^\"]+)", (root / "pyproject.toml").read_text(), re.MULTILINE)
    return found[1] if found else ""


def problems(root: Path, version: str) -> Iterator[str]:
    """Why this version cannot be made of this tree."""
    if not _VERSION.fullmatch(version):
        yield f"{version!r} is no version: three numbers with dots between them, for example 0.2.0"
        return
    if _numbers(version) <= _numbers(current(root)) and git(root, "tag", "--list"):
        yield f"{version} is not after {current(root)}"
    if git(root, "status", "--porcelain"):
        yield "there are changes that are not committed: commit or drop them"
    if git(root, "tag", "--list", f"v{version}"):
        yield f"the tag v{version} is there already"
    yield from _of_changelog((root / "CHANGELOG.md").read_text(encoding="utf-8"), version)
    yield from _of_places(root)


def _numbers(version: str) -> tuple[int, ...]:
    found = _VERSION.fullmatch(version)
    return tuple(map(int, found.groups())) if found else ()


def _of_changelog(text: str, version: str) -> Iterator[str]:
    if f"## [{version}]" in text:
        yield f"CHANGELOG.md has a heading for {version} already: leave that to the release"
    section = text.partition(UNRELEASED)[2].partition("\n## [")[0]
    if not re.search(r"^- ", section, re.MULTILINE):
        yield f"CHANGELOG.md has nothing under {UNRELEASED}: tell producers and operators what has changed"


def _of_places(root: Path) -> Iterator[str]:
    before = current(root)
    for name, pattern in PLACES.items():
        path = root / name
        if not path.is_file():
            continue
        said = set(re.findall(rf'{pattern}(\d[^"\s}}]*)', path.read_text(encoding="utf-8"), re.MULTILINE))
        if said != {before}:
            yield f"{name} says {', '.join(sorted(said)) or 'no version'}, and pyproject.toml {before}"


def prepare(root: Path, version: str) -> None:
    """Write the version into every place, and the day into the changelog."""
    for name, pattern in PLACES.items():
        path = root / name
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            path.write_text(
                re.sub(rf'({pattern})\d[^"\s}}]*', rf"\g<1>{version}", text, flags=re.MULTILINE), encoding="utf-8"
            )
    changelog = root / "CHANGELOG.md"
    today = datetime.now(tz=UTC).date().isoformat()
    text = changelog.read_text(encoding="utf-8")
    changelog.write_text(text.replace(UNRELEASED, f"{UNRELEASED}\n\n## [{version}] - {today}", 1), encoding="utf-8")
