"""The files that people of a hosting site meet: forms, workflows and hooks that work, and a release that is clean."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from release.artefacts import bill, build, findings
from release.checks import current, git, prepare, problems
from tests.manual.blocks import ROOT

BIN = Path(sys.executable).parent
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = sorted(path for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")


def fits(name: str, path: Path) -> None:
    """A file fits the schema of GitHub's that check-jsonschema brings along; its command takes seconds to start."""
    schemas = resources.files("check_jsonschema") / "builtin_schemas" / "vendor"
    # To YAML 1.1 `on` is a truth; GitHub reads 1.2.
    document = {"on" if key is True else key: value for key, value in yaml.safe_load(path.read_text()).items()}
    jsonschema.validate(document, json.loads((schemas / f"{name}.json").read_text()))


def test_workflows_and_forms_fit_their_schemas() -> None:
    """GitHub would take them."""
    for path in WORKFLOWS:
        fits("github-workflows", path)
    for path in FORMS:
        fits("github-issue-forms", path)
    fits("github-issue-config", GITHUB / "ISSUE_TEMPLATE" / "config.yml")


def test_a_wrong_workflow_does_not_fit(tmp_path: Path) -> None:
    """The schema bites."""
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(WORKFLOWS[0].read_text().replace("runs-on:", "run-on:"))
    with pytest.raises(jsonschema.ValidationError):
        fits("github-workflows", wrong)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_takes_no_rights_and_pins_its_actions(path: Path) -> None:
    """Read alone, an end in time, and a commit's whole hash with its version beside it."""
    text = path.read_text()
    workflow: dict[str, Any] = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    assert all(job["timeout-minutes"] <= 120 for job in workflow["jobs"].values())
    used = re.findall(r"uses: (\S+)(.*)", text)
    assert used
    assert all(re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", name) for name, _ in used)
    assert all(re.fullmatch(r" # v\d+\.\d+\.\d+", version) for _, version in used)


def test_the_workflow_is_what_continuous_integration_runs() -> None:
    """`.ci/run`, on every minor version between the least one and the newest that is tried."""
    [job] = yaml.safe_load((GITHUB / "workflows" / "tests.yml").read_text())["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    least = re.search(r'requires-python = ">=(\d+\.\d+)"', (ROOT / "pyproject.toml").read_text())
    assert least
    assert job["strategy"]["matrix"]["python"] == [least[1], "3.12", "3.13"]


def test_hooks_are_ours_alone() -> None:
    """Nothing is fetched: the tools of .venv, whose hashes are locked."""
    repositories = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repository["repo"] for repository in repositories] == ["local"]
    hooks = [hook for repository in repositories for hook in repository["hooks"]]
    assert all(hook["entry"].startswith(".venv/bin/") and hook["language"] == "system" for hook in hooks)


@pytest.fixture
def clone() -> Iterator[Path]:
    """A clean clone of what is here, changes that are not committed included.

    Not where pytest keeps its files: these are searched for secrets, and the sources of tests name the planted ones.
    """
    with tempfile.TemporaryDirectory(prefix="b24pay-clone-") as name:
        yield _cloned(Path(name) / "b24pay")


def _cloned(there: Path) -> Path:
    git(ROOT, "clone", "-q", str(ROOT), str(there))
    for name in git(ROOT, "ls-files", "-mo", "--exclude-standard").splitlines():
        if (ROOT / name).is_file():
            (there / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, there / name)
        else:
            (there / name).unlink(missing_ok=True)
    for name in ("user.name", "user.email"):
        git(there, "config", name, "person@example.com")
    git(there, "add", "-A")
    git(there, "commit", "-q", "--allow-empty", "-m", "As it is")
    return there


@pytest.mark.whole
def test_all_hooks_pass_in_a_clone(clone: Path, tmp_path: Path) -> None:
    """What a contributor's first commit runs finds nothing to say."""
    (clone / ".venv").symlink_to(BIN.parent)
    environ = {**os.environ, "PRE_COMMIT_HOME": str(tmp_path / "hooks"), "PYTHONPATH": str(clone)}
    command = [str(BIN / "pre-commit"), "run", "--all-files"]
    done = subprocess.run(command, cwd=clone, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_a_release_tells_every_problem_at_once(clone: Path) -> None:
    """No version, an untidy tree, a tag that is there, a changelog without news, a file that was forgotten."""
    assert [text for text in problems(clone, "1") if "no version" in text]
    assert list(problems(clone, "9.0.0")) == []
    (clone / "untidy").write_text("")
    git(clone, "tag", "-a", "v9.0.0", "-m", "9")
    changelog, compose = clone / "CHANGELOG.md", clone / "docker-compose.yml"
    changelog.write_text("# Changelog\n\n## [Unreleased]\n\n## [0.0.1] - 2026-01-01\n- Old\n")
    compose.write_text(compose.read_text().replace(f"b24pay:{current(clone)}", "b24pay:0.0.9", 1))
    told = " / ".join(problems(clone, "9.0.0"))
    assert all(part in told for part in ("not committed", "v9.0.0", "nothing under", "docker-compose.yml says 0.0.9"))
    assert "is not after" in " / ".join(problems(clone, current(clone)))


@pytest.mark.whole
def test_a_release_is_clean_and_complete(clone: Path) -> None:
    """Version everywhere, the day in the changelog, code and scripts and nothing else, and a list of what is in it."""
    prepare(clone, "9.0.0")
    assert current(clone) == "9.0.0"
    assert re.search(r"^## \[9\.0\.0\] - \d{4}-\d\d-\d\d$", (clone / "CHANGELOG.md").read_text(), re.MULTILINE)
    made = build(clone, clone / "dist")
    assert [path.name for path in made] == ["b24pay-9.0.0-py3-none-any.whl", "b24pay-9.0.0.tar.gz"]
    assert [finding for path in made for finding in findings(path, "9.0.0")] == []
    components = json.loads(bill(clone, clone / "dist" / "bill.json").read_text())["components"]
    assert {"celery", "redis", "aiohttp", "jinja2"} <= {each["name"] for each in components}
    with zipfile.ZipFile(made[0], "a") as wheel:
        wheel.writestr("tests/test_it.py", f"TOKEN = 'b24t_{'0' * 12}_{'0' * 64}'")
    assert len(list(findings(made[0], "9.0.0"))) == 2


@pytest.mark.whole
def test_a_rehearsal_leaves_nothing_and_a_release_a_tag(clone: Path) -> None:
    """Without --really the repository is as it was; with it there is one commit more, its tag, and the files."""
    command = [sys.executable, "-m", "release", "9.0.0", "--no-tests", "--root", str(clone)]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{BIN}{os.pathsep}/usr/bin:/bin"}
    before = git(clone, "rev-parse", "HEAD")
    rehearsal = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert rehearsal.returncode == 0, rehearsal.stderr
    assert "rehearsal" in rehearsal.stdout
    assert (git(clone, "rev-parse", "HEAD"), git(clone, "tag", "--list"), git(clone, "status", "--porcelain")) == (
        before,
        "",
        "",
    )
    done = subprocess.run([*command, "--really"], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert git(clone, "rev-parse", "v9.0.0^{commit}") == git(clone, "rev-parse", "HEAD") != before
    assert git(clone, "log", "-1", "--format=%s") == "Release 9.0.0"
    assert len(list((clone / "dist").iterdir())) == 3
