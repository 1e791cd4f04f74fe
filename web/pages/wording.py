"""How pages say things: instants, ages, numbers, states. Filters of the templates; each takes None as well."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from markupsafe import Markup

from ledger.payment import State

NOTHING: Final = "\N{EN DASH}"
_WORDS: Final = {"in_doubt": "in doubt"}
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400
_SOON_S: Final = 90
_SHORT: Final = ((1_000_000_000, "G"), (1_000_000, "M"), (10_000, "k"))
_TEN: Final = 10


def now() -> datetime:
    """This machine's clock: for ages on pages, and for no decision."""
    return datetime.now(UTC)


def instant(at: datetime | None) -> str:
    """A moment, in UTC to the second, and the whole of it for whoever points at it."""
    if at is None:
        return NOTHING
    at = at.astimezone(UTC)
    shown = f"{at:%H:%M:%S}" if at.date() == now().date() else f"{at.day} {at:%b %H:%M:%S}"
    return Markup('<time datetime="{0}" title="{0}">{1}</time>').format(_iso(at), shown)


def age(at: datetime | None) -> str:
    """How long ago; the browser counts on."""
    if at is None:
        return NOTHING
    seconds = (now() - at).total_seconds()
    return Markup('<time datetime="{0}" title="{0}" data-age>{1}</time>').format(_iso(at), duration(seconds))


def duration(seconds: float | None) -> str:
    """A length of time in one or two units."""
    if seconds is None:
        return NOTHING
    seconds = max(0.0, seconds)
    if seconds < _TEN and seconds != int(seconds):
        return f"{seconds:.1f} s"
    if seconds < _SOON_S:
        return f"{seconds:.0f} s"
    if seconds < _SOON_S * _MINUTE_S:
        return f"{seconds // _MINUTE_S:.0f} min"
    if seconds < 2 * _DAY_S:
        return f"{seconds // _HOUR_S:.0f} h {seconds % _HOUR_S // _MINUTE_S:.0f} min"
    return f"{seconds // _DAY_S:,.0f} days"


def number(value: float | None) -> str:
    """A whole number with commas, others to one digit."""
    if value is None:
        return NOTHING
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def short(value: float | None) -> str:
    """A number in few characters."""
    if value is None:
        return NOTHING
    for unit, letter in _SHORT:
        if value >= unit:
            scale = 1000 if letter == "k" else unit
            return f"{value / scale:,.1f}{letter}"
    return number(value)


def size(value: float | None) -> str:
    """Bytes."""
    if value is None:
        return NOTHING
    for unit, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if value >= unit:
            return f"{value / unit:,.1f} {name}"
    return f"{value:,.0f} B"


def state_word(state: str) -> str:
    """A state as people say it."""
    return _WORDS.get(state, str(state))


def counted(value: int, one: str, many: str | None = None) -> str:
    """`1 payment`, `2 payments`."""
    return f"{value:,} {one if value == 1 else many or one + 's'}"


def _iso(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}Z"


STATES: Final = tuple(State)
FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "instant": instant,
    "age": age,
    "duration": duration,
    "number": number,
    "short": short,
    "size": size,
    "state_word": state_word,
    "counted": counted,
}
