"""Where a list goes on, as a text that travels with the client and gives nobody anything."""

from dataclasses import dataclass

from ledger import place_text
from ledger.walks import START, Place
from tasks.payment import PORTAL
from web.api.wrongs import Wrong, refusal
from web.problems import Problem


@dataclass(frozen=True, slots=True)
class Cursor:
    """The lane to go on in, which of the searches in it, and where in that."""

    portal: str
    search: int = 0
    place: Place = START


def written(cursor: Cursor, filters: str) -> str:
    """As a text; `filters` names the list that it belongs to."""
    return place_text.written([filters, cursor.portal, cursor.search], cursor.place)


def read(text: str, filters: str) -> Cursor:
    """Raises Problem unless it is a cursor of this very list."""
    try:
        (of, portal, search), place = place_text.read(text, heads=3)
    except ValueError:
        raise _bad() from None
    if of != filters or not isinstance(portal, str) or not PORTAL.fullmatch(portal) or not isinstance(search, int):
        raise _bad()
    return Cursor(portal, search, place)


def _bad() -> Problem:
    text = "is not a cursor of this list"
    step = "Give next_cursor of the page before, with the same filters, or begin without a cursor."
    return refusal([Wrong("cursor", "cursor", text, step, within="parameter")])
