"""What every limiter keeps about permits for several requests at once."""

import pytest

from limiter import account, bucket
from limiter.limiter import Limits
from tests.conformance.limiter.world import PORTAL, SLOW, STANDARD, World, an_observation, granted


class PermitSuite:
    """Several at once are as many in a row at the same moment."""

    async def test_before_the_first_answer_one_request_is_granted(self, world: World):
        """How long a request takes is not known yet; what the bucket has room for is said."""
        permit = await world.limiter.acquire(PORTAL, SLOW, requests=20)
        assert (permit.granted, permit.requests, permit.free) == (True, 1, 49)

    async def test_a_burst_is_granted_as_far_as_the_bucket_reaches(self, world: World):
        """The permit says how many requests it is for and how many more there is room for."""
        await world.limiter.observed(PORTAL, SLOW, an_observation())
        first = await world.limiter.acquire(PORTAL, SLOW, requests=20)
        second = await world.limiter.acquire(PORTAL, SLOW, requests=100)
        third = await world.limiter.acquire(PORTAL, SLOW, requests=100)
        assert (first.granted, first.requests, first.free) == (True, 20, 30)
        assert (second.granted, second.requests, second.free) == (True, 30, 0)
        assert (third.granted, third.requests, third.free) == (False, 0, 0)
        assert await granted(world, 5) == 0

    async def test_what_drains_is_granted_together_except_for_the_reserve(self, world: World):
        """A busy bucket keeps its reserve from a burst as from a single request."""
        limits = Limits(rate=1.0, burst=50)
        await world.limiter.observed(PORTAL, limits, an_observation())
        assert (await world.limiter.acquire(PORTAL, limits, requests=50)).requests == 50
        await world.pass_time(10.1)
        permit = await world.limiter.acquire(PORTAL, limits, requests=50)
        assert (permit.requests, permit.free) == (9, 0)

    async def test_several_permits_can_be_given_back(self, world: World):
        """Room for exactly as many is made, and their execution time comes back."""
        await world.limiter.observed(PORTAL, SLOW, an_observation(operating_s=100.0))
        permit = await world.limiter.acquire(PORTAL, SLOW, requests=50)
        per_request_s = permit.reserved_s / permit.requests
        await world.limiter.give_back(PORTAL, SLOW, reserved_s=20 * per_request_s, requests=20)
        await world.limiter.give_back(PORTAL, SLOW, reserved_s=per_request_s, requests=1, made=True)
        readings = await world.limiter.acquire(PORTAL, SLOW, commands=0, requests=50)
        assert readings.requests == 20
        assert readings.execution_left_s == pytest.approx(380 - 29 * per_request_s)

    async def test_requests_that_were_not_made_are_not_measured(self, world: World):
        """After a refusal the believed rate follows from what was sent, not from what was asked for and given back."""
        await world.limiter.observed(PORTAL, STANDARD, an_observation())
        assert (await world.limiter.acquire(PORTAL, STANDARD, requests=50)).requests == 50
        await world.limiter.refused(PORTAL, STANDARD)
        await world.pass_time(120)
        for _ in range(20):
            permit = await world.limiter.acquire(PORTAL, STANDARD, requests=10)
            assert permit.requests == 10
            await world.limiter.give_back(PORTAL, STANDARD, requests=permit.requests)
        await world.limiter.refused(PORTAL, STANDARD)
        believed = await world.limiter.pace(PORTAL, STANDARD)
        assert believed.rate == pytest.approx((1 - bucket.SWING) * bucket.STEADY, rel=0.01)

    async def test_a_paused_portal_has_no_room(self, world: World):
        """Nothing is granted, and nobody is told to split work over requests that may not be made."""
        await world.limiter.observed(PORTAL, SLOW, an_observation())
        await world.limiter.pause(PORTAL, 20)
        permit = await world.limiter.acquire(PORTAL, SLOW, requests=5)
        assert (permit.granted, permit.requests, permit.free) == (False, 0, 0)
        assert permit.wait_s == pytest.approx(20, abs=0.5)

    async def test_execution_time_is_reserved_for_all_of_them(self, world: World):
        """What is left of the budget says how many full requests may be made."""
        await world.limiter.observed(PORTAL, SLOW, an_observation(operating_s=400.0))
        permit = await world.limiter.acquire(PORTAL, SLOW, commands=20, requests=5)
        # Above the free share one request at a time keeps the pace even.
        assert (permit.requests, permit.commands) == (1, 20)
        assert permit.reserved_s == pytest.approx(2.0)

    async def test_the_free_share_is_granted_at_once_and_the_rest_one_by_one(self, world: World):
        """The request that passes the free share is the last one for now."""
        await world.limiter.observed(PORTAL, SLOW, an_observation(took_s=10.0, operating_s=10.0))
        permit = await world.limiter.acquire(PORTAL, SLOW, requests=50)
        assert permit.reserved_s == pytest.approx(permit.requests * permit.commands * 1.0)
        assert permit.reserved_s == pytest.approx(account.FREE_SHARE * 480 - 10, abs=15.1)
        assert not (await world.limiter.acquire(PORTAL, SLOW, requests=50)).granted
        await world.pass_time(100)
        assert (await world.limiter.acquire(PORTAL, SLOW, requests=50)).requests == 1

    async def test_requests_without_commands_are_charged_to_no_account(self, world: World):
        """Read-backs are granted as far as the bucket reaches, whatever is left of the budget."""
        await world.limiter.observed(PORTAL, SLOW, an_observation(operating_s=480.0))
        permit = await world.limiter.acquire(PORTAL, SLOW, commands=0, requests=7)
        assert (permit.requests, permit.reserved_s) == (7, 0)

    async def test_after_an_outage_requests_go_one_by_one_until_an_answer(self, world: World):
        """A portal that may still hang must not be sent a burst, each of whose requests it would hold for a minute."""
        await world.limiter.observed(PORTAL, SLOW, an_observation())
        await world.pass_time(await world.limiter.backoff(PORTAL) + 0.001)
        permit = await world.limiter.acquire(PORTAL, SLOW, requests=20)
        assert (permit.granted, permit.requests, permit.alone) == (True, 1, True)
        await world.limiter.observed(PORTAL, SLOW, an_observation())
        permit = await world.limiter.acquire(PORTAL, SLOW, requests=20)
        assert (permit.requests, permit.alone) == (20, False)

    async def test_a_first_contact_goes_alone(self, world: World):
        """Nobody knows how fast the portal is."""
        assert (await world.limiter.acquire(PORTAL, SLOW, requests=20)).alone
