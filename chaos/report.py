"""The report of a storm, for scripts and for people."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from chaos.checker import Kind as Wrong
from chaos.checker import Verdict
from chaos.gathering import Portals
from chaos.plan import AIMED, Kind, Scale
from cli.output import cell, table

# Promised: what a dead worker left is decided this long after the quiet time at the latest.
VERDICT_MARGIN_S: Final = 10.0
_SHOWN: Final = 10
_KEPT: Final = 200

_MEANING: Final[Mapping[Wrong, str]] = {
    Wrong.LOST: "accepted, and gone without an end",
    Wrong.REFUSED: "a right request was refused",
    Wrong.PAID_TWICE: "an invoice was paid again",
    Wrong.OVERLAPPING: "two calls for one invoice at once",
    Wrong.UNREAD: "called again before the portal was asked",
    Wrong.WRONG_VERDICT: "ledger and portal disagree",
    Wrong.UNRESOLVED: "still open in the end",
    Wrong.WRONG_RESULT: "the producer reads something else than the ledger says",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All figures of one storm."""

    scale: Scale
    verdict: Verdict
    portals: Portals
    planned: Mapping[Kind, int]
    struck: Mapping[Kind, int]
    hits: Mapping[Kind, int]
    left_sending: int
    undisturbed_s: Sequence[float]  # from a worker's death to the verdict about what it left
    disturbed_s: Sequence[float]  # the same, where Redis or the next worker died meanwhile
    undecided: int
    quiet_s: float
    storm_s: float
    rest_s: float
    total_s: float

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.verdict.findings

    @property
    def verdict_bound_s(self) -> float:
        """Within this time somebody has decided about what a dead worker left."""
        return self.quiet_s + VERDICT_MARGIN_S


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least this share of all do not exceed; None of nothing."""
    ordered = sorted(values)
    return ordered[max(0, ceil(share * len(ordered)) - 1)] if ordered else None


def document_of(report: Report) -> dict[str, object]:
    """The report for scripts."""
    verdict, portals = report.verdict, report.portals
    return {
        "ok": report.ok,
        "seed": report.scale.seed,
        "findings": verdict.counts,
        "payments": {
            "asked_for": report.scale.payments,
            "accepted": verdict.accepted,
            "paid": verdict.paid,
            "failed_after_three_deaths": verdict.worker_died,
            "failed_otherwise": verdict.failed,
            "accepted_again_after_power_loss": verdict.rolled_back,
        },
        "faults": {
            kind.value: {"planned": report.planned[kind], "struck": report.struck[kind], **_aim(report, kind)}
            for kind in Kind
        },
        "deaths": _deaths(report),
        "portals": {
            "requests": portals.requests,
            "replies_lost": portals.spoilt,
            "calls": len(portals.calls),
            "called_again_after_a_read": verdict.called_again,
            "reads": len(portals.reads),
            "longest_call_s": round(portals.longest_s, 3),
        },
        "seconds": {
            "storm": round(report.storm_s, 1),
            "rest": round(report.rest_s, 1),
            "total": round(report.total_s, 1),
        },
        "details": [
            {"finding": each.kind, "invoice": str(each.invoice), "text": each.text} for each in verdict.findings[:_KEPT]
        ],
    }


def _deaths(report: Report) -> dict[str, object]:
    times = report.undisturbed_s
    return {
        "kills": report.struck[Kind.WORKER_KILL] + report.struck[Kind.CHILD_KILL],
        "with_payments_in_sending": report.hits[Kind.WORKER_KILL] + report.hits[Kind.CHILD_KILL],
        "payments_in_sending": report.left_sending,
        "verdict_s": {
            **_times(times),
            "bound": report.verdict_bound_s,
            "late": sum(each > report.verdict_bound_s for each in times),
            "undecided": report.undecided,
            # Redis or the next worker died before the verdict; every such death begins the wait anew.
            "disturbed": _times(report.disturbed_s),
        },
    }


def _aim(report: Report, kind: Kind) -> dict[str, int]:
    """How often a fault met payments in flight, for those that are aimed at them."""
    return {"in_flight": report.hits[kind]} if kind in AIMED else {}


def _times(seconds: Sequence[float]) -> dict[str, object]:
    return {
        "number": len(seconds),
        "p50": percentile(seconds, 0.5),
        "p95": percentile(seconds, 0.95),
        "max": max(seconds, default=None),
    }


def summary_of(report: Report) -> RenderableType:
    """The report for people."""
    verdict = report.verdict
    lines: list[RenderableType] = ["", _faults(report), "", _findings(report), ""]
    if report.ok:
        text = f"✓ {verdict.accepted} payments went through it: none lost, none paid twice, none in doubt."
        lines.append(Text(text, style="bold green"))
    else:
        shown = verdict.findings[:_SHOWN]
        lines += [Text(f"✗ {each.invoice}: {each.kind}: {each.text}", style="red") for each in shown]
        if len(verdict.findings) > len(shown):
            lines.append(Text(f"  ... and {len(verdict.findings) - len(shown)} more in the report", style="red"))
    return Group(*lines, *(Text(each, style="dim") for each in _remarks(report)))


_NAMES: Final[Mapping[Kind, str]] = {
    Kind.WORKER_KILL: "worker killed (whole group)",
    Kind.CHILD_KILL: "worker killed (child only)",
    Kind.ZOMBIE: "worker stopped past its lease",
    Kind.REDIS_KILL: "Redis killed",
    Kind.POWER_LOSS: "power loss at Redis",
    Kind.TEAR_REPLY: "reply torn at some byte",
    Kind.TEAR_REQUEST: "request torn at some byte",
    Kind.RESET: "connections reset",
    Kind.SILENCE: "connections gone silent",
}


def _faults(report: Report) -> Table:
    shown = table("what struck", "times", "with payments in flight", numbers=("times", "with payments in flight"))
    for kind, name in _NAMES.items():
        if report.planned[kind]:
            struck, planned = report.struck[kind], report.planned[kind]
            times = str(struck) if struck == planned else f"{struck} of {planned}"
            shown.add_row(cell(name), cell(times, "bold"), cell(report.hits[kind] if kind in AIMED else None))
    shown.add_row(cell("replies lost by the portals"), cell(report.portals.spoilt, "bold"), cell(None))
    return shown


def _findings(report: Report) -> Table:
    shown = table("what went wrong", "invoices", "meaning", numbers=("invoices",))
    for name, number in report.verdict.counts.items():
        style = "bold red" if number else "green"
        shown.add_row(cell(name.replace("_", " ")), cell(number, style), cell(_MEANING[Wrong(name)], "dim"))
    return shown


def _remarks(report: Report) -> list[str]:
    verdict, portals, times = report.verdict, report.portals, report.undisturbed_s
    remarks = [
        f"{verdict.paid} paid; {verdict.failed} failed, and {verdict.worker_died} more because three workers died.",
        f"{len(portals.calls)} calls in {portals.requests} requests, {verdict.called_again} again after a read.",
    ]
    if times:
        remarks.append(
            f"Dead workers left {report.left_sending} payments in flight; where nothing else died meanwhile, they were "
            f"decided after {percentile(times, 0.5):.1f} s (half), {percentile(times, 0.95):.1f} s (95 %), "
            f"{max(times):.1f} s (all); promised: {report.verdict_bound_s:.0f} s."
        )
    if verdict.rolled_back:
        remarks.append(f"{verdict.rolled_back} acceptances went with a power loss and were asked for again.")
    remarks.append(
        f"Seed {report.scale.seed}; {report.storm_s:.0f} s of storm, {report.rest_s:.0f} s until all was at rest, "
        f"{report.total_s:.0f} s in all."
    )
    return remarks
