"""What every limiter keeps about requests: bucket, refusals, outages, pauses, and what it believes after a refusal."""

import asyncio

import pytest

from limiter import bucket, pace
from limiter.limiter import Limits
from tests.conformance.limiter.world import PORTAL, SLOW, STANDARD, World, an_observation, granted


class BucketSuite:
    """Subclass it and provide the fixture `world`."""

    # The request bucket

    async def test_a_fresh_portal_grants_its_burst_at_once_and_nothing_more(self, world: World):
        """100 coroutines that ask together get exactly `burst` permits."""
        assert await granted(world, 100) == 50

    async def test_a_refused_permit_says_how_long_to_wait_and_costs_nothing(self, world: World):
        """Waiting for as long as the permit says is enough, however often one asked meanwhile."""
        await granted(world, 50, STANDARD)
        for _ in range(5):
            permit = await world.limiter.acquire(PORTAL, STANDARD)
            assert not permit.granted
        assert 0 < permit.wait_s <= pace.RESERVE_S + 1 / STANDARD.rate
        await world.pass_time(permit.wait_s)
        assert (await world.limiter.acquire(PORTAL, STANDARD)).granted

    async def test_a_spent_burst_is_followed_by_exactly_the_rate(self, world: World):
        """After the reserve has been kept back once, every second of `rate` grants `rate` permits."""
        limits = Limits(rate=0.02, burst=50)
        await granted(world, 50, limits)
        await world.pass_time(pace.RESERVE_S)
        counts = []
        for _ in range(20):
            await world.pass_time(50.001)
            counts.append(await granted(world, 5, limits))
        assert counts == [1] * 20

    async def test_an_idle_bucket_is_whole_again(self, world: World):
        """A portal that was left alone for long enough may be asked in a burst again."""
        assert await granted(world, 60, STANDARD) == 50
        await world.pass_time(50 / STANDARD.rate + pace.RESERVE_S)
        assert await granted(world, 60, STANDARD) == 50

    async def test_a_bucket_that_was_just_emptied_keeps_the_reserve(self, world: World):
        """The last requests before the bucket ran empty may still be on their way to the portal."""
        limits = Limits(rate=1.0, burst=50)
        assert await granted(world, 3, limits) == 3
        await world.pass_time(3.01)
        assert await granted(world, 55, limits) == 49

    async def test_a_bucket_of_one_grants_one_at_a_time(self, world: World):
        """The smallest bucket has no room for a reserve and still works at its rate."""
        limits = Limits(rate=0.01, burst=1)
        assert await granted(world, 5, limits) == 1
        await world.pass_time(100)
        assert await granted(world, 5, limits) == 1

    async def test_portals_do_not_share_a_bucket(self, world: World):
        """A busy portal costs no other portal a permit."""
        await granted(world, 100)
        assert await granted(world, 100, portal="other") == 50

    async def test_a_permit_that_was_not_used_can_be_given_back(self, world: World):
        """Giving a permit back makes room for exactly one."""
        await granted(world, 50)
        await world.limiter.give_back(PORTAL, SLOW)
        assert await granted(world, 5) == 1

    async def test_giving_back_never_makes_a_bucket_larger(self, world: World):
        """More permits given back than were taken make no debt of the portal."""
        for _ in range(3):
            await world.limiter.give_back(PORTAL, SLOW)
        assert await granted(world, 100) == 50

    # Refusals and outages

    async def test_a_refusal_fills_the_bucket_and_pauses_the_portal(self, world: World):
        """After QUERY_LIMIT_EXCEEDED nothing is granted before the portal has drained room for one request."""
        await granted(world, 1, STANDARD)
        assert await world.limiter.refused(PORTAL, STANDARD) == pytest.approx(0.5)
        permit = await world.limiter.acquire(PORTAL, STANDARD)
        assert not permit.granted
        rate = STANDARD.rate * bucket.GUESS * (1 - bucket.SWING)
        assert permit.wait_s == pytest.approx((bucket.BEHIND + pace.reserve(STANDARD) + 1) / rate, abs=0.1)
        await world.pass_time(permit.wait_s)
        assert await granted(world, 5, STANDARD) == 1

    async def test_refusals_in_a_row_pause_twice_as_long_each_time_up_to_a_cap(self, world: World):
        """0.5 s, doubling to 30 s."""
        pauses = []
        for _ in range(8):
            pauses.append(await world.limiter.refused(PORTAL, STANDARD))
            await world.pass_time(pauses[-1] + 0.001)
        assert pauses == pytest.approx([0.5, 1, 2, 4, 8, 16, 30, 30])

    async def test_each_refusal_in_a_row_leaves_twice_the_room_to_others(self, world: World):
        """They were refused too, and what they have put off comes first; never more than a part of the burst."""
        room = []
        for _ in range(5):
            await world.limiter.refused(PORTAL, STANDARD)
            permit = await world.limiter.acquire(PORTAL, STANDARD)
            rate = (await world.limiter.pace(PORTAL, STANDARD)).rate
            room.append(permit.wait_s * rate - pace.reserve(STANDARD) - 1)
            await world.pass_time(permit.wait_s)
        most = bucket.BEHIND_SHARE * STANDARD.burst
        assert room == pytest.approx([bucket.BEHIND, 2 * bucket.BEHIND, most, most, most], rel=0.1)

    async def test_many_requests_refused_together_count_as_one_step(self, world: World):
        """Batches in flight come back refused at the same moment; the pause grows once."""
        await asyncio.gather(*(world.limiter.refused(PORTAL, STANDARD) for _ in range(20)))
        await world.pass_time(1)
        assert await world.limiter.refused(PORTAL, STANDARD) == pytest.approx(1.0)

    async def test_an_answer_ends_the_row_of_refusals_and_of_outages(self, world: World):
        """The next trouble after an answer starts with the shortest pause."""
        for _ in range(3):
            await world.limiter.refused(PORTAL, STANDARD)
            await world.pass_time(60)
            await world.limiter.backoff(PORTAL)
            await world.pass_time(60)
        await world.limiter.observed(PORTAL, STANDARD, an_observation())
        assert await world.limiter.refused(PORTAL, STANDARD) == pytest.approx(0.5)
        await world.pass_time(60)
        assert await world.limiter.backoff(PORTAL) == pytest.approx(1.0)

    async def test_an_unreachable_portal_is_paused_twice_as_long_each_time_up_to_a_cap(self, world: World):
        """1 s, doubling to 60 s; failures during a pause are one step."""
        pauses = []
        for _ in range(8):
            pauses.append(await world.limiter.backoff(PORTAL))
            assert not (await world.limiter.acquire(PORTAL, STANDARD)).granted
            assert await world.limiter.backoff(PORTAL) <= pauses[-1]
            await world.pass_time(pauses[-1] + 0.001)
        assert pauses == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60])

    @pytest.mark.parametrize("chance", [0.0, 0.5, 0.999])
    async def test_pauses_are_spread_downwards(self, world: World, chance: float):
        """Chance shortens a pause by a quarter at most, so a cap stays a cap."""
        world.chance = chance
        expected = 1 - pace.SPREAD * chance
        assert await world.limiter.refused(PORTAL, STANDARD) == pytest.approx(0.5 * expected)
        assert await world.limiter.backoff("other") == pytest.approx(1.0 * expected)

    async def test_a_pause_holds_for_its_time_and_is_never_shortened(self, world: World):
        """The longer of two pauses holds."""
        await world.limiter.pause(PORTAL, 20)
        await world.limiter.pause(PORTAL, 5)
        permit = await world.limiter.acquire(PORTAL, SLOW)
        assert not permit.granted
        assert permit.wait_s == pytest.approx(20, abs=0.5)
        await world.pass_time(19)
        assert not (await world.limiter.acquire(PORTAL, SLOW)).granted
        await world.pass_time(1.01)
        assert (await world.limiter.acquire(PORTAL, SLOW)).granted

    # What is believed after a refusal

    async def test_a_portal_that_never_refused_is_believed_as_configured(self, world: World):
        """The configured rate and burst, and no pause."""
        await granted(world, 3, STANDARD)
        believed = await world.limiter.pace(PORTAL, STANDARD)
        assert (believed.rate, believed.burst, believed.pause_s) == (2.0, 50, 0)

    async def test_a_refusal_lowers_the_believed_rate_at_once(self, world: World):
        """The first one says nothing about how much is left: somewhat less than half is believed."""
        await granted(world, 50, STANDARD)
        await world.limiter.refused(PORTAL, STANDARD)
        believed = await world.limiter.pace(PORTAL, STANDARD)
        assert believed.rate == pytest.approx(2.0 * bucket.GUESS * (1 - bucket.SWING), rel=0.01)
        assert believed.pause_s == pytest.approx(0.5, abs=0.1)

    async def test_the_believed_rate_rises_slowly_and_never_above_the_configured_one(self, world: World):
        """A tenth more than the bound after most of a calm spell, the whole rate once nobody has refused for long."""
        await world.limiter.refused(PORTAL, STANDARD)
        seen = []
        for _ in range(6):
            await world.pass_time(bucket.CALM / (2 * STANDARD.rate * bucket.GUESS))
            seen.append((await world.limiter.pace(PORTAL, STANDARD)).rate)
        assert seen == pytest.approx([1.0, 1.2, 2.0, 2.0, 2.0, 2.0], rel=0.01)

    async def test_a_later_refusal_measures_what_is_left(self, world: World):
        """What was let through between two refusals, over the time between, is what the portal has left for us."""
        await world.limiter.refused(PORTAL, STANDARD)
        sent = 0
        while sent < 140:
            permit = await world.limiter.acquire(PORTAL, STANDARD)
            await world.pass_time(permit.wait_s)
            sent += permit.granted
        await world.limiter.observed(PORTAL, STANDARD, an_observation(took_s=0.1))
        await world.limiter.refused(PORTAL, STANDARD)
        believed = await world.limiter.pace(PORTAL, STANDARD)
        assert believed.rate == pytest.approx((1 - bucket.SWING) * 0.96, rel=0.05)

    async def test_no_later_refusal_lowers_the_bound_by_more_than_a_twentieth(self, world: World):
        """Right after a refusal the portal may be full of what others had to put off."""
        await world.limiter.refused(PORTAL, STANDARD)
        await world.pass_time(10)
        assert (await world.limiter.acquire(PORTAL, STANDARD)).granted
        await world.limiter.refused(PORTAL, STANDARD)
        believed = await world.limiter.pace(PORTAL, STANDARD)
        assert believed.rate == pytest.approx((1 - bucket.SWING) * bucket.STEADY, rel=0.01)

    async def test_a_burst_that_was_refused_is_believed_to_be_smaller_by_what_was_refused(self, world: World):
        """Of 50 at once the portal took 20: after a rest 20 or so are sent, and the whole burst comes back in time."""
        limits = Limits(rate=0.2, burst=50)
        assert await granted(world, 60, limits) == 50
        await asyncio.gather(*(world.limiter.refused(PORTAL, limits) for _ in range(30)))
        assert (await world.limiter.pace(PORTAL, limits)).burst == pytest.approx(20, abs=0.1)
        await world.pass_time(300)
        assert 20 <= await granted(world, 60, limits) <= 30
        await world.pass_time(bucket.BURST_RISE_S)
        assert (await world.limiter.pace(PORTAL, limits)).burst == 50

    async def test_an_answer_to_what_was_sent_before_a_refusal_does_not_end_the_row(self, world: World):
        """A slow batch that comes back after the refusal of a later one says nothing about it."""
        await world.limiter.refused(PORTAL, STANDARD)
        await world.pass_time(1)
        await world.limiter.observed(PORTAL, STANDARD, an_observation(took_s=15.0))
        assert await world.limiter.refused(PORTAL, STANDARD) == pytest.approx(1.0)
