"""Every event that the code writes is a row of docs/events.md, with its level."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BOXES = ("config", "tasks", "worker", "bitrix24", "ledger", "limiter", "web", "metrics", "callbacks")
LEVELS = {"debug": "debug", "info": "info", "warning": "warning", "error": "error", "exception": "error"}


def written() -> Iterator[tuple[str, str]]:
    """Event and level of each `log.<level>("event", ...)` in the boxes."""
    for box in BOXES:
        for path in (ROOT / box).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS:
                    if not (isinstance(node.func.value, ast.Name) and node.func.value.id == "log"):
                        continue
                    [event, *_] = node.args
                    assert isinstance(event, ast.Constant), f"{path}: an event is a literal"
                    yield str(event.value), LEVELS[node.func.attr]


def test_the_page_lists_exactly_the_events_of_the_code() -> None:
    """No event is undocumented, and no row describes one that is gone."""
    page = (ROOT / "docs" / "events.md").read_text()
    rows = set(re.findall(r"^\| `([a-z_.]+)` \| (\w+) \|", page, re.MULTILINE))
    assert rows == set(written())
