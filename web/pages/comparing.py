"""The page that compares the ledger with a portal for a period: differences listed, nothing changed.

As with bulk changes, a comparison is made of short requests, and its page sends the next one: it spends requests of the
portal, so it goes on only while somebody looks. What was found so far travels with the page.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final
from urllib.parse import quote

from aiohttp import web

from ledger.payment import State
from reconciling import cursor as cursors
from reconciling.findings import Counts, Finding, Kind, Stop
from web import actions
from web.api.bodies import required, validated
from web.api.door import ledger_of, may_touch
from web.api.models import ReconcileQuery
from web.api.reconciling import compare
from web.api.wrongs import Wrong
from web.pages.entering import Form, form_of
from web.pages.rendering import render
from web.pages.sifting import moment
from web.problems import Problem

HERE: Final = "/reconcile"
LARGEST: Final = 262_144  # bytes of what was found so far
# No page of a comparison is begun after so long; one under way is waited for. Each step is two rows of the audit, so it
# is no shorter, and it waits itself where the portal has no request to spare for a moment.
_WITHIN_S: Final = 4.0
# A portal that is asked when it has nothing to spare is asked again no sooner.
_WAIT_LEAST_S: Final = 1.0
MOST_FOUND: Final = 200
_LONGEST_TEXT: Final = 400
_DIGITS: Final = 12
_COUNTS: Final = tuple(each.name for each in fields(Counts))
_TITLES: Final[Mapping[Kind, str]] = {
    Kind.UNPAID_THERE: "paid here, unpaid there",
    Kind.PAID_THERE: "not paid here, paid there",
    Kind.GONE: "paid here, gone there",
    Kind.UNREADABLE: "the portal does not say",
    Kind.IN_DOUBT: "in doubt",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One finding as the page keeps it."""

    kind: Kind
    payment_id: str
    invoice: str
    state: State
    text: str

    @property
    def title(self) -> str:
        """What is the matter, in a few words."""
        return _TITLES[self.kind]

    @property
    def is_difference(self) -> bool:
        """Whether somebody must look into it."""
        return self.kind in (Kind.UNPAID_THERE, Kind.PAID_THERE, Kind.GONE)

    @property
    def kept(self) -> str:
        """As a field of a form."""
        return "\t".join((self.kind, self.payment_id, self.invoice, self.state, self.text))


@dataclass(slots=True)
class Standing:
    """How far a comparison has come."""

    counts: Counts
    rows: list[Row]
    more: int = 0  # findings that are counted and not listed
    cursor: str | None = None
    wait_s: float = 0.0
    reason: str = ""
    stop: Stop | None = None
    ended: bool = False

    @property
    def differences(self) -> list[Row]:
        """What somebody must look into."""
        return [row for row in self.rows if row.is_difference]

    @property
    def others(self) -> list[Row]:
        """What is no difference and no agreement."""
        return [row for row in self.rows if not row.is_difference]


async def show_comparison(request: web.Request) -> web.Response:
    """Show the form of a comparison; the portal is not asked yet."""
    return _page(request, _typed({name: request.query.get(name, "") for name in ("portal", "since", "until")}))


async def go_on_comparing(request: web.Request) -> web.Response:
    """Begin a comparison, or take it further; an operator's action, because it spends requests of the portal."""
    form = form_of(request)
    typed = _typed({name: form.one(name) for name in ("portal", "since", "until")})
    portal = typed["portal"]
    if not may_touch(request, portal) or not await (await ledger_of(request)).lanes([portal]):
        wrong = Wrong("portal", "portal-key", "is not known", "See the portals for those there are.")
        return _page(request, typed, wrongs=[wrong])
    read = _query(typed, form.one("cursor"))
    if isinstance(read, list):
        return _page(request, typed, wrongs=read)
    standing = _standing(form)
    try:
        period = await _advance(request, portal, read, standing)
    except Problem as problem:
        return _page(request, typed, problem=problem)
    after = {"period": period, "payments": standing.counts.payments, "differing": standing.counts.differing}
    await actions.record(request, actions.RECONCILE, portal, None, after)
    return _page(request, typed, standing=standing)


async def _advance(request: web.Request, portal: str, query: ReconcileQuery, standing: Standing) -> str:
    ends_at = time.monotonic() + _WITHIN_S
    while True:
        before, page = await compare(request, portal, query)
        standing.counts += page.counts
        for finding in page.findings:
            _keep(standing, finding)
        standing.cursor = cursors.written(page.cursor, portal) if page.cursor else None
        standing.wait_s, standing.reason, standing.stop = page.wait_s, page.reason, page.stop
        standing.ended = page.cursor is None
        wait_s = max(_WAIT_LEAST_S, page.wait_s) if page.wait_s else 0.0
        if standing.ended or page.stop or time.monotonic() + wait_s >= ends_at:
            return f"{before.period.since:%Y-%m-%d %H:%M:%S} to {before.period.until:%Y-%m-%d %H:%M:%S} UTC"
        await asyncio.sleep(wait_s)
        query = required(ReconcileQuery, {"cursor": standing.cursor})


def _keep(standing: Standing, finding: Finding) -> None:
    payment, text = finding.payment, finding.text.replace("\t", " ")[:_LONGEST_TEXT]
    row = Row(finding.kind, payment.id, str(payment.invoice_id), payment.state, text)
    others = [kept for kept in standing.rows if not kept.is_difference]
    if len(standing.rows) >= MOST_FOUND and row.is_difference and others:
        standing.rows.remove(others[-1])  # what must be looked into comes before what explains itself
        standing.more += 1
    if len(standing.rows) < MOST_FOUND:
        standing.rows.append(row)
    else:
        standing.more += 1


def _standing(form: Form) -> Standing:
    """What the page says of the steps before; whoever changes it changes what they are shown."""
    counts = Counts(**{name: _count(form.one(name)) for name in _COUNTS})
    rows = [row for kept in form.many("found")[:MOST_FOUND] if (row := _row(kept)) is not None]
    return Standing(counts=counts, rows=rows, more=_count(form.one("more")))


def _row(kept: str) -> Row | None:
    try:
        kind, payment_id, invoice, state, text = kept.split("\t")
        return Row(Kind(kind), payment_id[:255], invoice[:20], State(state), text[:_LONGEST_TEXT])
    except ValueError:
        return None


def _count(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else 0


def _typed(given: Mapping[str, str]) -> dict[str, str]:
    return {name: value.strip() for name, value in given.items()}


def _query(typed: Mapping[str, str], cursor: str) -> ReconcileQuery | list[Wrong]:
    if cursor:
        return validated(ReconcileQuery, {"cursor": cursor})
    asked = {name: moment(typed[name]) for name in ("since", "until") if typed[name]}
    return validated(ReconcileQuery, asked)


def _page(
    request: web.Request,
    typed: Mapping[str, str],
    *,
    standing: Standing | None = None,
    wrongs: Sequence[Wrong] = (),
    problem: Problem | None = None,
) -> web.Response:
    return render(
        request,
        "reconcile.html",
        status=problem.status if problem else 422 if wrongs else 200,
        title="Reconcile",
        here=HERE,
        typed=typed,
        standing=standing,
        counts={name: getattr(standing.counts, name) for name in _COUNTS} if standing else {},
        wait_ms=round(max(_WAIT_LEAST_S, standing.wait_s) * 1000) if standing and standing.wait_s else 0,
        wrongs=wrongs,
        problem=problem,
        repeated=f"{HERE}?portal={quote(typed['portal'])}",
    )
