"""How full requests are made: fuller where requests are short, smaller side by side where there is room."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limiter.limiter import Limits, Permit
from worker.batches import evenly, worthwhile

LIMITS = Limits(rate=2, burst=50)


def a_permit(*, requests: int = 1, free: int = 49, commands: int = 49, command_s: float | None = 0.03) -> Permit:
    """A permit for so many requests, with room for so many more."""
    return Permit(
        granted=True,
        wait_s=0.0,
        command_s=command_s,
        execution_left_s=None,
        commands=commands,
        requests=requests,
        free=free,
    )


@pytest.mark.parametrize(
    ("waiting", "free", "size"),
    [
        (1, 49, 25),  # the request takes what there is
        (1000, 49, 40),  # 25 requests of the 50, instead of 21
        (10_000, 49, 49),  # more than the burst can carry
        (1000, 0, 49),
        (100, 24, 37),
    ],
)
def test_the_more_room_the_smaller_a_request(waiting: int, free: int, size: int) -> None:
    """Smaller requests end sooner, but only where the bucket has room for more of them."""
    assert worthwhile(a_permit(free=free), waiting, LIMITS) == size


def test_what_is_quick_is_not_split() -> None:
    """Two requests of a few milliseconds are no sooner done than one."""
    assert worthwhile(a_permit(command_s=0.001), 1000, LIMITS) == 49


def test_a_slow_portal_gets_small_requests_all_the_same() -> None:
    """The permit's figure is the most, whatever waits."""
    assert worthwhile(a_permit(commands=12, command_s=1.2), 10_000, LIMITS) == 12


def test_a_first_contact_is_as_small_as_the_limiter_says() -> None:
    """Nothing is known of its speed."""
    assert worthwhile(a_permit(commands=2, command_s=None), 1000, LIMITS) == 2


@given(
    waiting=st.integers(0, 100_000),
    free=st.integers(0, 100_000),
    requests=st.integers(1, 50),
    commands=st.integers(1, 49),
    command_s=st.none() | st.floats(0, 100),
)
def test_a_request_is_never_empty_nor_too_large(
    waiting: int, free: int, requests: int, commands: int, command_s: float | None
) -> None:
    """Whatever is believed."""
    permit = a_permit(requests=requests, free=free, commands=commands, command_s=command_s)
    assert 1 <= worthwhile(permit, waiting, LIMITS) <= commands


@given(items=st.lists(st.integers(), max_size=300), most=st.integers(1, 49))
def test_parts_are_even_and_lose_nothing(items: list[int], most: int) -> None:
    """In order, none longer than allowed, as few as possible, and none more than one longer than another."""
    parts = evenly(items, most)
    assert [item for part in parts for item in part] == items
    assert len(parts) == -(-len(items) // most)
    lengths = {len(part) for part in parts}
    assert not lengths or (max(lengths) <= most and max(lengths) - min(lengths) <= 1)
