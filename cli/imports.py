"""`b24pay import`: a CSV file of payments, taken in, waited for, and accounted for line by line."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import click

from cli.exits import CommandError, Exit, worst
from cli.intake import Intake, Outcome, Rehearsal, first_rejections, take_in
from cli.numbers import Seconds
from cli.output import Output, cell, group, speaks, state, table
from cli.report import check_place, write_report
from cli.session import Session, open_session, require_portal, run
from cli.sheet import Sheet, open_sheet
from cli.waiting import Standing, Waiting

if TYPE_CHECKING:
    from rich.console import RenderableType

    from cli.progress import ImportProgress
    from ledger.ledger import Ledger

# Enough to see what is wrong with a file; the rest is in the report.
_SHOWN_REJECTIONS: Final = 20
_TOLD_REJECTIONS: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What an import did and how its payments stand; `standing` is None where nobody waited."""

    source: str
    intake: Intake
    standing: Standing | None
    seconds: float
    dry_run: bool = False

    @property
    def exit_code(self) -> Exit:
        """What the import means to a script."""
        if self.standing is None:
            return worst(done=len(self.intake) - self.intake.rejected, refused=self.intake.rejected)
        states = self.standing.states
        return worst(
            done=states["paid"],
            refused=states["failed"] + states["cancelled"] + self.intake.rejected,
            in_doubt=states["in_doubt"],
            unfinished=states["queued"] + states["sending"],
        )


@click.command("import")
@click.argument("source", metavar="FILE.csv|-")
@click.option("--portal", metavar="KEY", help="For rows without a portal of their own.")
@click.option("--wait", is_flag=True, help="Wait until every payment has ended.")
@click.option("--timeout", "timeout_s", type=Seconds(min=0), metavar="S", help="With --wait: at most so long.")
@click.option("--report", metavar="OUT.csv", type=click.Path(path_type=Path), help="One line per line of the file.")
@click.option("--dry-run", is_flag=True, help="Check every row and send nothing.")
@speaks
def import_sheet(
    output: Output,
    *,
    source: str,
    portal: str | None,
    wait: bool,
    timeout_s: float | None,
    report: Path | None,
    dry_run: bool,
) -> int:
    """Pay the invoices of a CSV file.

    Columns: invoice_id, pay_system_id or bx_rest_handler, and optionally portal and idempotency_key. Bad rows are
    reported by line and the good ones go on. Giving the same command again resumes; nothing is paid twice.

    \b
    Examples:
      b24pay import payments.csv --portal acme --dry-run
      b24pay import payments.csv --wait --report report.csv
      cat payments.csv | b24pay import - --portal acme --json
    """
    if timeout_s is not None and not wait:
        raise click.UsageError("--timeout needs --wait")
    if report is not None:
        check_place(report, source)

    async def work() -> int:
        with open_sheet(source, portal=portal) as sheet:
            async with open_session() as session:
                if portal is not None:
                    await require_portal(session, portal)
                imported = await import_payments(
                    session, sheet, output, wait=wait and not dry_run, timeout_s=timeout_s, dry_run=dry_run
                )
                # The summary first: a full disk must not take away what is known.
                output.data(document_of(imported), lambda: summary_of(imported))
                if report is not None:
                    ledger = None if dry_run else session.ledger
                    await write_report(report, sheet, imported.intake, ledger)
        return imported.exit_code

    return run(work())


async def import_payments(
    session: Session,
    sheet: Sheet,
    output: Output,
    *,
    wait: bool,
    timeout_s: float | None = None,
    dry_run: bool = False,
    meanwhile: Callable[[], None] = lambda: None,
) -> Imported:
    """Take every row in and, where asked, wait for the ends; `meanwhile` is called at every look and may raise."""
    intake, standing, started = Intake(), None, time.monotonic()
    with _progress_of(output) as progress:
        await _take_in(sheet, await _rehearsal(session) if dry_run else session.ledger, intake, progress, output)
        if wait:
            lines = intake.payments
            waiting = Waiting(session.ledger, lines, sheet.handle)

            def on_look(now: Standing) -> None:
                progress.paying(now, len(lines))
                meanwhile()

            await waiting.until_final(on_look, timeout_s=timeout_s)
            standing = waiting.standing
    seconds = time.monotonic() - started
    if not len(intake):
        output.note(f"{sheet.name} has a header and no rows.")
    _tell_rejections(output, intake)
    for held, why in (standing.held if standing else {}).items():
        output.note(f"Portal {held} is held ({why}); go on with `b24pay portal resume {held}`.")
    return Imported(source=sheet.name, intake=intake, standing=standing, seconds=seconds, dry_run=dry_run)


class Silence:
    """Stands in for progress bars where nobody watches them."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def reading(self, rows: int, *, share: float) -> None:
        """Nothing is drawn."""

    def paying(self, standing: Standing, total: int) -> None:
        """Nothing is drawn."""


def _progress_of(output: Output) -> "ImportProgress | Silence":
    if not output.live:
        return Silence()
    from cli.progress import ImportProgress

    return ImportProgress(output)


async def _rehearsal(session: Session) -> Rehearsal:
    return Rehearsal(frozenset(lane.portal for lane in await session.ledger.lanes()))


async def _take_in(
    sheet: Sheet, ledger: "Ledger | Rehearsal", intake: Intake, progress: "ImportProgress | Silence", output: Output
) -> None:
    from asyncio import CancelledError

    from redis.exceptions import ConnectionError as NotReachable
    from redis.exceptions import TimeoutError as NotAnswered

    def on_chunk() -> None:
        progress.reading(len(intake), share=sheet.position / sheet.size)

    try:
        await take_in(sheet, ledger, intake, on_chunk)
    except (NotReachable, NotAnswered) as error:
        raise CommandError(
            f"Redis went away ({type(error).__name__}) after {len(intake)} rows; what was accepted stays accepted.",
            "When it is back, give the same command again: it resumes where it stopped.",
            Exit.UNREACHABLE,
        ) from None
    except CancelledError:  # Ctrl-C
        output.note(f"Interrupted after {len(intake)} rows. Give the same command again: it resumes where it stopped.")
        raise


def _tell_rejections(output: Output, intake: Intake) -> None:
    for line, cause in first_rejections(intake, _SHOWN_REJECTIONS):
        output.note(f"line {line}: {cause}", style="yellow" if output.live else "")
    more = intake.rejected - _SHOWN_REJECTIONS
    if more > 0:
        output.note(f"... and {more} more rows; --report lists every one.")


def document_of(imported: Imported) -> dict[str, object]:
    """An import for scripts."""
    intake, standing = imported.intake, imported.standing
    document: dict[str, object] = {
        "file": imported.source,
        "dry_run": imported.dry_run,
        "rows": len(intake),
        **{outcome.value: intake.counts[outcome] for outcome in Outcome},
        "rejected": intake.rejected,
        "rejections": [{"line": line, "error": cause} for line, cause in first_rejections(intake, _TOLD_REJECTIONS)],
        "seconds": round(imported.seconds, 3),
        "exit_code": int(imported.exit_code),
    }
    if standing is not None:
        document["states"] = {name: count for name, count in standing.states.items() if count}
        document["failed_by_code"] = dict(standing.failures)
        document["held"] = standing.held
        document["payments_per_s"] = _per_second(standing.final, imported.seconds)
    return document


def summary_of(imported: Imported) -> "RenderableType":
    """An import for people."""
    intake, standing = imported.intake, imported.standing
    rows = table(f"rows of {imported.source}", "count", numbers=("count",))
    texts = _DRY_TEXTS if imported.dry_run else _TEXTS
    for outcome in Outcome:
        if intake.counts[outcome]:
            rows.add_row(cell(texts[outcome]), cell(f"{intake.counts[outcome]:,}"))
    rows.add_row(cell("all", "bold"), cell(f"{len(intake):,}", "bold"))
    if standing is None:
        told = "Nothing was written." if imported.dry_run else "Follow them with `b24pay watch`, or add --wait."
        return group(rows, told) if len(intake) > intake.rejected else rows
    ends = table("payments", "count", numbers=("count",))
    for name, count in standing.states.items():
        if count:
            ends.add_row(state(name), cell(f"{count:,}"))
    for code, count in failures_of(standing):
        ends.add_row(cell(f"  {code}", "dim"), cell(f"{count:,}", "dim"))
    rate = _per_second(standing.final, imported.seconds)
    return group(rows, "", ends, f"{imported.seconds:.1f} s, {rate:,} payments/s")


def failures_of(standing: Standing) -> list[tuple[str, int]]:
    """Error codes of failed payments, the most frequent first."""
    return Counter(standing.failures).most_common()


def _per_second(count: int, seconds: float) -> float:
    return round(count / seconds, 1) if seconds > 0 else 0.0


_TEXTS: Final[Mapping[Outcome, str]] = {
    Outcome.ACCEPTED: "accepted",
    Outcome.RESUMED: "known from an earlier run of this file",
    Outcome.JOINED: "joined the same request",
    Outcome.ALREADY_PAID: "paid already",
    Outcome.INVALID: "rejected: not a payment",
    Outcome.UNKNOWN_PORTAL: "rejected: unknown portal",
    Outcome.CONFLICT: "rejected: in conflict",
}
_DRY_TEXTS: Final[Mapping[Outcome, str]] = {**_TEXTS, Outcome.ACCEPTED: "can be accepted"}
