"""Where a list goes on, as a text that travels with the client and gives nobody anything."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from dataclasses import dataclass
from typing import Final

from ledger.walks import MOST_NAMES, START, Place
from tasks.payment import PORTAL, is_handle
from web.api.models import LONGEST_CURSOR
from web.api.wrongs import Wrong, refusal
from web.problems import Problem

_LARGEST_AT: Final = 2**64 - 1
_LONGEST_STAGE: Final = 1
_WITHOUT_NAMES: Final = 5  # parts


@dataclass(frozen=True, slots=True)
class Cursor:
    """The lane to go on in, which of the searches in it, and where in that."""

    portal: str
    search: int = 0
    place: Place = START


def written(cursor: Cursor, filters: str) -> str:
    """As a text; `filters` names the list that it belongs to."""
    place = cursor.place
    parts = [filters, cursor.portal, cursor.search, place.stage, place.at, *place.names]
    while True:
        text = json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
        coded = urlsafe_b64encode(text.encode()).decode().rstrip("=")
        if len(coded) <= LONGEST_CURSOR or len(parts) <= _WITHOUT_NAMES + 1:
            return coded
        parts.pop()  # somebody's ids are very long: the latest name has room


def read(text: str, filters: str) -> Cursor:
    """Raises Problem unless it is a cursor of this very list."""
    try:
        parts = json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        of, portal, search, stage, at, *names = parts
    except (ValueError, TypeError, NotBase64, RecursionError):
        raise _bad() from None
    known = of == filters and isinstance(portal, str) and PORTAL.fullmatch(portal) and isinstance(search, int)
    stands = isinstance(stage, str) and len(stage) <= _LONGEST_STAGE and _is_number(at)
    if not known or not stands or len(names) > MOST_NAMES or not all(name == "" or is_handle(name) for name in names):
        raise _bad()
    return Cursor(portal, search, Place(stage, at, tuple(names)))


def _is_number(at: object) -> bool:
    if not isinstance(at, str) or not at.isascii():
        return False
    return at == "" or (at.isdigit() and len(at) <= len(str(_LARGEST_AT)) and int(at) <= _LARGEST_AT)


def _bad() -> Problem:
    text = "is not a cursor of this list"
    step = "Give next_cursor of the page before, with the same filters, or begin without a cursor."
    return refusal([Wrong("cursor", "cursor", text, step, within="parameter")])
