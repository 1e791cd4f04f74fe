"""A process keeps as many requests in flight as its event loop can settle."""

from worker.load import LATE_S, LEAST_REQUESTS, MOST_REQUESTS, Load


def test_a_late_loop_gets_fewer_requests() -> None:
    """However many there were, some are always allowed."""
    load = Load()
    load.requests = 100
    load.felt(2 * LATE_S)
    assert LEAST_REQUESTS < load.most < load.requests
    assert load.is_full
    for _ in range(50):
        load.felt(2 * LATE_S)
    assert load.most == LEAST_REQUESTS


def test_a_loop_in_time_gets_more_again() -> None:
    """Step by step, up to what memory allows."""
    load = Load()
    load.requests = 100
    load.felt(2 * LATE_S)
    before = load.most
    load.felt(0.0)
    assert before < load.most < before + 10
    for _ in range(1000):
        load.felt(0.0)
    assert load.most == MOST_REQUESTS
    assert not load.is_full
