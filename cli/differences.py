"""How findings of a comparison are told: to people, to scripts and in a CSV file."""

import csv
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cli.exits import CommandError, Exit
from cli.output import Output, cell, state, table
from cli.report import cell_text, whole_or_not_at_all

if TYPE_CHECKING:
    from reconciling.findings import Counts, Finding

_PAGE: Final = 500  # a table of more would be built for nobody
_COLUMNS: Final = (
    *("kind", "difference", "id", "portal", "invoice_id", "status", "evidence", "finished_at"),
    *("paid_there", "paid_there_at", "paid_there_by", "read_at", "text"),
)


class Findings:
    """Tells findings as they come; holds a table's worth at most."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._waiting: list[Finding] = []

    def add(self, findings: "Sequence[Finding]") -> None:
        """Tell these, sooner or later."""
        if self._output.json:
            for each in findings:
                self._output.data(document_of(each), "")
            return
        self._waiting += findings
        if len(self._waiting) >= _PAGE:
            self.flush()

    def flush(self) -> None:
        """Tell what is left."""
        if not self._waiting:
            return
        shown = table("kind", "id", "invoice", "ended", "status", "what", numbers=("invoice",), words=("what",))
        for each in self._waiting:
            row = each.payment
            ended = f"{row.finished_at:%Y-%m-%d %H:%M:%S}" if row.finished_at else None
            kind = cell(each.kind.value, "red" if each.is_difference else "yellow")
            shown.add_row(kind, *map(cell, (row.id, row.invoice_id, ended)), state(row.state), cell(each.text))
        self._output.data({}, shown)
        self._waiting.clear()


def document_of(finding: "Finding") -> dict[str, object]:
    """A finding for scripts."""
    from reconciling import document

    return {**document.document_of(finding), "portal": finding.payment.portal}


def sum_of(counts: "Counts") -> str:
    """What was compared, in one line."""
    parts = {
        "alike": counts.agreed,
        "different": counts.differing,
        "unreadable": counts.unreadable,
        "in doubt": counts.in_doubt,
        "with a later payment of the invoice": counts.later,
        "with one under way": counts.under_way,
        "changed meanwhile": counts.changed,
    }
    told = ", ".join(f"{number:,} {name}" for name, number in parts.items() if number or name in ("alike", "different"))
    return f"{counts.payments:,} payments compared: {told}."


@contextmanager
def sheet_at(path: Path | None) -> "Iterator[Sheet]":
    """A CSV file that appears when the comparison has ended, also where it stopped early; nowhere without a path.

    Raises CommandError where it could not be written.
    """
    if path is None:
        yield Sheet(None)
        return
    if path.is_dir() or not os.access(path.absolute().parent, os.W_OK):
        cause = f"Nothing was compared: no report can be written to {path}."
        raise CommandError(cause, "Give a file in an existing directory that you may write to.", Exit.USAGE)
    try:
        with whole_or_not_at_all(path) as file:
            sheet = Sheet(csv.writer(file))
            sheet.head()
            yield sheet
    except OSError as error:
        cause = f"The report {path} cannot be written: {error.strerror}."
        raise CommandError(
            cause, "Make room or choose another place; comparing changes nothing.", Exit.TEMPORARY
        ) from None


class Sheet:
    """Rows of a CSV file, or of none."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def head(self) -> None:
        """The names of the columns."""
        self._writer.writerow(_COLUMNS)

    def add(self, findings: "Sequence[Finding]") -> None:
        """A row for each finding."""
        if self._writer is not None:
            for each in findings:
                document = document_of(each)
                self._writer.writerow([_cell_of(document[name]) for name in _COLUMNS])


def _cell_of(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else cell_text(str(value))
