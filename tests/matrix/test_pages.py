"""The generated pages speak of the code as it is: a new failpoint or action cannot be forgotten."""

import ast
import re
from collections.abc import Iterator

from tests.house import ROOT
from tests.matrix.cases import POINTS, Action, all_cases
from tests.matrix.crash_page import LETTERS, NEVER, PAGE

BOXES = ("config", "tasks", "worker", "bitrix24", "ledger", "limiter", "cli", "chaos")
ENDING = re.compile(rf"[{''.join(LETTERS.values())}] \d+ s")


def failpoints() -> Iterator[str]:
    """The name in each `failpoint("name", ...)` of the boxes."""
    for box in BOXES:
        for path in (ROOT / box).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "failpoint":
                    [name, *_] = node.args
                    assert isinstance(name, ast.Constant), f"{path}: a failpoint's name is a literal"
                    yield str(name.value)


def test_the_matrix_has_every_failpoint_of_the_code() -> None:
    """None is missing, and none is left that is gone."""
    assert set(POINTS) == set(failpoints())


def test_the_crash_page_has_every_point_and_action_and_all_are_right() -> None:
    """A row for each point, a column for each action, an ending for each attempt."""
    rows = [line.strip("| ").split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("|")]
    titles, _, *table = rows
    assert titles[2:] == [str(action) for action in Action]
    assert [row[0].strip("`") for row in table] == list(POINTS)
    endings = [ending for row in table for cell in row[2:] if cell != NEVER for ending in cell.split(" · ")]
    assert [ending for ending in endings if not ENDING.fullmatch(ending)] == []
    assert len(endings) == len(all_cases())
