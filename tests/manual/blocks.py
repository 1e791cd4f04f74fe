"""The fenced blocks and links of the pages that people read."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>[\w-]*)[^\n]*\n(?P<text>.*?)^(?P=indent)```\s*$", re.MULTILINE | re.DOTALL
)

# Beginnings of lines that are parsed only (tests/manual/test_reading.py), and why.
ONLY_PARSED = {
    "git clone ": "from where is the reader's; tests/manual/test_manners.py clones",
    "cd b24pay": "the clone's folder",
    "make ": "tests/manual/test_reading.py finds the target; what it starts has tests of its own",
    ".venv/bin/pre-commit install": "tests/manual/test_manners.py runs the hooks, in a clone",
    "VERSION=0.2.0 make release": "tests/manual/test_manners.py rehearses it, in a clone",
    "docker compose ": "needs an engine and images: tests/deploy",
    "docker ": "needs an engine and images: tests/deploy",
    "deploy/compose/": "needs an engine: tests/deploy",
    "helm ": "needs a cluster: tests/deploy",
    "kubectl ": "needs a cluster: tests/deploy",
    "systemctl ": "needs a machine with systemd",
    "sudo ": "needs root",
    "pip install ": "installs; the packages are in the development requirements",
    "b24pay demo": "this test's own stage, and tests/integration/cli/test_demo.py",
    "b24pay chaos": "minutes: tests/acceptance/test_chaos.py",
    "celery -A worker flower": "tests/acceptance/test_celery_watchers.py",
    'grep \'"portal-07"': "the history of a storm that is not run here",
    "b24pay health --worker": "in a container: tests/deploy; `b24pay health` is run",
    ". .venv/bin/activate": "PATH has it already",
    ".venv/bin/b24pay demo": "this test's own stage",
}
# Pages that are still being written have these.
NOT_YET = {"helm ", "kubectl ", "systemctl ", "sudo ", "docker "}


@dataclass(frozen=True, slots=True)
class Block:
    """One block: its page from the root, the line of its fence, and what stands in it."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[str]:
    """Every Markdown file that a reader may meet, from the root."""
    places = ("*.md", "docs/**/*.md", "emulator/*.md", "deploy/**/*.md", ".github/**/*.md")
    return sorted(path.relative_to(ROOT).as_posix() for place in places for path in ROOT.glob(place))


def manual() -> list[str]:
    """README.md and what is under docs/: everything that tells a reader what to type."""
    return [name for name in pages() if name in ("README.md", "CONTRIBUTING.md") or name.startswith("docs/")]


def blocks(page: str) -> Iterator[Block]:
    """The fenced blocks of a page, without the indent that a list gives them."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for match in _FENCE.finditer(text):
        inner = re.sub(rf"^{match['indent']}", "", match["text"], flags=re.MULTILINE)
        yield Block(page, text.count("\n", 0, match.start()) + 1, match["language"], inner)


def without_blocks(page: str) -> str:
    """A page's prose."""
    return _FENCE.sub("", (ROOT / page).read_text(encoding="utf-8"))


def anchors(page: str) -> set[str]:
    """What a link to a heading of this page may name, as GitHub and the site make it."""
    headings = re.findall(r"^#+ +(.+?) *$", without_blocks(page), re.MULTILINE)
    made: dict[str, int] = {}
    for heading in headings:
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").replace("*", "").lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        made[slug] = made.get(slug, 0) + 1
    return {slug if n == 0 else f"{slug}-{n}" for slug, times in made.items() for n in range(times)}


def coming() -> set[str]:
    """Pages that the site's navigation has a place for, and that may not be there yet."""
    listed = re.search(r"^  coming: \[([^\]]*)\]", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    return set(re.findall(r"[\w.]+", listed[1])) if listed else set()


def links(page: str) -> Iterator[str]:
    """Every target of a page's links and pictures."""
    text = re.sub(r"`[^`\n]*`", "", without_blocks(page))
    yield from re.findall(r"\]\(([^)\s]+)(?: [^)]*)?\)", text)
    yield from re.findall(r"^\[[^\]]+\]: (\S+)", text, re.MULTILINE)
