"""Leases, claims and what a driver that died leaves behind."""

import pytest

from ledger.ledger import NOTHING, Backlog, LeaseLost
from ledger.payment import State
from ledger.verdict import Decision, InDoubt, Requeue, Unpaid
from tests.conformance.ledger.world import (
    LEASE_S,
    LOST,
    PAID,
    PORTAL,
    QUIET_S,
    World,
    accepted,
    an_ask,
    claimed,
    found,
    is_due,
    next_due_s,
    settle,
    state_of,
    take_one,
)


class Driving:
    """Claims about `take`, `renew`, `claim`, `recover` and `release`."""

    async def test_a_lane_has_one_driver_at_a_time(self, world: World):
        """A lane that is leased is given to nobody else; its lease end is when it is due next."""
        await accepted(world, "h1")
        await take_one(world)
        leases, wait_s = await world.ledger.take("other", 10)
        assert (leases, wait_s) == ([], LEASE_S)

    async def test_take_gives_at_most_as_many_lanes_as_asked_for(self, world: World):
        """The rest stays due, for others."""
        for portal in ("a", "b", "c"):
            await accepted(world, f"h-{portal}", portal=portal)
        leases, wait_s = await world.ledger.take("driver", 2)
        assert ([lease.portal for lease in leases], wait_s) == (["a", "b"], 0.0)
        leases, _ = await world.ledger.take("driver", 2)
        assert [lease.portal for lease in leases] == ["c"]

    async def test_the_lane_of_a_dead_driver_becomes_due_by_itself(self, world: World):
        """When the lease has run out the next driver gets the lane under a higher fence."""
        await accepted(world, "h1")
        dead = await take_one(world, "dead")
        await world.pass_time(LEASE_S)
        alive = await take_one(world, "alive")
        assert (alive.portal, alive.fence > dead.fence) == (PORTAL, True)

    async def test_a_renewed_lease_runs_from_now(self, world: World):
        """A driver at work keeps its lane by renewing in time."""
        await accepted(world, "h1")
        lease = await take_one(world)
        await world.pass_time(LEASE_S - 1)
        assert await world.ledger.renew([lease]) == [True]
        await world.pass_time(LEASE_S - 1)
        assert not await is_due(world)
        assert (await world.ledger.claim(lease, 1)).payments

    async def test_renewing_nothing_is_no_work(self, world: World):
        """An idle process has no leases to keep."""
        assert await world.ledger.renew([]) == []

    async def test_a_driver_that_lost_its_lease_writes_nothing(self, world: World):
        """Every write of a zombie is refused, and its payments stay as the new driver has them."""
        lost, payments = await claimed(world, "h1")
        await world.pass_time(LEASE_S)
        alive = await take_one(world, "alive")
        assert await world.ledger.renew([lost]) == [False]
        for write in (
            world.ledger.claim(lost, 1),
            world.ledger.doubts(lost, 1),
            world.ledger.recover(lost),
            settle(world, lost, payments, PAID),
        ):
            with pytest.raises(LeaseLost):
                await write
        await world.ledger.release(lost, 0)
        assert await state_of(world) is State.SENDING
        assert await world.ledger.renew([alive]) == [True]

    async def test_the_same_owner_under_an_older_fence_is_a_stranger(self, world: World):
        """A process that lost its lane and got it again must not write what it decided before."""
        old, payments = await claimed(world, "h1")
        await world.pass_time(LEASE_S)
        new = await take_one(world)
        assert (new.owner, new.fence > old.fence) == (old.owner, True)
        with pytest.raises(LeaseLost):
            await settle(world, old, payments, PAID)

    async def test_nothing_is_claimed_under_a_lease_that_has_run_out(self, world: World):
        """Even before somebody else has taken the lane: they could at any moment. What was sent is still settled."""
        lease, payments = await claimed(world, "h1")
        await world.ledger.open([an_ask("h2", invoice_id=2)])
        await world.pass_time(LEASE_S)
        with pytest.raises(LeaseLost):
            await world.ledger.claim(lease, 1)
        [settled] = await settle(world, lease, payments, PAID)
        assert settled.payment.state is State.PAID

    async def test_the_oldest_payments_are_claimed_first(self, world: World):
        """A claim takes as many as asked for and says how many still wait."""
        await accepted(world, "h1", "h2", "h3")
        lease = await take_one(world)
        claim = await world.ledger.claim(lease, 2)
        assert ([payment.id for payment in claim.payments], claim.backlog.waiting) == (["h1", "h2"], 1)
        assert {payment.state for payment in claim.payments} == {State.SENDING}
        assert {payment.attempts for payment in claim.payments} == {1}
        assert all(payment.sent_at is not None for payment in claim.payments)
        claim = await world.ledger.claim(lease, 2)
        assert ([payment.id for payment in claim.payments], claim.backlog.waiting) == (["h3"], 0)

    async def test_a_lease_says_what_there_is_to_do(self, world: World):
        """Taking, claiming, settling and asking tell it, so a driver with nothing to do asks nobody."""
        await accepted(world, "h1", "h2", "h3")
        lease = await take_one(world)
        assert (lease.left, lease.backlog) == (0, Backlog(waiting=3))
        payments = (await world.ledger.claim(lease, 2)).payments
        assert lease.backlog == Backlog(waiting=1)
        await settle(world, lease, payments, InDoubt(0))
        assert lease.backlog == Backlog(waiting=1, doubts=2)
        await world.ledger.open([an_ask("h4", invoice_id=4)])
        assert await world.ledger.backlog(lease) == lease.backlog == Backlog(waiting=2, doubts=2)
        await world.ledger.hold(PORTAL, "CODE", "text")
        assert await world.ledger.backlog(lease) == NOTHING

    async def test_a_lease_says_what_an_earlier_driver_has_left(self, world: World):
        """Its driver died with two payments under way: the next one recovers them, and its next finds nothing left."""
        lease, _ = await claimed(world, "h1", "h2")
        await world.ledger.release(lease, 0)
        lease = await take_one(world, "next")
        assert lease.left == 2
        await world.ledger.recover(lease)
        await world.ledger.release(lease, 0)
        await world.pass_time(2.1)
        assert (await take_one(world, "third")).left == 0

    async def test_nobody_is_told_of_another_drivers_lane(self, world: World):
        """Asking under a lost lease is refused like every other step."""
        await accepted(world, "h1")
        lost = await take_one(world)
        await world.ledger.release(lost, 0)
        await take_one(world, "next")
        with pytest.raises(LeaseLost):
            await world.ledger.backlog(lost)

    async def test_a_claim_repeated_under_its_number_gives_the_same_payments(self, world: World):
        """A claim whose answer was lost is asked again: no payment hides in sending, none is claimed twice."""
        await accepted(world, "h1", "h2", "h3")
        lease = await take_one(world)
        first = await world.ledger.claim(lease, 2)
        lease.claims -= 1
        assert await world.ledger.claim(lease, 2) == first
        assert [payment.id for payment in (await world.ledger.claim(lease, 2)).payments] == ["h3"]

    async def test_each_claim_has_a_number_of_its_own(self, world: World):
        """Claims of one lease are told apart, so that an answer to an older one is not taken for a newer one's."""
        lease, [first] = await claimed(world, "h1")
        await settle(world, lease, [first], Requeue())
        [second] = (await world.ledger.claim(lease, 1)).payments
        assert first.claim != second.claim

    async def test_a_cancelled_payment_is_stepped_over(self, world: World):
        """A claim does not give out what was withdrawn, and counts only what really waits."""
        await accepted(world, "h1", "h2", "h3")
        await world.ledger.cancel("h1")
        await world.ledger.cancel("h3")
        lease = await take_one(world)
        claim = await world.ledger.claim(lease, 10)
        assert ([payment.id for payment in claim.payments], claim.backlog.waiting) == (["h2"], 0)

    async def test_what_had_no_answer_twice_is_claimed_alone(self, world: World):
        """Two requests of a group were lost; the third time each of it stands for itself, in the old order."""
        await accepted(world, "h1", "h2")
        lease = await take_one(world)
        for _ in range(2):
            payments = (await world.ledger.claim(lease, 10)).payments
            assert len(payments) == 2
            await settle(world, lease, payments, InDoubt(0))
            await settle(world, lease, await world.ledger.doubts(lease, 10), Unpaid())
        await world.ledger.open([an_ask("h3", invoice_id=3), an_ask("h4", invoice_id=4)])
        claims = [await world.ledger.claim(lease, 10) for _ in range(3)]
        assert [[payment.id for payment in claim.payments] for claim in claims] == [["h1"], ["h2"], ["h3", "h4"]]
        assert [claim.backlog.waiting for claim in claims] == [3, 2, 0]

    async def test_a_claim_ends_before_what_had_no_answer_twice(self, world: World):
        """Ordinary payments in front of it are claimed together; it leads the next claim."""
        await accepted(world, "h1", "h2")
        lease = await take_one(world)
        for _ in range(2):
            [payment] = (await world.ledger.claim(lease, 1)).payments
            await settle(world, lease, [payment], InDoubt(0))
            await settle(world, lease, await world.ledger.doubts(lease, 10), Unpaid())
        await world.ledger.cancel("h2")
        await world.ledger.open([an_ask("h3", invoice_id=3), an_ask("h4", invoice_id=4)])
        sent = (await world.ledger.claim(lease, 1)).payments
        others = (await world.ledger.claim(lease, 10)).payments
        await settle(world, lease, sent, Requeue())
        await settle(world, lease, others, Requeue())  # now they stand in front
        claims = [await world.ledger.claim(lease, 10) for _ in range(2)]
        assert [[payment.id for payment in claim.payments] for claim in claims] == [["h3", "h4"], ["h1"]]
        assert [claim.backlog.waiting for claim in claims] == [1, 0]

    async def test_an_attempt_that_was_given_back_does_not_count_as_unanswered(self, world: World):
        """What was certainly not executed any number of times is claimed in company."""
        await accepted(world, "h1", "h2")
        lease = await take_one(world)
        for _ in range(4):
            payments = (await world.ledger.claim(lease, 10)).payments
            assert len(payments) == 2
            await settle(world, lease, payments, Requeue())

    async def test_what_a_dead_driver_left_in_sending_is_in_doubt(self, world: World):
        """It may have been sent, so it is read back, and an unpaid counts only after the quiet time from its claim."""
        _, [sent] = await claimed(world, "h1")
        await world.pass_time(LEASE_S)
        lease = await take_one(world, "alive")
        assert await world.ledger.recover(lease) == 1
        payment = await found(world)
        assert (payment.state, payment.deaths, payment.error) == (State.IN_DOUBT, 1, None)
        assert payment.sent_at == sent.sent_at
        assert payment.quiet_until is not None
        assert payment.sent_at is not None
        assert (payment.quiet_until - payment.sent_at).total_seconds() == QUIET_S

    async def test_recovering_again_finds_nothing_more(self, world: World):
        """A repeated recovery changes nothing, and what this driver has claimed itself is not in doubt."""
        await claimed(world, "h1")
        await world.pass_time(LEASE_S)
        lease = await take_one(world, "alive")
        await world.ledger.open([an_ask("h2", invoice_id=2)])
        await world.ledger.claim(lease, 10)
        assert [await world.ledger.recover(lease) for _ in range(2)] == [1, 0]
        assert await state_of(world, "h2") is State.SENDING
        assert (await found(world)).deaths == 1

    async def test_a_lane_handed_back_with_work_is_due_after_its_wait(self, world: World):
        """The pause that a driver saw holds for the next one, and new payments do not shorten it."""
        await accepted(world, "h1")
        lease = await take_one(world)
        await world.ledger.release(lease, 30)
        await world.ledger.open([an_ask("h2", invoice_id=2)])
        assert await next_due_s(world) == 30
        await world.pass_time(30)
        assert await is_due(world)

    async def test_a_lane_handed_back_empty_is_not_due(self, world: World):
        """An empty lane costs nothing until somebody asks for a payment."""
        lease, payments = await claimed(world, "h1")
        await settle(world, lease, payments, PAID)
        await world.ledger.release(lease, 0)
        assert await next_due_s(world) is None

    async def test_work_that_came_in_while_a_lane_was_driven_is_not_forgotten(self, world: World):
        """Opening does not disturb the driver; handing back sees what came in."""
        lease, payments = await claimed(world, "h1")
        await world.ledger.open([an_ask("h2", invoice_id=2)])
        await settle(world, lease, payments, PAID)
        assert not await is_due(world)
        await world.ledger.release(lease, 0)
        assert await is_due(world)

    async def test_new_work_does_not_wait_for_a_doubt(self, world: World):
        """A lane that only waits for a quiet time is due at once when a payment comes in."""
        lease, payments = await claimed(world, "h1")
        await settle(world, lease, payments, LOST)
        await world.ledger.release(lease, 0)
        assert not await is_due(world)
        await world.ledger.open([an_ask("h2", invoice_id=2)])
        assert await is_due(world)

    async def test_a_lane_handed_back_with_a_doubt_is_due_when_it_is_read(self, world: World):
        """The next read-back is when the lane is driven next; it waits for a pause of seconds, not of minutes."""
        lease, payments = await claimed(world, "h1")
        await settle(world, lease, payments, LOST)
        await world.ledger.release(lease, 0)
        first_read_s = await next_due_s(world)
        assert first_read_s is not None
        assert 0 < first_read_s < QUIET_S
        await world.pass_time(first_read_s)
        for pause_s, due_s in ((3, 3), (30, 5)):
            await world.ledger.release(await take_one(world), pause_s)
            assert await next_due_s(world) == due_s
            await world.pass_time(due_s)

    async def test_a_lane_handed_back_with_payments_in_sending_is_recovered(self, world: World):
        """A driver that could not settle leaves the lane due, so that the next one finds what it sent."""
        lease, _ = await claimed(world, "h1")
        await world.ledger.release(lease, 0)
        assert await world.ledger.recover(await take_one(world, "next")) == 1

    async def test_handing_back_twice_changes_nothing(self, world: World):
        """The repeated step finds that it does not hold the lane."""
        await accepted(world, "h1")
        lease = await take_one(world)
        await world.ledger.release(lease, 30)
        await world.ledger.release(lease, 0)
        assert await next_due_s(world) == 30

    async def test_a_decision_from_before_a_recovery_does_not_count(self, world: World):
        """A stale claim number is left out although its lane is driven by the right driver."""
        _, [sent] = await claimed(world, "h1")
        await world.pass_time(LEASE_S)
        lease = await take_one(world)
        await world.ledger.recover(lease)
        assert await world.ledger.settle(lease, [Decision(sent, Requeue())]) == []
        assert await state_of(world) is State.IN_DOUBT
