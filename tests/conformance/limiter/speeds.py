"""What every limiter keeps about the time of a request and of a command."""

import pytest

from limiter import speed
from tests.conformance.limiter.world import PORTAL, SLOW, World, an_observation


async def seen(world: World, commands: int, took_s: float, told_s: float | None = None) -> None:
    """One answered request; the portal may have told how long its commands took."""
    answered = an_observation(commands=commands, took_s=took_s, commands_s=told_s)
    await world.limiter.observed(PORTAL, SLOW, answered)


class SpeedSuite:
    """The size of the next request follows from what the last ones took."""

    async def test_the_time_of_a_command_is_unknown_before_the_first_answer(self, world: World):
        """An answer without pay commands teaches nothing about their time; the first request is small."""
        await seen(world, 0, 9.0)
        permit = await world.limiter.acquire(PORTAL, SLOW)
        assert permit.command_s is None
        assert permit.commands == speed.FIRST_COMMANDS

    async def test_a_slower_answer_counts_at_once_and_a_quicker_one_by_half(self, world: World):
        """The believed time is pessimistic: too large a batch is cut by the portal, too small a one only costs."""
        believed = []
        for took_s in (1.0, 5.0, 1.0, 1.0):
            await seen(world, 10, took_s)
            believed.append((await world.limiter.pace(PORTAL, SLOW)).command_s)
        assert believed == pytest.approx([0.1, 0.5, 0.3, 0.2])

    async def test_the_latency_of_a_request_is_not_its_commands(self, world: World):
        """Two sizes tell them apart: 2 s for the request, 0.03 s for each command."""
        await seen(world, 1, 2.03)
        assert (await world.limiter.acquire(PORTAL, SLOW)).command_s == pytest.approx(2.03)
        await seen(world, 4, 2.12)
        believed = await world.limiter.pace(PORTAL, SLOW)
        assert believed.command_s == pytest.approx(0.03, rel=0.1)
        assert believed.base_s == pytest.approx(2.0, rel=0.05)

    @pytest.mark.parametrize(("command_s", "expected"), [(0.03, [3, 49, 49]), (0.25, [3, 15, 49]), (1.2, [3, 12, 12])])
    async def test_sizes_grow_fourfold_at_most_until_they_fit(
        self, world: World, command_s: float, expected: list[int]
    ):
        """A portal is at its full size with the third request, a quick one with the second."""
        sizes = []
        for _ in range(3):
            commands = (await world.limiter.acquire(PORTAL, SLOW)).commands
            sizes.append(commands)
            await seen(world, commands, 0.05 + command_s * commands)
        assert sizes == expected

    async def test_a_portal_that_tells_is_known_after_one_answer(self, world: World):
        """What its commands took is theirs, the rest is the request's; a far portal gets full requests at once."""
        await seen(world, 2, 2.06, told_s=0.06)
        believed = await world.limiter.pace(PORTAL, SLOW)
        assert (believed.command_s, believed.base_s) == (pytest.approx(0.03), pytest.approx(2.0))
        assert (await world.limiter.acquire(PORTAL, SLOW)).commands == 49

    @pytest.mark.parametrize("told_s", [0.0, 2.07])
    async def test_a_time_that_cannot_be_is_not_believed(self, world: World, told_s: float):
        """Commands that took nothing, or longer than their request: then the whole request counts for them."""
        await seen(world, 2, 2.06, told_s=told_s)
        assert (await world.limiter.pace(PORTAL, SLOW)).command_s == pytest.approx(1.03)

    async def test_what_is_told_replaces_what_was_guessed(self, world: World):
        """The latency that counted for the commands is theirs no longer once the portal tells."""
        await seen(world, 2, 2.06)
        await seen(world, 2, 2.06, told_s=0.06)
        assert (await world.limiter.pace(PORTAL, SLOW)).command_s == pytest.approx(0.03)

    async def test_a_longer_way_counts_at_once_and_a_shorter_one_by_half(self, world: World):
        """Queue and line are a part of the time until the portal cuts."""
        believed = []
        for base_s in (1.0, 5.0, 1.0):
            await seen(world, 10, base_s + 0.5, told_s=0.5)
            believed.append((await world.limiter.pace(PORTAL, SLOW)).base_s)
        assert believed == pytest.approx([1.0, 5.0, 3.0])

    async def test_a_slower_command_counts_at_once_also_where_it_was_alone(self, world: World):
        """What the portal tells is no hiccup of the line."""
        await seen(world, 2, 0.2, told_s=0.06)
        await seen(world, 1, 1.3, told_s=1.2)
        assert (await world.limiter.pace(PORTAL, SLOW)).command_s == pytest.approx(1.2)

    async def test_a_request_costs_what_its_commands_took(self, world: World):
        """Its latency is not charged to the execution time."""
        await world.limiter.observed(PORTAL, SLOW, an_observation(operating_s=100.0))
        await seen(world, 10, 1.5, told_s=0.5)
        assert (await world.limiter.pace(PORTAL, SLOW)).execution_used_s == pytest.approx(100.5)

    @pytest.mark.parametrize("tells", [True, False])
    @pytest.mark.parametrize(("base_s", "command_s"), [(0.05, 0.4), (2.0, 0.4), (0.05, 1.2), (5.0, 0.7), (0.0, 14.0)])
    async def test_a_request_takes_about_fifteen_seconds_at_most(
        self, world: World, base_s: float, command_s: float, tells: bool
    ):
        """Whatever of the latency and the commands is slow."""
        took = []
        for _ in range(8):
            commands = (await world.limiter.acquire(PORTAL, SLOW)).commands
            took.append(base_s + command_s * commands)
            await seen(world, commands, took[-1], told_s=command_s * commands if tells else None)
        first, *later = took
        assert first == base_s + command_s * speed.FIRST_COMMANDS
        assert max(later) <= 15.5
        assert later[-1] >= min(10, base_s + command_s * 49)

    async def test_a_request_that_was_given_up_teaches(self, world: World):
        """Its commands take so long at least, and the next request carries half as many at most."""
        await seen(world, 49, 1.5)
        await world.limiter.unanswered(PORTAL, 49, 60.0)
        permit = await world.limiter.acquire(PORTAL, SLOW)
        assert permit.command_s == pytest.approx(60 / 49)
        assert permit.commands == 12
        await world.limiter.unanswered(PORTAL, 12, 1.0)
        assert (await world.limiter.acquire(PORTAL, SLOW)).commands <= 6

    async def test_a_portal_that_hung_is_asked_in_full_again_soon(self, world: World):
        """One command that took a minute does not make small requests for long."""
        await seen(world, 49, 1.5)
        await world.limiter.unanswered(PORTAL, 49, 60.0)
        for _ in range(6):
            commands = (await world.limiter.acquire(PORTAL, SLOW)).commands
            await seen(world, commands, 0.05 + 0.03 * commands)
        assert (await world.limiter.acquire(PORTAL, SLOW)).commands == 49
