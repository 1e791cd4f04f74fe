"""Whether a worker consumes: by what turns, on a clock of the test's own."""

import pytest

from metrics.pulse import STILL_S, Beat, Pulse


class Clock:
    """Seconds that pass on request."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock."""
    return Clock()


@pytest.fixture
def pulse(clock: Clock) -> Pulse:
    """A worker of which everything has just turned."""
    pulse = Pulse(clock)
    for beat in Beat:
        pulse.feed(beat)
    return pulse


def test_a_worker_of_which_everything_turns_consumes(pulse: Pulse, clock: Clock):
    """As long as nothing has stood still for too long."""
    assert pulse.hindrance() is None
    clock.now += STILL_S
    assert pulse.hindrance() is None


@pytest.mark.parametrize(
    ("beat", "word"),
    [
        (Beat.PAYMENTS, "payments' loop"),
        (Beat.CONSUMER, "consumer"),
        (Beat.DISPATCHER, "dispatcher"),
        (Beat.REDIS, "Redis"),
    ],
)
def test_one_part_that_stands_still_is_named(pulse: Pulse, clock: Clock, beat: Beat, word: str):
    """The others turn, and it is not ready all the same."""
    clock.now += STILL_S + 1
    for other in Beat:
        if other is not beat:
            pulse.feed(other)
    assert word in str(pulse.hindrance())
    assert f"{STILL_S + 1:.0f} s" in str(pulse.hindrance())


def test_a_hang_is_found_within_the_time_of_the_contract():
    """15 s, with the two seconds between two signs of life and the silence that is believed."""
    from metrics.life import EVERY_S, SILENT_S

    assert STILL_S + EVERY_S + 1 < 15
    assert SILENT_S + EVERY_S < 15


def test_a_worker_that_has_not_begun_is_starting(clock: Clock):
    """A consumer that has not turned yet does not consume."""
    pulse = Pulse(clock)
    for beat in (Beat.PAYMENTS, Beat.REDIS, Beat.DISPATCHER):
        pulse.feed(beat)
    assert "starting" in str(pulse.hindrance())
    pulse.feed(Beat.CONSUMER)
    assert pulse.hindrance() is None


def test_a_worker_that_stops_takes_no_more(pulse: Pulse):
    """Whatever turns still."""
    pulse.stopping = True
    assert "stopping" in str(pulse.hindrance())


def test_whoever_reads_it_from_redis_is_told_of_the_rest(pulse: Pulse, clock: Clock):
    """That Redis hears it is shown by its being there."""
    clock.now += STILL_S + 1
    for beat in (Beat.PAYMENTS, Beat.CONSUMER, Beat.DISPATCHER):
        pulse.feed(beat)
    assert pulse.hindrance() is not None
    assert pulse.hindrance(but=Beat.REDIS) is None
