"""The site is built strictly, is whole by itself, and a dead link fails it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.manual.blocks import ROOT

pytestmark = pytest.mark.whole
MKDOCS = Path(sys.executable).parent / "mkdocs"


def build(root: Path, to: Path) -> "subprocess.CompletedProcess[str]":
    """`make site`, elsewhere."""
    environ = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(root)}
    command = [str(MKDOCS), "build", "--strict", "--site-dir", str(to)]
    return subprocess.run(command, cwd=root, env=environ, capture_output=True, text=True, check=False)


def test_the_site_is_whole_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    """No script, style, font or picture has an address of another host; what pages link to outside docs/ is there."""
    done = build(ROOT, tmp_path / "site")
    assert done.returncode == 0, done.stdout + done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 100
    loaded = re.compile(
        r"<(?:script|img|iframe|link[^>]*rel=\"?(?:stylesheet|preconnect|icon))[^>]*(?:src|href)=\"?(?:https?:)?//"
    )
    assert [page.name for page in pages if loaded.search(page.read_text(encoding="utf-8"))] == []
    assert (tmp_path / "site" / "source" / "deploy" / "prometheus" / "alerts.yml.txt").is_file()


@pytest.mark.parametrize(
    "link",
    ["[dead](nowhere.md)", "[dead](concepts.md#no-such-heading)", "[dead](../nowhere.py)"],
    ids=["page", "anchor", "outside"],
)
def test_a_dead_link_fails_the_site(tmp_path: Path, link: str) -> None:
    """In docs/, to a heading, and out of docs/."""
    for name in ("docs", "manual"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ("mkdocs.yml", "README.md", "SECURITY.md", "CONTRIBUTING.md"):
        shutil.copy2(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    assert build(tmp_path, tmp_path / "site").returncode == 0
    faq = tmp_path / "docs" / "faq.md"
    faq.write_text(f"{faq.read_text()}\n{link}\n")
    done = build(tmp_path, tmp_path / "site")
    assert done.returncode != 0
    assert "nowhere" in done.stderr or "no-such-heading" in done.stderr
