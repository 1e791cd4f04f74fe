"""The two limits count by a clock that is given to them."""

from emulator.buckets import Hit, LeakyBucket, Operating
from emulator.clock import Clock

KEY = ("apauth", "1/x", "sale.paysystem.pay.invoice")


def spend(operating: Operating, at: float, seconds: float) -> None:
    hit = Hit()
    hit.add(KEY, at, seconds)
    operating.write(hit, at + seconds)


def test_a_bucket_takes_its_burst_and_then_its_rate() -> None:
    """Fifty requests pass at once, the next has to wait half a second."""
    bucket = LeakyBucket()
    assert [bucket.take(0.0, burst=50, rate=2.0) for _ in range(51)] == [True] * 50 + [False]
    assert not bucket.take(0.49, burst=50, rate=2.0)
    assert bucket.take(0.51, burst=50, rate=2.0)


def test_rejected_requests_may_be_counted_too() -> None:
    """With rejected requests counted, one that keeps knocking waits longer."""
    bucket = LeakyBucket()
    taken = [bucket.take(0.0, burst=2, rate=1.0, count_rejected=True) for _ in range(4)]
    assert taken == [True, True, False, False]
    assert not bucket.take(1.0, burst=2, rate=1.0, count_rejected=True)


def test_operating_time_leaves_after_ten_minutes_of_its_minute() -> None:
    """A minute's time counts until the minute's start is ten minutes ago."""
    operating = Operating()
    spend(operating, 30.0, 5.0)
    spend(operating, 90.0, 7.0)
    assert operating.spent(KEY, 100.0) == 12.0
    assert operating.spent(KEY, 599.0) == 12.0
    assert operating.spent(KEY, 600.0) == 7.0
    assert operating.spent(KEY, 660.0) == 0.0


def test_hits_up_to_a_tenth_of_a_second_leave_no_trace() -> None:
    """The floor is exclusive: exactly 0.1 s is not written down."""
    operating = Operating()
    spend(operating, 0.0, 0.1)
    assert operating.spent(KEY, 1.0) == 0.0
    spend(operating, 0.0, 0.11)
    assert operating.spent(KEY, 1.0) == 0.11


def test_the_reset_is_ten_minutes_after_the_oldest_buckets_first_call() -> None:
    """The reset instant follows the first call's start, or this call's when nothing is written."""
    operating = Operating()
    assert operating.reset_at(KEY, 50.0, 50.0) == 650.0
    spend(operating, 30.0, 5.0)
    spend(operating, 40.0, 5.0)
    assert operating.reset_at(KEY, 50.0, 50.0) == 630.0


def test_the_clock_skips_only_forward() -> None:
    """Skipped time is added to the machine's."""
    clock = Clock(lambda: 100.0)
    clock.advance(600.0)
    assert clock.now() == 700.0
