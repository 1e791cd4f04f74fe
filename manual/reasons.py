"""docs/runbook/held/: a page for each reason that a lane is held for, from the table that decides it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bitrix24 import remedies
from bitrix24.classification import TABLE, Body, Credential, Row, Where
from bitrix24.errors import Effect, Meaning, Refused
from bitrix24.mending import may_be_probed
from manual.advice import ADVICE, APP_UNINSTALLED, OPERATOR, Advice
from manual.markdown import code, table

# What holds a lane beside the table's rows: a person, the removal of an application, and tokens of another portal.
_BESIDE: Final = {
    OPERATOR: ("", "a person: `b24pay portal hold`, or `POST /v1/portals/{key}/hold`"),
    APP_UNINSTALLED: ("", "the event that the application was removed (`OnAppUninstall`)"),
    "ANOTHER_PORTAL": (remedies.ANOTHER_PORTAL, "the token server's answer names another portal"),
}
# The code asks for single calls; as the answer to one it makes no sense, and asking again would never end.
_NONSENSE: Final = "to a call that was single already"
_PLACES: Final = {
    Where.BEFORE_SEND: "before a byte has left: no address, no connection",
    Where.CERTIFICATE: "before a byte has left: the certificate is not accepted",
    Where.AFTER_SEND: "it has left, and no whole reply came",
    Where.REPLY: "a whole reply",
    Where.COMMAND: "of a command in a batch",
    Where.SKIPPED: "a command that the batch has skipped after an earlier error",
    Where.MISSING: "a command that the batch's answer does not mention",
    Where.REFRESH: "from the token server",
}
_PAID_WITH: Final = {Credential.WEBHOOK: "to a webhook", Credential.OAUTH: "to an application"}
_BODIES: Final = {
    Body.ERROR: "with an `error`",
    Body.JSON: "that is neither a result nor an error",
    Body.OTHER: "whose body is no JSON",
}
# Only whoever held it, or whoever gives new tokens, lets it go on.
_NO_PROBE: Final = frozenset({OPERATOR, APP_UNINSTALLED})


@dataclass(frozen=True, slots=True)
class Reason:
    """One code that a lane is held for, and every way to it: conditions and remedies of the table, in its order."""

    code: str
    ways: tuple[tuple[str, str], ...]  # (remedy, condition)

    @property
    def is_probed(self) -> bool:
        """Whether a look may resume the lane without a person."""
        meaning = Meaning(next(row.means.fate for row in TABLE), Effect.HOLD)
        return self.code not in _NO_PROBE and may_be_probed(Refused(self.code, "", meaning=meaning, method=""))

    @property
    def advice(self) -> list[Advice]:
        """What was written about its remedies, each once; last what its code alone means."""
        return [ADVICE[name] for name in dict.fromkeys(remedy or self.code for remedy, _ in self.ways)]


def reasons() -> list[Reason]:
    """Every reason there is, sorted by its code."""
    ways: dict[str, list[tuple[str, str]]] = {name: [way] for name, way in _BESIDE.items()}
    for row in TABLE:
        for name in row.codes or [f"HTTP_{status}" for status in row.status]:
            if row.means.effect is Effect.HOLD:
                ways.setdefault(name, []).append((row.means.remedy, condition(row)))
            if row.means.effect is Effect.SINGLY and not row.in_batch:
                ways.setdefault(name, []).append((remedies.CHECK, _NONSENSE))
    return [Reason(name, tuple(found)) for name, found in sorted(ways.items())]


def condition(row: Row) -> str:
    """When a row speaks, in words; empty where its code alone decides."""
    said = [
        *(_PLACES[where] for where in row.where),
        *(["of a read-back"] if row.reading else []),
        *([f"with a text like `{row.text}`"] if row.text else []),
        *([_PAID_WITH[row.credential]] if row.credential else []),
        *(_BODIES[body] for body in row.body),
        *(["to a batch"] if row.in_batch else []),
        *(["that leads to another address of a portal"] if row.moved else []),
    ]
    return " ".join(said)


def files() -> dict[str, str]:
    """The pages by their paths below docs/."""
    return {f"runbook/held/{reason.code}.md": _page(reason) for reason in reasons()}


def index() -> str:
    """The table of all reasons, for the page about operating."""
    head = ["held for", "means", "who mends it", "goes on by itself"]
    rows = (
        [
            f"[`{each.code}`](runbook/held/{each.code}.md)",
            each.advice[-1].means,
            each.advice[-1].mends,
            _by_itself(each),
        ]
        for each in reasons()
    )
    return table(head, rows)


def _by_itself(reason: Reason) -> str:
    return "yes, when a look finds it mended" if reason.is_probed else "no"


def _page(reason: Reason) -> str:
    parts = [
        f"# Held: {reason.code}\n",
        "Written by `python -m manual` from the table of answers and `manual/advice.py`.\n",
    ]
    parts += [table(["code", code(reason.code)], _facts(reason)), "", "## What is safe\n", _SAFE]
    remedies_of = dict.fromkeys(remedy for remedy, _ in reason.ways)
    for remedy in remedies_of:
        title = "What it means" if len(remedies_of) == 1 else _title(reason, remedy)
        parts += _way(title, remedy, ADVICE[remedy or reason.code], reason)
    return "\n".join(parts).rstrip() + "\n"


_SAFE: Final = """Payments of a held lane stay queued; nothing fails and nothing is sent. Other portals are not touched.
What had been sent before is read back as soon as the lane goes on, before anything is sent again.
"""


def _facts(reason: Reason) -> Iterator[tuple[str, str]]:
    yield "goes on by itself", f"{_by_itself(reason)} ([held lanes](../../concepts.md#held-lanes))"
    yield "a new credential", "no: a person holds it" if reason.code == OPERATOR else "lets it go on at once"
    yield "alarm", "[B24payLaneHeld](../B24payLaneHeld.md)"


def _way(title: str, remedy: str, advice: Advice, reason: Reason) -> Iterator[str]:
    yield f"## {title}\n"
    yield f"{advice.means}\n"
    rows = [("comes", _when(reason, remedy)), ("mended by", advice.mends)]
    yield table(["what", "here"], [*rows, *([("remedy in `portal show`", remedy)] if remedy else [])])
    for heading, lines in (("Look at", advice.look), ("Do", advice.do)):
        yield f"\n**{heading}**\n"
        yield from (f"- {line}" for line in lines)
    yield f"\n**Escalate when:** {advice.escalate[:1].lower()}{advice.escalate[1:]}\n"


def _when(reason: Reason, remedy: str) -> str:
    """Under which conditions this remedy is the one."""
    whens = list(dict.fromkeys(when for mended_by, when in reason.ways if mended_by == remedy))
    if reason.code in _BESIDE and whens == [_BESIDE[reason.code][1]]:
        return whens[0]
    plain = f"a refusal with this {'status' if reason.code.startswith('HTTP_') else 'code'}"
    return " or ".join(dict.fromkeys(f"{plain} {when}" if when else plain for when in whens))


def _title(reason: Reason, remedy: str) -> str:
    whens = list(dict.fromkeys(when for mended_by, when in reason.ways if mended_by == remedy))
    return f"Where it comes {', or '.join(whens)}" if all(whens) else "Otherwise"
