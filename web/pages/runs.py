"""The pages of bulk changes: what one would do, and its steps with their progress and summary."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from aiohttp import web

from web import actions
from web.api.bodies import required
from web.api.door import ledger_of
from web.api.models import ChangeRequest, PaymentsQuery
from web.api.wrongs import Wrong, refusal
from web.pages.bulk import ACTIONS, Kind, Run, Tally, Verb
from web.pages.doubts import clock_of
from web.pages.entering import form_of
from web.pages.rendering import render
from web.pages.sifting import moment
from web.parts import PARTS
from web.problems import Problem

PATH: Final = "/bulk"
_HERE: Final = {Verb.RETRY: "/failures", Verb.CANCEL: "/payments", Verb.VERIFY: "/doubts"}
_FILTERS: Final = ("portal", "code", "since", "until")
# What a run has left, by reason: a page brings them along, and so many kinds there are.
_MOST_REASONS: Final = 8
_LONGEST: Final = 12  # digits of a count


async def show_run(request: web.Request) -> web.Response:
    """Show what a change of all that match would do; nothing is changed."""
    kind = await _kind(request, {name: request.query.get(name, "").strip() for name in _FILTERS})
    return await _preview(request, kind)


async def go_on(request: web.Request) -> web.Response:
    """Take the next step of a run, and show how far it has come."""
    form = form_of(request)
    kind = await _kind(request, {name: form.one(name) for name in _FILTERS})
    try:
        why = required(ChangeRequest, {"because": form.one("because")}).because
    except Problem:
        wrong = Wrong("because", "required", "must say why, in 1 to 500 printable characters", "It stays on record.")
        return await _preview(request, kind, refusal([wrong]))
    tally, expected = _tally(request), _count(form.one("expected"))
    run = Run(request, await ledger_of(request), kind)
    await run.step(tally, why or "")
    after = {"changed": tally.changed, "left": sum(tally.left.values()), "ended": tally.cursor is None}
    await actions.record(request, ACTIONS[kind.verb], kind.words, None, after, why)
    return render(
        request,
        "run.html",
        title=f"{kind.verb.capitalize()} {kind.words}",
        here=_HERE[kind.verb],
        kind=kind,
        tally=tally,
        why=why,
        expected=max(expected, tally.looked),
        fields=fields_of(kind),
    )


def fields_of(kind: Kind) -> Mapping[str, str]:
    """The kind as the fields of a form."""
    return {
        "portal": kind.portal or "",
        "code": kind.code or "",
        "since": _written(kind.since),
        "until": _written(kind.until),
    }


async def _preview(request: web.Request, kind: Kind, problem: Problem | None = None) -> web.Response:
    run = Run(request, await ledger_of(request), kind)
    return render(
        request,
        "bulk.html",
        status=problem.status if problem else 200,
        title=f"{kind.verb.capitalize()} {kind.words}",
        here=_HERE[kind.verb],
        kind=kind,
        preview=await run.preview(),
        fields=fields_of(kind),
        problem=problem,
    )


async def _kind(request: web.Request, given: Mapping[str, str]) -> Kind:
    """Which payments are meant; raises Problem. What comes after this moment is not."""
    verb = request.path.rpartition("/")[2]
    asked = {name: moment(value) for name, value in given.items() if value}
    query = required(PaymentsQuery, asked)
    now = await clock_of(request.app[PARTS])
    return Kind(
        verb=Verb(verb),
        portal=query.portal,
        code=query.code,
        since=query.since,
        until=min(query.until or now, now),
        bounded=bool(query.since or query.until),
    )


def _tally(request: web.Request) -> Tally:
    """How far a run has come, as its page says; whoever changes the figures changes what they are shown."""
    form = form_of(request)
    reasons, counts = form.many("reason"), form.many("left")
    left = Counter[str]()
    for reason, count in list(zip(reasons, counts, strict=False))[:_MOST_REASONS]:
        left[reason[:200]] += _count(count)
    return Tally(changed=_count(form.one("changed")), left=left, cursor=form.one("cursor") or None)


def _count(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _LONGEST else 0


def _written(at: datetime | None) -> str:
    return at.isoformat().replace("+00:00", "Z") if at else ""
