"""Every made file of docs/: whole pages, the picture, and the sections inside pages that people write."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cli import reference
from manual import codes, configuration, reasons, states
from manual.markdown import code, table, with_section
from metrics.table import TABLE as METRICS
from metrics.table import Source

DOCS: Final = Path(__file__).parent.parent / "docs"
# Folders that hold nothing but made files, and patterns of them elsewhere.
MADE: Final = ("schemas/*.json", "runbook/held/*.md", "commands.md", "states.svg")


def files() -> dict[str, str]:
    """Every made file by its path below docs/."""
    return {
        **reference.files(),
        **reasons.files(),
        "states.svg": states.picture(),
        **sections(),
    }


def stale() -> list[str]:
    """The made files that are not what the code says now, or that nothing makes any more."""
    made = files()
    found = {path.relative_to(DOCS).as_posix() for pattern in MADE for path in DOCS.glob(pattern)}
    there = {name for name in made if (DOCS / name).is_file()}
    changed = {name for name in there if (DOCS / name).read_text(encoding="utf-8") != made[name]}
    return sorted((found - set(made)) | (set(made) - there) | changed)


def sections() -> dict[str, str]:
    """The pages with made sections, as they should stand."""
    made = {
        "configuration.md": configuration.sections(),
        "error_codes.md": codes.sections(),
        "state_machine.md": {"arrows": states.arrows(), "legend": states.legend()},
        "metrics.md": {source.value: _metrics(source) for source in Source},
        "operating.md": {"alarms": table(["alarm", "means"], _alarms()), "held reasons": reasons.index()},
        "decisions/README.md": {"decisions": table(["number", "decision"], _decisions())},
    }
    return {path: _with_all(path, texts) for path, texts in made.items()}


def _with_all(path: str, texts: dict[str, str]) -> str:
    page = (DOCS / path).read_text(encoding="utf-8")
    for name, text in texts.items():
        page = with_section(page, name, text)
    return page


def _metrics(source: Source) -> str:
    rows = (
        [code(row.name), row.kind.value, row.unit, ", ".join(row.labels), row.help]
        for row in METRICS
        if row.source is source
    )
    return table(["metric", "type", "unit", "labels", "means"], rows)


def _alarms() -> Iterator[tuple[str, str]]:
    """Each page of the runbook with the first sentence of its symptom."""
    for path in sorted((DOCS / "runbook").glob("*.md")):
        symptom = path.read_text(encoding="utf-8").partition("## Symptom\n")[2].partition("\n\n")[0]
        first = re.split(r"(?<=[.:])\s", " ".join(symptom.split()))[0].rstrip(":")
        yield f"[{path.stem}](runbook/{path.name})", first


def _decisions() -> Iterator[tuple[str, str]]:
    for path in sorted((DOCS / "decisions").glob("[0-9]*.md")):
        number, title = re.fullmatch(r"# (\d+):? (.*)", path.read_text(encoding="utf-8").partition("\n")[0]).groups()  # type: ignore[union-attr]
        yield number, f"[{title}]({path.name})"
