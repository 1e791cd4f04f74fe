"""The tables of docs/error_codes.md: what answers mean for payments and lanes, from the table that decides it."""

from collections.abc import Iterable, Iterator
from typing import Final

from bitrix24.classification import TABLE, Row
from bitrix24.errors import Effect, Fate
from ledger.holds import OPERATOR
from manual.markdown import code, table
from manual.reasons import condition
from tasks.result import CANCELLED

FATES: Final = {
    Fate.NOT_RUN: "queued again, no attempt spent",
    Fate.REFUSED: "`failed`",
    Fate.REFUSED_IF_UNPAID: "read back: `paid`, or `failed`",
    Fate.UNKNOWN: "`in_doubt`, read back before anything is sent again",
}
EFFECTS: Final = {
    Effect.GO_ON: "goes on",
    Effect.RATE: "pauses a moment; its pace is learnt anew",
    Effect.EXECUTION: "pauses until execution time is free",
    Effect.BACKOFF: "pauses, longer each time",
    Effect.REFRESH: "renews the access token, then goes on",
    Effect.SINGLY: "sends payments one by one",
    Effect.MOVED: "follows the portal to its new address",
    Effect.HOLD: "is **held** for a person",
}
# Codes that are ours: what they mean and what to do. `metrics.codes` has the same set; a test compares them.
OURS: Final = {
    "ACCEPTED_NOT_PAID": (
        "`failed`: the portal said `true`, and the invoice was read as unpaid",
        (
            "A call cannot pay by a paper pay system (bill, cash). Choose one that `b24pay portal check KEY` lists as "
            "paying and request the payment again, or pay by hand."
        ),
    ),
    "NO_ANSWER": (
        "`failed`: five attempts without an answer, each read back as unpaid",
        "See how the portal stands; then `b24pay retry ID`: it is read first, and sent only if it is still unpaid.",
    ),
    "WORKER_DIED": (
        "`failed`: three workers died paying it, and it was read as unpaid",
        "Look into the workers' logs, mend the reason, then `b24pay retry ID`.",
    ),
    "RESOLVED_UNPAID": (
        "`failed`: a person looked into the portal and said that it is unpaid",
        "`b24pay retry ID` when it is to be paid: it is read first.",
    ),
    "NOT_READABLE": (
        "stays `in_doubt`: the read-back did not show the invoice",
        (
            "Look for it in the portal. If it is there, give the credential's user the right to read it, then "
            "`b24pay doubts verify ID`; else `b24pay doubts resolve`."
        ),
    ),
    CANCELLED.code: ("`cancelled`: withdrawn before anything was sent", "Nothing."),
    "NO_CODE": ("as the portal's text and status say", "Read the text: `b24pay inspect ID`."),
    "ANOTHER_PORTAL": ("waits; the lane is held", "[Held: ANOTHER_PORTAL](runbook/held/ANOTHER_PORTAL.md)"),
    "APP_UNINSTALLED": ("waits; the lane is held", "[Held: APP_UNINSTALLED](runbook/held/APP_UNINSTALLED.md)"),
    OPERATOR: ("waits; the lane is held", "[Held: OPERATOR](runbook/held/OPERATOR.md)"),
}
_COLUMNS: Final = ("code", "where", "the payment", "its lane", "what to do")


def sections() -> dict[str, str]:
    """The page's tables."""
    ours = ([code(name), *texts] for name, texts in OURS.items())
    return {
        "portal's codes": table(_COLUMNS, _coded()),
        "without a code": table(["answer", *_COLUMNS[2:]], _uncoded()),
        "our codes": table(["code", "the payment", "what to do"], ours),
    }


def _coded() -> Iterator[tuple[str, ...]]:
    for row in TABLE:
        names = [name for name in row.codes if name]
        if names:
            yield _codes(names, row), _where(row), *_meaning(row)


def _uncoded() -> Iterator[tuple[str, ...]]:
    for row in TABLE:
        if not [name for name in row.codes if name]:
            status = _statuses(row.status)
            yield " ".join(filter(None, (status, condition(row)))) or "anything else", *_meaning(row)


def _codes(names: Iterable[str], row: Row) -> str:
    if row.means.effect is Effect.HOLD:
        return ", ".join(f"[`{name}`](runbook/held/{name}.md)" for name in names)
    return ", ".join(map(code, names))


def _where(row: Row) -> str:
    return " ".join(filter(None, (_statuses(row.status), condition(row))))


def _statuses(found: Iterable[int]) -> str:
    numbers = list(found)
    if isinstance(found, range):
        return f"HTTP {numbers[0]} to {numbers[-1]}"
    return f"HTTP {', '.join(map(str, numbers))}" if numbers else ""


def _meaning(row: Row) -> tuple[str, str, str]:
    fate = _READING if row.reading else FATES[row.means.fate]
    return fate, EFFECTS[row.means.effect], row.means.remedy or _NOTHING[row.means.fate]


_READING: Final = "no proof: a doubt stays; where reading is not permitted, `true` counts (`evidence: response`)"
_NOTHING: Final = {
    Fate.NOT_RUN: "Nothing; it goes on by itself.",
    Fate.REFUSED: "Read the text, mend the request, and request the payment anew.",
    Fate.REFUSED_IF_UNPAID: "Read the text, mend the cause, then `b24pay retry ID`.",
    Fate.UNKNOWN: "Nothing, unless it stays in doubt: `b24pay doubts`.",
}
