"""The report of an import: one CSV line per line of the file, written whole or not at all."""

import csv
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from cli.exits import CommandError, Exit
from cli.intake import REJECTED, Intake, Outcome
from cli.output import plain
from cli.sheet import Sheet

if TYPE_CHECKING:
    from ledger.ledger import Ledger
    from ledger.payment import Payment

_COLUMNS: Final = ("line", "id", "portal", "invoice_id", "status", "code", "text")
_CHUNK: Final = 500
# What makes a spreadsheet calculate a cell instead of showing it.
_FORMULAS: Final = ("=", "+", "-", "@")

Line = tuple[object, ...]


def check_place(path: Path, source: str) -> None:
    """Raise CommandError where no report could be written, before anything is imported."""
    if path.exists() and Path(source).exists() and path.samefile(source):
        cause = f"Nothing was imported: the report {path} would replace the file that is imported."
        raise CommandError(cause, "Give the report another name.", Exit.USAGE)
    if path.is_dir() or not os.access(path.absolute().parent, os.W_OK):
        cause = f"Nothing was imported: no report can be written to {path}."
        raise CommandError(cause, "Give a file in an existing directory that you may write to.", Exit.USAGE)


async def write_report(path: Path, sheet: Sheet, intake: Intake, ledger: "Ledger | None") -> None:
    """Write the report with every line's state as it is now; raises CommandError where it cannot be written."""
    try:
        await _write(path, sheet, intake, ledger)
    except OSError as error:
        cause = f"The import is done, but the report {path} cannot be written: {error.strerror}."
        step = "Make room or choose another place, then give the same command again: nothing is paid twice."
        raise CommandError(cause, step, Exit.TEMPORARY) from None


async def _write(path: Path, sheet: Sheet, intake: Intake, ledger: "Ledger | None") -> None:
    with whole_or_not_at_all(path) as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        entries = iter(intake)
        while chunk := list(islice(entries, _CHUNK)):
            writer.writerows(await _lines(chunk, sheet, intake, ledger))


@contextmanager
def whole_or_not_at_all(path: Path) -> Iterator[TextIO]:
    """A file beside the place it is moved to at the end, so that a reader never sees half of it."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.absolute().parent)
    partial = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            yield file
        # mkstemp makes it private; a report is for whoever may read the directory.
        partial.chmod(0o644)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


async def _lines(chunk: list[tuple[int, Outcome]], sheet: Sheet, intake: Intake, ledger: "Ledger | None") -> list[Line]:
    handles = [sheet.handle(line) for line, outcome in chunk if outcome not in REJECTED]
    rows: Iterator[Payment | None] = iter(await ledger.find(handles) if ledger else [None] * len(handles))
    return [
        _rejected(line, outcome, intake.notes[line])
        if outcome in REJECTED
        else _accepted(line, sheet.handle(line), next(rows), intake.notes.get(line, ""))
        for line, outcome in chunk
    ]


def cell_text(told: str) -> str:
    """Text as a spreadsheet may open it: what a portal wrote is never taken for a formula."""
    shown = plain(told)
    return f"'{shown}" if shown.startswith(_FORMULAS) else shown


def _rejected(line: int, outcome: Outcome, cause: str) -> Line:
    return line, "", "", "", "rejected", outcome.upper(), cell_text(cause)


def _accepted(line: int, handle: str, payment: "Payment | None", note: str) -> Line:
    if payment is None:
        return line, handle, "", "", "not imported", "", note
    error = payment.error
    text = cell_text(f"{error.text} ({note})" if error and note else error.text if error else note)
    return (
        line,
        handle,
        payment.portal,
        payment.invoice_id,
        payment.state.value,
        cell_text(error.code) if error else "",
        text,
    )
