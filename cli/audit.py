"""`b24pay audit`: who changed what, when, why, and how it ended."""

import json
from typing import TYPE_CHECKING, Final

import click

from cli.exits import Exit
from cli.numbers import Span
from cli.output import Output, cell, speaks, table
from cli.session import open_session, run

if TYPE_CHECKING:
    from access.audit import Entry

_PAGE: Final = 500  # a table of more would be built for nobody
_WEEK_S: Final = 7 * 86_400.0
_STYLES: Final = {"done": "green", "partly": "yellow", "refused": "dim", "failed": "red", "unfinished": "yellow"}
_UNFINISHED: Final = (
    "Unfinished: written down before it began, and nothing after. The process ended in between, or works still; look "
    "at the subject itself (`b24pay inspect ID`, `b24pay portal show KEY`, `b24pay token list`)."
)


@click.command()
@click.option("--since", "since_s", type=Span(), default=_WEEK_S, metavar="SPAN", help="7d (the default), 12h, 30m.")
@click.option("--who", metavar="TEXT", help="Only whoever has this in their name.")
@click.option("--what", metavar="WHAT", help="Only this action, or group of actions: portal.hold, portal.")
@click.option("--subject", metavar="SUBJECT", help="Only what concerned this portal, payment or token.")
@speaks
def audit(output: Output, since_s: float, who: str | None, what: str | None, subject: str | None) -> int:
    """See who changed what, newest first: by this command line and by the HTTP doors.

    Each change is written down before it is made and again when it has ended, and is kept as long as finished
    payments are (B24PAY_RETENTION_DAYS). Payments that are handed in are their own record: `b24pay list`.

    \b
    Examples:
      b24pay audit --since 30d --subject acme
      b24pay audit --what doubt.resolve --json
    """

    async def work() -> int:
        unfinished = shown = 0
        page: list[Entry] = []
        async with open_session() as session:
            async for entry in session.audit.entries(since_s):
                if not _is_wanted(entry, who, what, subject):
                    continue
                shown += 1
                unfinished += entry.outcome == "unfinished"
                if output.json:
                    output.data(document_of(entry), "")
                    continue
                page.append(entry)
                if len(page) == _PAGE:
                    _show(output, page)
                    page.clear()
        if page or not (shown or output.json):
            _show(output, page)
        if unfinished:
            output.note(_UNFINISHED)
        return Exit.DONE

    return run(work())


def document_of(entry: "Entry") -> dict[str, object]:
    """An entry for scripts."""
    return {
        "id": entry.id,
        "at": entry.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "who": entry.who,
        "role": entry.role,
        "from": entry.origin,
        "what": entry.what,
        "subjects": entry.subjects,
        "outcome": entry.outcome.value,
        "why": entry.why,
        "before": entry.before,
        "after": entry.after,
        "error": entry.error,
        "request_id": entry.request_id,
        "token": entry.token,
    }


def _is_wanted(entry: "Entry", who: str | None, what: str | None, subject: str | None) -> bool:
    return (
        (who is None or who.lower() in entry.who.lower())
        and (what is None or entry.what == what or entry.what.startswith(f"{what}."))
        and (subject is None or subject in entry.subjects)
    )


def _show(output: Output, entries: "list[Entry]") -> None:
    if not entries:
        output.data({}, "Nothing was changed.")
        return
    shown = table("at", "who", "from", "what", "subject", "outcome", "change", words=("subject", "change"))
    for each in entries:
        row = (f"{each.at:%Y-%m-%d %H:%M:%S}", each.who, each.origin, each.what, _subjects(each))
        shown.add_row(*map(cell, row), cell(each.outcome.value, _STYLES[each.outcome.value]), cell(_change(each)))
    output.data({}, shown)


def _subjects(entry: "Entry") -> str:
    first, rest = ", ".join(entry.subjects[:3]), len(entry.subjects) - 3
    return first + (f" and {rest} more" if rest > 0 else "")


def _change(entry: "Entry") -> str:
    """Before, after, why and what went wrong, as far as they are known."""
    parts = [
        f"{_told(entry.before)} -> {_told(entry.after)}" if entry.before is not None else _told(entry.after),
        f"because {entry.why}" if entry.why else "",
        entry.error or "",
    ]
    return "; ".join(part for part in parts if part)


def _told(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
