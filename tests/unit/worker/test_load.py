"""A process keeps as many requests in flight as its event loop can settle."""

from worker.load import FIRST_REQUESTS, LATE_S, LEAST_REQUESTS, MOST_REQUESTS, REMEMBERED, Load


def a_load(requests: int) -> Load:
    """So many are in flight, and nothing was late so far."""
    load = Load()
    load.requests = requests
    for _ in range(20):
        load.felt(0.0)
    return load


def test_a_loop_in_time_gets_as_many_as_it_uses_and_some_more() -> None:
    """Twice as many as there are, so that a sudden rush is felt before all of it is in flight."""
    assert a_load(0).most == FIRST_REQUESTS
    assert a_load(50).most == 100
    assert a_load(10_000).most == MOST_REQUESTS
    assert a_load(10_000).is_full
    assert not a_load(200).is_full


def test_a_late_loop_gets_fewer_requests() -> None:
    """However many there were, some are always allowed."""
    load = a_load(100)
    load.felt(2 * LATE_S)
    assert LEAST_REQUESTS < load.most < load.requests
    assert load.is_full
    for _ in range(50):
        load.felt(2 * LATE_S)
    assert load.most == LEAST_REQUESTS


def test_after_a_late_pulse_there_are_more_step_by_step() -> None:
    """Lateness is remembered for some seconds."""
    load = a_load(100)
    load.felt(2 * LATE_S)
    before = load.most
    load.felt(0.0)
    assert before < load.most < before + 10
    assert load.is_strained
    for _ in range(REMEMBERED):
        load.felt(0.0)
    assert not load.is_strained


def test_lanes_share_what_there_is_once_half_of_it_is_used() -> None:
    """One lane alone may have it all; beside others it leaves them theirs, and each always has one."""
    load = Load()
    load.requests = FIRST_REQUESTS // 2 - 1
    assert load.share(40) >= FIRST_REQUESTS
    load.requests = FIRST_REQUESTS // 2
    assert load.share(1) == FIRST_REQUESTS
    assert load.share(5) == 7
    assert load.share(500) == 1
