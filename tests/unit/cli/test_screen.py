"""The screen of `b24pay watch` on an ordinary terminal."""

import io
from collections.abc import Mapping
from datetime import UTC, datetime

from rich.console import Console

from cli.screen import Rates, screen_of
from ledger.ledger import Held, LaneView
from ledger.payment import PortalKey, State

AT = datetime(2026, 11, 24, tzinfo=UTC)


def a_lane(name: str, counts: Mapping[State, int], *, held: Held | None = None) -> LaneView:
    """A lane with some payments."""
    every = {state: counts.get(state, 0) for state in State}
    return LaneView(portal=PortalKey(name), counts=every, held=held, due_at=None, owner=None)


def drawn(lanes: list[LaneView], rates: Rates, *, width: int = 80, height: int = 24) -> list[str]:
    """The lines of one look."""
    console = Console(file=io.StringIO(), width=width, height=height, record=True, force_terminal=True)
    console.print(screen_of(lanes, rates, lines=height, at="10:00:00"))
    return console.export_text().rstrip("\n").split("\n")


def test_a_crowd_of_lanes_fits_one_screen_and_the_totals_are_on_it():
    """Long names and reasons are cut, numbers never; a lane that needs a person stands first below the totals."""
    held = Held("INVALID_CREDENTIALS", "Invalid request credentials, and a long text of the portal's own", AT)
    lanes = [a_lane(f"portal-{n:04}." + "x" * 40, {State.QUEUED: 123_456, State.PAID: 4_000}) for n in range(1000)]
    lanes.append(a_lane("zeta", {State.QUEUED: 7, State.IN_DOUBT: 2}, held=held))
    lines = drawn(lanes, Rates())
    assert len(lines) < 24
    assert all(len(line) <= 80 for line in lines)
    assert lines[1].split() == ["portal", "waiting", "sending", "doubts", "failed", "paid", "per", "s", "lane"]
    assert lines[2].split()[:7] == ["all", "123.46M", "0", "2", "0", "4.00M", "0.0"]
    assert lines[3].split()[:7] == ["zeta", "7", "0", "2", "0", "0", "0.0"]
    assert "held: INVALID_CRE…" in lines[3]
    assert "123,456" in lines[4]
    assert "more" in lines[-1]


def test_rates_are_those_between_two_looks():
    """By lane and in all; a lane that is new, and one that forgets old payments, have none."""
    rates = Rates()
    rates.look([a_lane("a", {State.PAID: 10}), a_lane("b", {State.PAID: 5})], 100.0)
    assert rates.total == 0
    looked = [a_lane("a", {State.PAID: 30}), a_lane("b", {State.PAID: 4}), a_lane("c", {State.PAID: 9})]
    rates.look(looked, 102.0)
    assert rates.by_lane == {"a": 10.0, "b": 0.0, "c": 0.0}
    assert drawn(looked, rates)[3].split()[:7] == ["a", "0", "0", "0", "0", "30", "10.0"]
