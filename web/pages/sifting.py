"""Payments as a person looks for them: filters from a form, and one box for everything that names a payment."""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from aiohttp import web

from ledger.payment import Payment, State
from ledger.redis import RedisLedger
from ledger.walks import Sought
from tasks.payment import LARGEST_ID, is_handle
from web.access import PRINCIPAL
from web.api.bodies import validated
from web.api.door import may_touch
from web.api.listing import Listing, Search, fits
from web.api.models import PaymentsQuery
from web.api.payments import WITH_CODES
from web.api.wrongs import Wrong
from web.parts import PARTS

PAGE: Final = 50
# One invoice number may be in use at every portal.
MOST_OF_AN_INVOICE: Final = 100
_PORTALS_AT_ONCE: Final = 1000
_MINUTES: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2})?")  # what a browser's field for a moment sends
_CODE: Final = re.compile(r"[A-Z][A-Z0-9_]{2,99}")
_FIELDS: Final = ("portal", "code", "since", "until", "cursor")


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What was typed, as text for the form, and what it means; `query` is None where something is wrong."""

    text: str
    typed: Mapping[str, str]
    states: Sequence[str]
    query: PaymentsQuery | None
    wrongs: Sequence[Wrong] = ()

    @property
    def any(self) -> bool:
        """Whether anything is asked for at all."""
        return bool(self.text or self.states or any(self.typed[name] for name in self.typed if name != "cursor"))

    def address(self, **changes: str) -> str:
        """The query of the same filters with some changes, for links."""
        fields = {**{name: value for name, value in self.typed.items() if name != "cursor"}, **changes}
        pairs = [("q", self.text), *(("state", each) for each in self.states), *fields.items()]
        return urlencode([(name, value) for name, value in pairs if value])


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One page of what was found; `only` is set where the text names exactly this payment."""

    rows: Sequence[Payment] = ()
    goes_on: str | None = None
    only: Payment | None = None
    more: bool = False  # there is more than can be shown; a portal narrows it
    by: str = ""  # what the text was taken for


def filters_of(request: web.Request) -> Filters:
    """The filters of a request. Fields that were left empty ask for nothing."""
    given = request.query
    text = given.get("q", "").strip()
    typed = {name: given.get(name, "").strip() for name in _FIELDS}
    states = [each for each in given.getall("state", []) if each]
    data: dict[str, object] = {name: moment(value) for name, value in typed.items() if value}
    read = validated(PaymentsQuery, {**data, "state": states, "limit": str(PAGE)})
    wrongs = read if isinstance(read, list) else []
    query = None if isinstance(read, list) else read
    return Filters(text=text, typed=typed, states=states, query=query, wrongs=wrongs)


def moment(value: str) -> str:
    """Moments are UTC on every page."""
    if not _MINUTES.fullmatch(value):
        return value
    return f"{value}Z" if len(value) > len("2026-11-24T01:02") else f"{value}:00Z"


async def find(request: web.Request, ledger: RedisLedger, filters: Filters) -> Found:
    """What the filters and the text want; raises Problem for a cursor of another list."""
    query = filters.query
    if query is None:
        return Found()
    if not filters.text:
        return await _listed(request, ledger, query, query.code)
    named = await _named(request, filters.text)
    if len(named) == 1:
        return Found(rows=named, only=named[0], by="name")
    of_invoice, more = await _of_invoice(request, ledger, filters.text, query.portal)
    rows = [row for row in (*named, *of_invoice) if _fits(row, query)]
    if rows:
        return Found(rows=rows, only=rows[0] if len(rows) == 1 else None, more=more, by="invoice" if of_invoice else "")
    if query.code is None and _CODE.fullmatch(filters.text):
        found = await _listed(request, ledger, query, filters.text)
        return Found(rows=found.rows, goes_on=found.goes_on, by="code")
    return Found()


def searches_of(query: PaymentsQuery, code: str | None) -> Sequence[Search]:
    """The same states and filters as a list over HTTP has."""
    sought = Sought(code=code, since=query.since, until=query.until)
    states = [state for state in State if state in query.state] or list(State)
    return [Search(state, sought) for state in states if not code or state in WITH_CODES]


async def _listed(request: web.Request, ledger: RedisLedger, query: PaymentsQuery, code: str | None) -> Found:
    listing = Listing(request, ledger, searches_of(query, code), query.limit, query.portal)
    rows, goes_on = await listing.page(query.cursor)
    return Found(rows=rows, goes_on=goes_on)


async def _named(request: web.Request, text: str) -> list[Payment]:
    """By id, handle or idempotency key; what is not theirs looks like what is not there."""
    if not is_handle(text):
        return []
    return [row for row in await request.app[PARTS].lookups.named(text) if may_touch(request, row.portal)]


async def _of_invoice(
    request: web.Request, ledger: RedisLedger, text: str, portal: str | None
) -> tuple[list[Payment], bool]:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:20]) <= LARGEST_ID):
        return [], False
    lookups, rows = request.app[PARTS].lookups, list[Payment]()
    async for names in _portals(request, ledger, portal):
        rows += await lookups.invoice(int(text), names)
        if len(rows) >= MOST_OF_AN_INVOICE:
            break
    return rows[:MOST_OF_AN_INVOICE], len(rows) >= MOST_OF_AN_INVOICE


async def _portals(request: web.Request, ledger: RedisLedger, portal: str | None) -> AsyncIterator[Sequence[str]]:
    allowed = request[PRINCIPAL].portals
    if portal is not None:
        yield [portal] if may_touch(request, portal) else []
        return
    if allowed is not None:
        yield sorted(allowed)
        return
    after: str | None = ""
    while after is not None:
        names, after = await ledger.portals(after, _PORTALS_AT_ONCE)
        yield names


def _fits(row: Payment, query: PaymentsQuery) -> bool:
    return any(fits(row, search) for search in searches_of(query, query.code))
