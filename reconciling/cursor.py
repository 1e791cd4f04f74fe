"""Where a comparison goes on: its portal, its period and a place in a walk; as a text that gives nobody anything."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from ledger import place_text
from ledger.payment import State
from ledger.walks import START, Place
from reconciling.period import Period

# In this order. What ends while a comparison is under way has ended behind its period and belongs to the next one.
WALKS: Final = (State.PAID, State.FAILED, State.CANCELLED, State.IN_DOUBT)
_FORM: Final = "reconcile.1"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)
_LAST_MS: Final = 253_402_300_799_000  # the year 9999


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
    return place_text.written([_FORM, portal, since, until, cursor.walk], cursor.place)


def read(text: str, portal: str) -> Cursor:
    """Raises BadCursor unless it was written for this portal."""
    try:
        (form, of, since, until, walk), place = place_text.read(text, heads=5)
    except ValueError:
        raise BadCursor("it is no cursor of a comparison") from None
    if form != _FORM or of != portal:
        raise BadCursor("it is the cursor of another comparison")
    numbers = all(isinstance(each, int) and not isinstance(each, bool) for each in (since, until, walk))
    if not numbers or not 0 <= since < until <= _LAST_MS or not 0 <= walk < len(WALKS):
        raise BadCursor("it is no cursor of a comparison")
    return Cursor(Period(_EPOCH + since * _MS, _EPOCH + until * _MS), walk, place)
