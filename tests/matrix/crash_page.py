"""docs/crash_matrix.md: what the run of the whole matrix has shown."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from tests.house import ROOT
from tests.matrix.cases import POINTS, UNDER_WAY, Action
from tests.matrix.round import Outcome

PAGE: Final[Path] = ROOT / "docs" / "crash_matrix.md"
LETTERS: Final = {
    "paid as answered": "A",
    "sent, paid as answered": "S",
    "read back as paid": "P",
    "read back as unpaid, sent again": "U",
}
NEVER: Final = "-"
WRONG: Final = "WRONG"

HEAD: Final = """# Crash matrix

Written by `make matrix`; `tests/matrix/test_pages.py` holds its rows against the failpoints of the code. A real worker
process (`Procfile`), a real server and an emulated portal for each case; a process that reaches the point stands still,
and then that is done to it what the column says.

- **SIGKILL** of the worker's child; the supervisor starts another. A producer is run again with the same key.
- **SIGSTOP, SIGCONT**: it is woken when its lease is long over and other workers have settled everything without it.
- **exception**: the point raises.
- **Redis down 2 s**: the server gets SIGKILL, the process goes on without it, and 2 s later it is back.
- **connection reset**: all connections to Redis are killed; at `call.*` the one to the portal is reset as well.
- **SIGTERM** to the supervisor while a call is under way; the worker must end with 0.

Each cell is the first and the second attempt: how the payments ended, and seconds from the harm to the verdict and its
result, with the timings of the tests (calls 3 s, leases 4 s, quiet time 9 s). In the second attempt, the first was lost
without an answer and read back as unpaid; at `producer.*` the request is made a second time, at `admission.*` it comes
again as a message while the payment is in doubt; at `reading.*` the first attempt had not been executed and the second
had.

- **A** paid as answered: the call that was under way, or had been answered, brought the verdict
- **S** sent, paid as answered: nothing had left; the call was made afterwards
- **P** read back as paid: the answer was lost, the portal was asked and proved it
- **U** read back as unpaid, sent again: the portal was asked before the call was repeated

Right means: every payment `paid` with evidence `read_back`, every producer's result agrees, the portal counts one
effect for each invoice and neither doubles, repeats nor overlaps, no call came again before a read that came after it,
and a further payment of the same lane was paid.
"""


def crash_page(outcomes: Sequence[Outcome]) -> str:
    """The page."""
    wrong = sum(bool(outcome.wrong) for outcome in outcomes)
    total = f"\n{len(outcomes)} cases, {len(outcomes) - wrong} right, {wrong} wrong.\n"
    titles = ["point", "there", *Action]
    table = [_row(titles), _row(["---"] * len(titles))]
    for point, about in POINTS.items():
        table.append(_row([f"`{point}`", about.meaning, *(_cell(outcomes, point, action) for action in Action)]))
    return "\n".join([HEAD + total, *table, ""])


def _cell(outcomes: Sequence[Outcome], point: str, action: Action) -> str:
    if action is Action.TERM and point not in UNDER_WAY:
        return NEVER
    ended = [each for each in outcomes if each.case.point == point and each.case.action is action]
    return " · ".join(_ending(each) for each in sorted(ended, key=lambda each: each.case.attempt))


def _ending(outcome: Outcome) -> str:
    return WRONG if outcome.wrong else f"{LETTERS[outcome.how]} {outcome.took_s:.0f} s"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
