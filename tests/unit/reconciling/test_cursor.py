"""A cursor travels as a text, and whatever else comes back is refused."""

import json
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.place_text import LONGEST
from ledger.walks import Place
from reconciling.cursor import WALKS, BadCursor, Cursor, read, written
from reconciling.period import EmptyPeriod, Period, period_of

NOW = datetime(2026, 11, 25, 1, 2, 3, 456789, tzinfo=UTC)
PERIOD = Period(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
NAMES = st.lists(st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=255), max_size=4)


@given(
    walk=st.integers(0, len(WALKS) - 1),
    at=st.integers(0, 2**63).map(str),
    names=NAMES,
    since=st.integers(0, 10**12),
    length=st.integers(1, 10**12),
)
def test_what_is_written_is_read_again(walk: int, at: str, names: list[str], since: int, length: int) -> None:
    """All of it, as long as the names are of a sane length; it is a short text in any case."""
    begins = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=since)
    period = Period(begins, begins + timedelta(milliseconds=length))
    cursor = Cursor(period, walk, Place("p", at, tuple(names)))
    text = written(cursor, "acme")
    assert len(text) <= LONGEST
    again = read(text, "acme")
    assert (again.period, again.walk, again.place.at) == (period, walk, at)
    assert again.place.names == tuple(names)[: len(again.place.names)]


def coded(*parts: object) -> str:
    return urlsafe_b64encode(json.dumps(parts).encode()).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "?",
        "bm9uZQ",
        coded("reconcile.1", "acme", 0, 1),
        coded("reconcile.1", "globex", 0, 1, 0, "", ""),
        coded("reconcile.2", "acme", 0, 1, 0, "", ""),
        coded("reconcile.1", "acme", 1, 1, 0, "", ""),
        coded("reconcile.1", "acme", 0, True, 0, "", ""),
        coded("reconcile.1", "acme", 0, 10**18, 0, "", ""),
        coded("reconcile.1", "acme", 0, 1, 4, "", ""),
        coded("reconcile.1", "acme", 0, 1, -1, "", ""),
        coded("reconcile.1", "acme", 0, 1, 0, "xx", ""),
        coded("reconcile.1", "acme", 0, 1, 0, "p", "-1"),
        coded("reconcile.1", "acme", 0, 1, 0, "p", "1", "a", "b", "c", "d", "e"),
        coded("reconcile.1", "acme", 0, 1, 0, "p", "1", "a\nb"),
        coded("reconcile.1", "acme", 0, 1, 0, "p", "1", 7),
        coded({"reconcile.1": "acme"}),
    ],
)
def test_what_nobody_wrote_is_refused(text: str) -> None:
    """In words, and by nothing else than BadCursor."""
    with pytest.raises(BadCursor):
        read(text, "acme")


def test_a_cursor_goes_through_all_walks() -> None:
    """Paid, failed, cancelled, in doubt; then it ends."""
    cursor, seen = Cursor(PERIOD), []
    while cursor is not None:
        seen.append(cursor.state)
        assert cursor.behind(Place("x", "1")) == Cursor(PERIOD, cursor.walk, Place("x", "1"))
        cursor = cursor.behind(None)  # type: ignore[assignment]  # None ends the loop
    assert tuple(seen) == WALKS


def test_a_period_ends_now_at_the_latest_and_begins_a_day_before() -> None:
    """In whole milliseconds, as the ledger writes ends."""
    period = period_of(NOW, None, NOW + timedelta(hours=1))
    assert period == Period(NOW.replace(microsecond=456000) - timedelta(days=1), NOW.replace(microsecond=456000))
    with pytest.raises(EmptyPeriod, match="begins"):
        period_of(NOW, NOW, None)
