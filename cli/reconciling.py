"""`b24pay reconcile`: the ledger against a portal for a period, and where they differ."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.exits import Exit
from cli.moments import Moment, MomentOrSpan, back_from
from cli.numbers import Seconds
from cli.output import Output, speaks
from cli.session import Session, open_session, require_portal, run

if TYPE_CHECKING:
    from cli.comparing import Comparison
    from reconciling.cursor import Cursor


@click.command()
@click.option("--portal", "key", required=True, metavar="KEY", help="The portal.")
@click.option(
    "--since",
    type=MomentOrSpan(),
    metavar="T",
    help="What ended at this moment or later: 2026-11-24T10:00Z; or 7d, 12h, 30m before --until. A day by default.",
)
@click.option("--until", type=MomentOrSpan(), metavar="T", help="What ended before this moment; now by default.")
@click.option("--cursor", "left_at", metavar="TEXT", help="Go on where an earlier comparison stopped, in its period.")
@click.option(
    "--report", type=click.Path(dir_okay=False, path_type=Path), metavar="OUT.csv", help="Write the findings there."
)
@click.option(
    "--patience",
    "patience_s",
    type=Seconds(min=0),
    default=600,
    show_default=True,
    metavar="S",
    help="Stop when nothing could be compared for so long.",
)
@speaks
def reconcile(
    output: Output,
    *,
    key: str,
    since: Moment | None,
    until: Moment | None,
    left_at: str | None,
    report: Path | None,
    patience_s: float,
) -> int:
    """Compare the ledger with a portal, and list where they differ. Nothing is changed.

    Of the payments that ended in the period, those that the ledger calls paid must be paid at the portal, and those
    that failed or were cancelled must not. What differs is looked at a second time on both sides before it is told.
    Payments under way are no differences, and doubts are told as doubts. The portal's permits go to payments first, so
    beside a full lane a comparison takes its time.

    Ends with 3 where there are differences, with 4 where there are none but not everything could be compared.

    \b
    Examples:
      b24pay reconcile --portal acme
      b24pay reconcile --portal acme --since 2026-11-01T00:00Z --until 2026-12-01T00:00Z --report november.csv
      b24pay reconcile --portal acme --since 7d --json | jq 'select(.difference)'
    """
    from cli.comparing import Comparison
    from cli.differences import Findings, sheet_at

    if left_at is not None and (since is not None or until is not None):
        raise click.UsageError("--cursor has a period of its own: give it without --since and --until")

    async def work() -> int:
        async with open_session() as session:
            await require_portal(session, key)
            async with session.portal_client() as client:
                comparison = Comparison(session, client, key, patience_s=patience_s, note=output.note)
                cursor = _left_at(left_at, key) if left_at else await _beginning(session, comparison, since, until)
                findings = Findings(output)
                with sheet_at(report) as sheet, output.busy(f"comparing {key} with the ledger"):
                    async for page in comparison.pages(cursor):
                        findings.add(page.findings)
                        sheet.add(page.findings)
        findings.flush()
        return _end(output, comparison, cursor)

    return run(work())


def _left_at(text: str, portal: str) -> "Cursor":
    from reconciling.cursor import BadCursor, read

    try:
        return read(text, portal)
    except BadCursor as error:
        raise click.UsageError(f"--cursor: {error}; give the one that an earlier comparison told, whole") from None


async def _beginning(
    session: Session, comparison: "Comparison", since: Moment | None, until: Moment | None
) -> "Cursor":
    from datetime import timedelta

    from cli.questions import now_of
    from reconciling.cursor import Cursor
    from reconciling.period import DAY, EmptyPeriod

    now = await now_of(session)
    try:
        ends = min(back_from(now, until) or now, now)
        period = await comparison.reconciler.period(back_from(ends, since or DAY), ends)
    except (EmptyPeriod, OverflowError) as error:
        raise click.UsageError(f"nothing can have ended in this period: {error}") from None
    remembered = now - timedelta(days=session.settings.retention_days)
    if period.since < remembered:
        comparison.note(f"What ended before {remembered:%Y-%m-%d %H:%M} UTC is forgotten and cannot be compared.")
    return Cursor(period)


def _end(output: Output, comparison: "Comparison", cursor: "Cursor") -> Exit:
    """Tell the sum; differences outrank what could not be compared."""
    from dataclasses import asdict

    from cli.differences import sum_of
    from tasks.result import instant

    counts, stop = comparison.counts, comparison.stop
    document = {
        "kind": "summary",
        "portal": comparison.portal,
        "since": instant(cursor.period.since),
        "until": instant(cursor.period.until),
        "counts": asdict(counts),
        "complete": stop is None,
        "next_cursor": comparison.goes_on_with,
        "stopped": asdict(stop) if stop else None,
    }
    output.data(document, sum_of(counts))
    if stop is not None:
        output.note(f"Stopped before the end: {stop.code}: {stop.text}")
        output.note(f"Next step: {stop.remedy}")
        output.note(
            f"What is missing: b24pay reconcile --portal {comparison.portal} --cursor {comparison.goes_on_with}"
        )
    if counts.differing:
        return Exit.IN_DOUBT
    return Exit.PARTLY if stop or counts.unreadable else Exit.DONE
