"""`python -m release 0.2.0`: see what a release would be; with `--really`, make it.

Everything happens in a clone, so a release that fails halfway leaves nothing here. Nothing is ever pushed.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import click

from release.artefacts import bill, build, findings, image
from release.checks import git, prepare, problems

ROOT: Final = Path(__file__).parent.parent


@click.command()
@click.argument("version")
@click.option("--really", is_flag=True, help="Commit, tag, and leave the files in dist/. Without it nothing stays.")
@click.option("--tests/--no-tests", default=True, help="Run `make test` in the clone.")
@click.option("--root", type=click.Path(file_okay=False, path_type=Path), default=ROOT, hidden=True)
def release(version: str, root: Path, *, really: bool, tests: bool) -> None:
    """Check this tree, build VERSION of it, and look into what was built."""
    _stop(list(problems(root, version)))
    with tempfile.TemporaryDirectory(prefix="b24pay-release-") as name:
        clone = Path(name) / "b24pay"
        git(root, "clone", "-q", str(root), str(clone))
        git(clone, "checkout", "-q", "--detach", git(root, "rev-parse", "HEAD"))
        prepare(clone, version)
        _commit(clone, root, version)
        if tests:
            _test(clone, root)
        made = build(clone, clone / "dist")
        _stop([finding for artefact in made for finding in findings(artefact, version)])
        made.append(bill(clone, clone / "dist" / f"b24pay-{version}.cdx.json"))
        for artefact in made:
            click.echo(f"{artefact.name}: {artefact.stat().st_size} bytes")
        click.echo(image(clone, version))
        if really:
            _keep(clone, root, version)
        else:
            click.echo("This was a rehearsal; nothing stays. The same with --really makes it.")


def _commit(clone: Path, root: Path, version: str) -> None:
    for name in ("user.name", "user.email"):
        git(clone, "config", name, git(root, "config", name))
    git(clone, "commit", "-qam", f"Release {version}")
    git(clone, "tag", "-a", f"v{version}", "-m", f"b24pay {version}")


def _test(clone: Path, root: Path) -> None:
    """The whole of `make test`, with the packages that are here already."""
    (clone / ".venv").symlink_to((root / ".venv").resolve())
    environ = {**os.environ, "PYTHONPATH": str(clone)}
    done = subprocess.run(["make", "test"], cwd=clone, env=environ, check=False)  # noqa: S607
    (clone / ".venv").unlink()
    _stop(["`make test` failed in a clean clone"] if done.returncode else [])


def _keep(clone: Path, root: Path, version: str) -> None:
    git(root, "fetch", "-q", str(clone), f"refs/tags/v{version}:refs/tags/v{version}")
    git(root, "merge", "-q", "--ff-only", f"v{version}")
    shutil.copytree(clone / "dist", root / "dist", dirs_exist_ok=True)
    click.echo(f"v{version} is committed and tagged; its files are in dist/. Next: git push --follow-tags")


def _stop(found: list[str]) -> None:
    if found:
        sys.exit("\n".join(["No release:", *(f"- {problem}" for problem in found)]))


if __name__ == "__main__":
    release()
