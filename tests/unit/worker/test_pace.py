"""How long a consumer rests between two steps of fetching."""

from collections.abc import Callable

import pytest

from worker.pace import NEXT_TRIAL_S, REST_S, Pace

STEP_S = 0.002  # one step of fetching and its round trip


class World:
    """Consumers of one queue, turned in the order of their clocks; each message is known by when it was sent."""

    def __init__(self, consumers: int = 1) -> None:
        self.paces = [Pace() for _ in range(consumers)]
        self.due = [0.0] * consumers
        self.waited: list[float] = []

    @property
    def total(self) -> int:
        return len(self.waited)

    def run(self, until: float, take: Callable[[float], list[float]]) -> None:
        """Fetch until a time; `take` is what stands in the queue at a time, and empties it."""
        while min(self.due) < until:
            at = self.due.index(min(self.due))
            now = self.due[at]
            found = take(now)
            self.waited += [now - sent for sent in found]
            rest_s = self.paces[at].found(self.total if found else 0, now)
            self.due[at] = now + max(rest_s, STEP_S)

    def worst(self, since: int = 0) -> float:
        return max(self.waited[since:])


def a_stream(per_s: float) -> Callable[[float], list[float]]:
    """A producer that waits for nothing."""
    sent = [0]

    def take(now: float) -> list[float]:
        numbers = range(sent[0] + 1, int(now * per_s) + 1)
        sent[0] += len(numbers)
        return [number / per_s for number in numbers]

    return take


def callers(count: int, answer_s: float) -> Callable[[float], list[float]]:
    """Each sends the next message when it has the answer to the one before."""
    ready = [0.0] * count

    def take(now: float) -> list[float]:
        found = []
        for at, sent in enumerate(ready):
            if sent <= now:
                found.append(sent)
                ready[at] = now + answer_s
        return found

    return take


def steps_of(world: World, until: float, take: Callable[[float], list[float]]) -> int:
    counted = [0]

    def counting(now: float) -> list[float]:
        found = take(now)
        counted[0] += bool(found)
        return found

    world.run(until, counting)
    return counted[0]


def test_a_stream_comes_in_groups():
    world = World()
    steps = steps_of(world, 4.0, a_stream(500))
    assert world.total / steps > 15
    assert world.worst() <= REST_S + STEP_S


def test_a_stream_that_two_share_comes_in_groups():
    """Each alone sees the other take its messages while it rests."""
    world = World(consumers=2)
    steps = steps_of(world, 4.0, a_stream(500))
    assert world.total / steps > 8


def test_slow_messages_are_fetched_at_once():
    world = World()
    world.run(4.0, a_stream(50))
    assert world.worst() <= STEP_S


@pytest.mark.parametrize(("count", "answer_s"), [(1, 0.004), (1, 0.011), (4, 0.02), (16, 0.05)])
def test_callers_who_wait_for_each_result_are_not_held_up(count: int, answer_s: float):
    """However fast they are: a trial is in vain, and the next ones come ever later."""
    world = World()
    world.run(60.0, callers(count, answer_s))
    never_resting = 60.0 / (answer_s + STEP_S) * count
    assert world.total > 0.95 * never_resting


def test_a_stream_after_callers_is_recognised():
    """What was in vain with callers is tried again."""
    world = World()
    world.run(20.0, callers(1, 0.004))
    steps = steps_of(world, 20.0 + 2 * NEXT_TRIAL_S[1], a_stream(500))
    assert steps < world.total / 2


def test_a_new_server_that_counts_from_the_beginning_does_no_harm():
    pace = Pace()
    for number in range(1, 400):
        pace.found(10_000 + number, number * 0.002)
    assert pace.found(1, 0.9) == 0.0
