"""How long a backlog takes, and on what that rests."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from ledger.ledger import Held, LaneView
from ledger.payment import PortalKey, State
from limiter.limiter import Limits, Pace
from web.pages.lanes import Rate, card, possible_per_s, time_left

NOW = datetime(2026, 11, 24, tzinfo=UTC)
PACE = Pace(
    rate=2.0,
    burst=50.0,
    level=10.0,
    pause_s=0.0,
    command_s=0.1,
    base_s=0.05,
    execution_used_s=120.0,
    execution_limit_s=480.0,
    commands=49,
)


def a_lane(held: Held | None = None, **counts: int) -> LaneView:
    """A lane with so many payments."""
    every = {state: counts.get(state.value, 0) for state in State}
    return LaneView(portal=PortalKey("acme"), counts=every, held=held, due_at=None, owner=None)


def test_the_observed_rate_says_how_long():
    """Of what ended in the last minutes, not of what might be."""
    left = time_left(a_lane(queued=1100, sending=100), Limits(), PACE, Rate(600, 300.0))
    assert left.seconds == 600
    assert "2.0 payments/s" in left.how
    assert "5 min" in left.how


def test_without_a_rate_the_limits_say_the_least_time():
    """480 s of execution in 600 s and 0.1 s a command are 8 payments a second, less than 2 requests of 49."""
    assert possible_per_s(Limits(), PACE) == pytest.approx(8.0)
    assert possible_per_s(Limits(), replace(PACE, command_s=0.001)) == pytest.approx(98.0)
    assert time_left(a_lane(queued=80), Limits(), PACE, Rate(0, 300.0)).seconds == pytest.approx(10.0)


def test_nobody_guesses():
    """A held lane, an idle one, and one that was never asked."""
    held = Held("OPERATOR", "later", NOW)
    assert time_left(a_lane(held, queued=5), Limits(), PACE, Rate(600, 300.0)).seconds is None
    assert time_left(a_lane(), Limits(), PACE, None).seconds == 0
    assert time_left(a_lane(queued=5), Limits(), None, None).seconds is None


def test_what_a_card_shows():
    """Levels as parts of what is allowed, and whether the portal is asked slower than configured."""
    shown = card(a_lane(queued=3, sending=98, in_doubt=1), None, replace(PACE, rate=1.0), None)
    assert (shown.waiting, shown.in_flight, shown.batches) == (102, 98, 2)
    assert shown.bucket is not None
    assert shown.bucket.share == pytest.approx(0.2)
    assert shown.execution is not None
    assert shown.execution.share == pytest.approx(0.25)
    assert shown.slower
    assert shown.credential is None
