"""`/audit`: who changed what, when, why, and how it ended."""

import json
import time
from collections import Counter
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

from aiohttp import web

from access.audit import Entry, Outcome, is_entry_id
from web.access import PRINCIPAL
from web.pages.rendering import render
from web.parts import PARTS
from web.problems import Problem

_PAGE: Final = 50
# A page with filters may read through everything that is kept: it ends after so long, with a way on.
_WITHIN_S: Final = 0.04
_DAY_S: Final = 86_400.0
_LONGEST: Final = 100
# Rows that are read in one trip: an entry has two.
_FEW: Final = 2 * _PAGE + 10
_MANY: Final = 500
# More payments of one change than this are counted by state.
_SHOWN: Final = 8
MARKS: Final[Mapping[str, str]] = {
    Outcome.DONE: "ok",
    Outcome.PARTLY: "warn",
    Outcome.REFUSED: "idle",
    Outcome.FAILED: "bad",
    Outcome.UNFINISHED: "warn",
}


async def show_audit(request: web.Request) -> web.Response:
    """One page of changes, newest first."""
    if request[PRINCIPAL].portals is not None:
        cause = "Your token is limited to some portals, and the audit tells of all."
        raise Problem(403, "not-permitted", cause, "Sign in with a token without a portal (b24pay token create).")
    filters = {name: request.query.get(name, "").strip()[:_LONGEST] for name in ("who", "what", "subject")}
    before = request.query.get("before", "")
    entries, goes_on = await _page(request, filters, before if is_entry_id(before) else None)
    given = {name: text for name, text in filters.items() if text}
    return render(
        request,
        "audit.html",
        title="Audit",
        here="/audit",
        entries=entries,
        filters=filters,
        filtered=bool(given),
        first=f"/audit?{urlencode(given)}" if before else None,
        next=f"/audit?{urlencode({**given, 'before': goes_on})}" if goes_on else None,
        marks=MARKS,
        told=_told,
        href=_href,
        kept_days=request.app[PARTS].settings.retention_days,
    )


async def _page(request: web.Request, filters: Mapping[str, str], before: str | None) -> tuple[list[Entry], str | None]:
    parts = request.app[PARTS]
    ends_at = time.monotonic() + _WITHIN_S
    entries: list[Entry] = []
    filtered = any(filters.values())
    rows = parts.audit.entries(parts.settings.retention_days * _DAY_S, before, _MANY if filtered else _FEW)
    async for entry in rows:
        if len(entries) == _PAGE:
            return entries, entries[-1].id
        if _is_wanted(entry, filters):
            entries.append(entry)
        if time.monotonic() > ends_at:
            return entries, entry.id
    return entries, None


def _is_wanted(entry: Entry, filters: Mapping[str, str]) -> bool:
    who, what, subject = filters["who"], filters["what"], filters["subject"]
    return (
        (not who or who.lower() in entry.who.lower())
        and (not what or entry.what == what or entry.what.startswith(f"{what}."))
        and (not subject or subject in entry.subjects)
    )


def _told(value: object) -> str:
    """What stood there before or after, as a text."""
    if value is None:
        return ""
    if isinstance(value, Mapping) and len(value) > _SHOWN:  # the states of a bulk change, by payment
        counts = Counter(map(str, value.values()))
        return ", ".join(f"{count:,} {word}" for word, count in counts.most_common(_SHOWN))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _href(entry: Entry, subject: str) -> str | None:
    """Where a subject is shown."""
    group = entry.what.partition(".")[0]
    if group == "portal":
        return f"/portals/{subject}"
    return f"/payments/{subject}" if group in ("payment", "doubt") else None
