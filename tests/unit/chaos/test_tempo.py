"""The storm's own time stands still while a strike waits for its prey."""

import asyncio

from chaos.tempo import Tempo


class Watch:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_time_passes_from_the_beginning_of_the_storm() -> None:
    """What was before does not count."""
    watch = Watch()
    tempo = Tempo(10, watch)
    watch.now += 5
    tempo.begin()
    watch.now += 3
    assert (tempo.now_s, tempo.stood_s) == (3, 0)


def test_time_stands_while_something_is_waited_for() -> None:
    """The plan's moments move back by as much."""
    watch = Watch()
    tempo = Tempo(10, watch)
    watch.now += 2
    with tempo.standing():
        watch.now += 4
        assert (tempo.now_s, tempo.stood_s) == (2, 4)
    watch.now += 1
    assert (tempo.now_s, tempo.stood_s) == (3, 4)


def test_patience_comes_to_an_end() -> None:
    """A machine that is too slow for the storm gets a smaller one, not an endless one."""
    watch = Watch()
    tempo = Tempo(10, watch)
    for seconds, patient in ((9, True), (1, False), (1, False)):
        with tempo.standing():
            watch.now += seconds
        assert tempo.patient is patient


async def test_a_moment_that_has_passed_is_not_waited_for() -> None:
    """Neither by strikes nor by producers."""
    watch = Watch()
    tempo = Tempo(10, watch)
    watch.now += 5
    async with asyncio.timeout(5):
        await tempo.reach(5.0)
        await tempo.reach_or_stand(4.0)
