"""What a live look at a portal has shown, for scripts and for people."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from cli.output import cell

if TYPE_CHECKING:
    from rich.text import Text

    from bitrix24.checkup import Checkup

_LEVEL_STYLES: Final[Mapping[str, str]] = {"ok": "green", "warning": "yellow", "error": "red"}


def document_of_findings(checkup: "Checkup | None") -> dict[str, object]:
    """The findings and pay systems; empty lists where nobody looked."""
    if checkup is None:
        return {"findings": [], "pay_systems": []}
    return {
        "findings": [asdict(finding) for finding in checkup.findings],
        "pay_systems": [asdict(system) for system in checkup.pay_systems],
    }


def shown_findings(checkup: "Checkup | None") -> "list[Text]":
    """One line a finding, with what to do about it."""
    lines = []
    for finding in checkup.findings if checkup else ():
        remedy = f"  -> {finding.remedy}" if finding.remedy else ""
        lines.append(cell(f"  {finding.level:7} {finding.text}{remedy}", _LEVEL_STYLES[finding.level]))
    return lines
