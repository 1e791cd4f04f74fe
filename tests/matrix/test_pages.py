"""The generated pages speak of the code as it is: a new failpoint or action cannot be forgotten."""

import ast
import re
from collections.abc import Iterator

from tests.house import ROOT
from tests.matrix.byte_page import BYTE_PAGE, HOW
from tests.matrix.cases import POINTS, Action, all_cases
from tests.matrix.crash_page import LETTERS, NEVER, PAGE

BOXES = ("config", "tasks", "worker", "web", "bitrix24", "ledger", "limiter", "cli", "chaos", "callbacks")
# Points that tests of their own are armed with.
ELSEWHERE = {
    "renewal.answered": "tests/acceptance/test_applications.py",
    "callback.sent": "tests/integration/callbacks/test_killed_couriers.py",
    "web.begun": "tests/integration/web/test_audit_kills.py",
    "web.changed": "tests/integration/web/test_audit_kills.py",
}
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
    """None is missing, and none is left that is gone. What tests of their own are armed with is no payment's."""
    assert set(POINTS) | set(ELSEWHERE) == set(failpoints())
    assert [point for point, test in ELSEWHERE.items() if f'"{point}"' not in (ROOT / test).read_text()] == []


def test_the_crash_page_has_every_point_and_action_and_all_are_right() -> None:
    """A row for each point, a column for each action, an ending for each attempt."""
    rows = [line.strip("| ").split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("|")]
    titles, _, *table = rows
    assert titles[2:] == [str(action) for action in Action]
    assert [row[0].strip("`") for row in table] == list(POINTS)
    endings = [ending for row in table for cell in row[2:] if cell != NEVER for ending in cell.split(" · ")]
    assert [ending for ending in endings if not ENDING.fullmatch(ending)] == []
    assert len(endings) == len(all_cases())


def test_the_byte_page_has_every_cut_and_all_are_right() -> None:
    """Each offset from 0 on, in both directions, with both endings."""
    rows = [line.strip("| ").split(" | ") for line in BYTE_PAGE.read_text().splitlines() if line.startswith("|")]
    offsets: dict[tuple[str, str], list[int]] = {}
    for place, ending, between, *_, wrong in rows[2:]:
        assert wrong == "0"
        first, last = map(int, between.split("-"))
        offsets.setdefault((place.partition(",")[0], ending), []).extend(range(first, last + 1))
    assert set(offsets) == {(name, how) for name in ("request", "reply") for how in HOW.values()}
    assert all(found == list(range(len(found))) for found in offsets.values())
