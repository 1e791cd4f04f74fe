"""Where a comparison goes on: its portal, its period and a place in a walk; as a text that gives nobody anything."""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from ledger.payment import State
from ledger.walks import MOST_NAMES, START, Place
from reconciling.period import Period

# In this order. What ends while a comparison is under way has ended behind its period and belongs to the next one.
WALKS: Final = (State.PAID, State.FAILED, State.CANCELLED, State.IN_DOUBT)
LONGEST: Final = 2000  # characters
_FORM: Final = "reconcile.1"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)
_LAST_MS: Final = 253_402_300_799_000  # the year 9999
_DECIMAL: Final = re.compile(r"[0-9]{0,20}", re.ASCII)
_LONGEST_NAME: Final = 255
_WITHOUT_NAMES: Final = 7  # parts


class BadCursor(ValueError):  # noqa: N818 - names what is bad
    """No cursor of ours, or one of another portal."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """The period, which of the walks is under way, and where it stands."""

    period: Period
    walk: int = 0
    place: Place = START

    @property
    def state(self) -> State:
        """The state that is walked through now."""
        return WALKS[self.walk]

    def behind(self, place: Place | None) -> "Cursor | None":
        """The cursor after a step of the walk; None behind the last walk."""
        if place is not None:
            return replace(self, place=place)
        return Cursor(self.period, self.walk + 1) if self.walk + 1 < len(WALKS) else None


def written(cursor: Cursor, portal: str) -> str:
    """As a text of URL-safe characters."""
    since, until = ((each - _EPOCH) // _MS for each in (cursor.period.since, cursor.period.until))
    place = cursor.place
    parts = [_FORM, portal, since, until, cursor.walk, place.stage, place.at, *place.names]
    while True:
        text = json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
        coded = urlsafe_b64encode(text.encode()).decode().rstrip("=")
        if len(coded) <= LONGEST or len(parts) <= _WITHOUT_NAMES + 1:
            return coded
        parts.pop()  # somebody's ids are very long: the latest name has room


def read(text: str, portal: str) -> Cursor:
    """Raises BadCursor unless it was written for this portal."""
    try:
        parts = json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        form, of, since, until, walk, stage, at, *names = parts
    except (ValueError, TypeError, RecursionError):
        raise BadCursor("it is no cursor of a comparison") from None
    if form != _FORM or of != portal:
        raise BadCursor("it is the cursor of another comparison")
    numbers = all(isinstance(each, int) and not isinstance(each, bool) for each in (since, until, walk))
    if not numbers or not 0 <= since < until <= _LAST_MS or not 0 <= walk < len(WALKS):
        raise BadCursor("it is no cursor of a comparison")
    texts = isinstance(stage, str) and len(stage) <= 1 and isinstance(at, str) and _DECIMAL.fullmatch(at)
    if not texts or len(names) > MOST_NAMES or not all(map(_is_name, names)):
        raise BadCursor("it is no cursor of a comparison")
    period = Period(_EPOCH + since * _MS, _EPOCH + until * _MS)
    return Cursor(period, walk, Place(stage, at, tuple(names)))


def _is_name(name: object) -> bool:
    return isinstance(name, str) and len(name) <= _LONGEST_NAME and name.isprintable()
