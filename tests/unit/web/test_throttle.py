"""The throttle counts senders, knows proxies, and stays small."""

import pytest

from web.throttle import BURST, PER_S, Throttle


class Clock:
    """A time that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now


def test_a_burst_is_let_through_and_then_one_at_a_time():
    """Thirty at once, then one every two seconds; what is refused is not counted, and the wait told is enough."""
    clock = Clock()
    throttle = Throttle(clock=clock)
    assert [throttle.count("a") for _ in range(BURST)] == [0.0] * BURST
    wait_s = throttle.count("a")
    assert wait_s == pytest.approx(1 / PER_S)
    assert throttle.count("b") == 0.0
    clock.now += wait_s + 0.001
    assert throttle.count("a") == 0.0
    assert throttle.count("a") > 0


def test_many_senders_cost_bounded_memory():
    """Whoever knocked longest ago is forgotten."""
    throttle = Throttle(clock=Clock())
    for number in range(20_000):
        throttle.count(str(number))
    assert len(throttle._levels) == 10_000


@pytest.mark.parametrize(
    ("proxies", "remote", "forwarded", "sender"),
    [
        ([], "203.0.113.7", ["198.51.100.1"], "203.0.113.7"),
        (["10.0.0.0/8"], "10.1.2.3", ["198.51.100.1"], "198.51.100.1"),
        (["10.0.0.0/8"], "10.1.2.3", ["1.2.3.4, 198.51.100.1"], "198.51.100.1"),
        (["10.0.0.0/8"], "10.1.2.3", ["1.2.3.4", "198.51.100.1, 10.9.9.9"], "198.51.100.1"),
        (["10.0.0.0/8"], "203.0.113.7", ["198.51.100.1"], "203.0.113.7"),
        (["10.0.0.0/8"], "10.1.2.3", [], "10.1.2.3"),
        (["10.0.0.0/8"], "10.1.2.3", ["forged"], "nobody"),
        ([], "2001:db8:1:2:3::4", [], "2001:db8:1:2::/64"),
        ([], "::ffff:203.0.113.7", [], "203.0.113.7"),
        ([], None, [], "nobody"),
    ],
)
def test_a_sender_is_who_our_proxies_saw(proxies: list[str], remote: str | None, forwarded: list[str], sender: str):
    """Only our own proxies' word counts; a customer of IPv6 is one sender."""
    assert Throttle(proxies).sender(remote, forwarded) == sender
