"""How the demonstration ended: what the ledger says beside what the portals booked, for people and for scripts."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cli.imports import Imported
from cli.intake import Outcome
from cli.output import cell, group, table
from cli.sample import Sample

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

_LOOK_NEXT: Final = (
    ("README.md", "what this is, and how to run it for real"),
    ("worker/driver.py", "the main path, one page"),
    ("make chaos", "10,000 payments through kills, power losses and lost replies"),
    ("b24pay demo --stay", "the same, and then yours: the dashboard, and curl (in .venv/bin)"),
    ("b24pay emulator --help", "portals of your own to play with"),
    ("b24pay --help", "everything else"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One portal's side and ours, invoice by invoice."""

    key: str
    plan: str
    requests: int
    refused: int  # 503 answers
    in_ledger: AbstractSet[int]  # invoices that the ledger calls paid
    booked: Mapping[int, int]  # invoice -> how often the portal really paid it

    @property
    def once(self) -> int:
        """Invoices that both sides agree on: paid, and exactly once."""
        return sum(self.booked.get(invoice) == 1 for invoice in self.in_ledger)

    @property
    def differences(self) -> list[str]:
        """Invoices that the two sides disagree on."""
        twice = sorted(invoice for invoice, times in self.booked.items() if times > 1)
        unproven = sorted(self.in_ledger - self.booked.keys())
        unknown = sorted(self.booked.keys() - self.in_ledger)
        told = (("paid more than once", twice), ("paid in the ledger only", unproven), ("paid unnoticed", unknown))
        return [f"{self.key}: {text}: invoices {_few(invoices)}" for text, invoices in told if invoices]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """All that the demonstration has to show."""

    sample: Sample
    imported: Imported
    accounts: Sequence[Account]
    reasons: Mapping[tuple[str, str], int]  # (code, text) -> failed payments
    seconds: float

    @property
    def state(self) -> Counter[str]:
        """How many rows' payments ended in which state."""
        return self.imported.standing.states if self.imported.standing else Counter()

    @property
    def payments(self) -> int:
        """How many payments ended; a row that joined another is none of its own."""
        return sum(len(account.in_ledger) for account in self.accounts) + sum(self.reasons.values())

    @property
    def payments_per_s(self) -> float:
        """From the first row read to the last payment ended."""
        return self.payments / max(self.imported.seconds, 1e-9)

    @property
    def differences(self) -> list[str]:
        """Everything that is not as it had to be."""
        expected, intake = self.sample, self.imported.intake
        found = [each for account in self.accounts for each in account.differences]
        for account in self.accounts:
            found += _unlike(f"{account.key}: payments paid", len(account.in_ledger), expected.paid[account.key])
        codes = _by_code(self.reasons)
        for code in sorted(codes.keys() | expected.failed.keys()):
            found += _unlike(f"failed with {code}", codes[code], expected.failed[code])
        for outcome, count in expected.outcomes.items():
            found += _unlike(f"rows {outcome}", intake.counts[outcome], count)
        unfinished = sum(self.state[name] for name in ("queued", "sending", "in_doubt"))
        return [*found, *_unlike("payments without an end", unfinished, 0)]


def document_of(ending: Ending) -> dict[str, object]:
    """The ending for scripts."""
    intake = ending.imported.intake
    return {
        "ok": not ending.differences,
        "rows": len(intake),
        "accepted": intake.counts[Outcome.ACCEPTED],
        "rejected": intake.rejected,
        "duplicates": intake.counts[Outcome.JOINED] + intake.counts[Outcome.ALREADY_PAID],
        "paid": sum(len(account.in_ledger) for account in ending.accounts),
        "failed": sum(ending.reasons.values()),
        "failed_by_code": dict(_by_code(ending.reasons)),
        "in_doubt": ending.state["in_doubt"],
        "requests": {account.key: account.requests for account in ending.accounts},
        "http_503": sum(account.refused for account in ending.accounts),
        "paid_once_at_portal": sum(account.once for account in ending.accounts),
        "paid_twice_at_portal": sum(times > 1 for account in ending.accounts for times in account.booked.values()),
        "differences": ending.differences,
        "payments_per_s": round(ending.payments_per_s, 1),
        "import_seconds": round(ending.imported.seconds, 2),
        "seconds": round(ending.seconds, 2),
    }


def summary_of(ending: Ending) -> "RenderableType":
    """The ending for people."""
    verdict = (
        [cell(f"✗ {each}", "red") for each in ending.differences]
        if ending.differences
        else [cell("✓ The ledger and the portals' own books agree: every invoice paid once, none twice.", "bold green")]
    )
    rate = cell(
        f"{ending.payments} payments in {ending.imported.seconds:.1f} s ({ending.payments_per_s:.0f}/s); "
        f"{ending.seconds:.1f} s with starting everything.",
        "dim",
    )
    return group("", _portals(ending), "", _ends(ending), "", *verdict, rate, "", _look_next())


def _portals(ending: Ending) -> "Table":
    shown = table(
        "portal", "plan", "paid", "read back", "requests", "503s", numbers=("paid", "read back", "requests", "503s")
    )
    for account in ending.accounts:
        shown.add_row(
            cell(account.key, "bold"),
            cell(account.plan),
            cell(len(account.in_ledger), "green"),
            cell(f"{account.once} once"),
            cell(account.requests),
            cell(account.refused, "red" if account.refused else "dim"),
        )
    return shown


def _ends(ending: Ending) -> "Table":
    shown = table("what became of the rows", "count", "why", numbers=("count",))
    intake = ending.imported.intake
    shown.add_row(cell("paid", "green"), cell(sum(len(each.in_ledger) for each in ending.accounts)), cell("proven"))
    for (code, text), count in _kinds_of_failure(ending.reasons).most_common():
        shown.add_row(cell("failed", "red"), cell(count), cell(f"{code}: {text}"))
    in_doubt = ending.state["in_doubt"]
    shown.add_row(cell("in doubt", "yellow" if in_doubt else "dim"), cell(in_doubt), cell(""))
    rejected = "no valid payment; reported above by line"
    shown.add_row(cell("rejected", "yellow"), cell(intake.rejected), cell(rejected))
    joined = intake.counts[Outcome.JOINED] + intake.counts[Outcome.ALREADY_PAID]
    shown.add_row(cell("duplicate", "cyan"), cell(joined), cell("the same request again: nothing is paid twice"))
    return shown


def _look_next() -> "Table":
    from rich.table import Table

    shown = Table(show_header=False, box=None, pad_edge=False, title="Where to look next", title_justify="left")
    for place, why in _LOOK_NEXT:
        shown.add_row(cell(place, "cyan"), cell(why, "dim"))
    return shown


def _by_code(reasons: Mapping[tuple[str, str], int]) -> Counter[str]:
    codes: Counter[str] = Counter()
    for (code, _), count in reasons.items():
        codes[code] += count
    return codes


def _kinds_of_failure(reasons: Mapping[tuple[str, str], int]) -> Counter[tuple[str, str]]:
    """Failures that differ in an invoice's number only, together; of a long text the first sentence."""
    kinds: Counter[tuple[str, str]] = Counter()
    for (code, text), count in reasons.items():
        kinds[code, re.sub(r"#\d+", "#N", text).partition(". ")[0]] += count
    return kinds


def _unlike(what: str, found: int, expected: int) -> list[str]:
    return [] if found == expected else [f"{what}: {found} instead of {expected}"]


def _few(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:5])) + (" ..." if len(numbers) > 5 else "")  # noqa: PLR2004 - what fits a line
