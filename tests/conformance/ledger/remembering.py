"""What is remembered of a payment's way, and how it reads."""

from ledger.ledger import Joined
from ledger.payment import Refusal, State
from ledger.transitions import Cause, transitions_of
from ledger.verdict import InDoubt, Requeue, Unpaid, Unreadable
from tests.conformance.ledger.world import (
    LEASE_S,
    LOST,
    PAID,
    QUIET_S,
    REFUSED,
    UNREADABLE,
    World,
    accepted,
    claimed,
    ended,
    found,
    open_one,
    settle,
    take_one,
)


async def way(world: World, handle: str = "h1") -> list[tuple[State | None, Cause]]:
    """The states and causes of a payment's steps."""
    return [(step.state, step.cause) for step in transitions_of(await found(world, handle))]


ACCEPTED = (State.QUEUED, Cause.ACCEPTED)
CLAIMED = (State.SENDING, Cause.CLAIMED)


class Remembering:
    """Claims about transitions."""

    async def test_who_goes_straight_to_its_end_needs_no_history(self, world: World):
        """Paid or failed by the answer, or withdrawn: its fields tell all of it."""
        lease, payments = await claimed(world, "h1", "h2", "h3")
        await settle(world, lease, payments[:1], PAID)
        await settle(world, lease, payments[1:2], REFUSED)
        await open_one(world, "h4", invoice_id=4)
        await world.ledger.cancel("h4")
        assert await way(world, "h1") == [ACCEPTED, CLAIMED, (State.PAID, Cause.PROVEN)]
        assert await way(world, "h2") == [ACCEPTED, CLAIMED, (State.FAILED, Cause.FAILED)]
        assert await way(world, "h3") == [ACCEPTED, CLAIMED]
        assert await way(world, "h4") == [ACCEPTED, (State.CANCELLED, Cause.WITHDRAWN)]
        assert [(await found(world, f"h{n}")).history for n in (1, 2, 3, 4)] == [""] * 4

    async def test_a_doubt_is_told_with_its_sending_and_its_reads(self, world: World):
        """When it was sent under which lease, that no answer came, what was read, and that it was sent again."""
        lease, payments = await claimed(world, "h1")
        first = lease
        await world.pass_time(3)
        await settle(world, lease, payments, LOST)
        await world.pass_time(2)
        await settle(world, lease, await world.ledger.doubts(lease, 1), Unpaid())
        await world.pass_time(QUIET_S)
        lease = await take_one(world, "next")
        await settle(world, lease, await world.ledger.doubts(lease, 1), Unpaid())
        await world.pass_time(1)
        claim = await world.ledger.claim(lease, 1)
        await settle(world, lease, claim.payments, PAID)
        assert await way(world) == [
            ACCEPTED,
            CLAIMED,
            (State.IN_DOUBT, Cause.NO_ANSWER),
            (None, Cause.READ_TOO_EARLY),
            (State.QUEUED, Cause.READ_UNPAID),
            CLAIMED,
            (State.PAID, Cause.PROVEN),
        ]
        steps = transitions_of(await found(world))
        began = steps[0].at
        assert began is not None
        assert [(step.at - began).total_seconds() for step in steps if step.at] == [0, 0, 3, 5, 125, 126, 126]
        assert [(step.attempt, step.fence) for step in steps if step.state is State.SENDING] == [
            (1, first.fence),
            (2, lease.fence),
        ]

    async def test_reads_that_say_the_same_are_one_step(self, world: World):
        """However often nobody may read: the latest moment, and how many there were. A repeated verdict counts once."""
        lease, payments = await claimed(world, "h1")
        await settle(world, lease, payments, LOST)
        for _ in range(3):
            await world.pass_time(UNREADABLE.retry_s)
            await world.ledger.renew([lease])
            due = await world.ledger.doubts(lease, 1)
            await settle(world, lease, due, UNREADABLE)
            await world.pass_time(1)
            await settle(world, lease, due, UNREADABLE)
        [*_, read] = transitions_of(await found(world))
        assert (read.cause, read.code, read.times) == (Cause.UNREADABLE, "ACCESS_DENIED", 3)

    async def test_an_answer_that_leaves_doubt_names_its_code(self, world: World):
        """In plain letters and cut, for a portal writes it."""
        lease, payments = await claimed(world, "h1")
        await settle(world, lease, payments, InDoubt(0, Refusal("Нет: 500 * " + "X" * 80, "text")))
        [*_, doubt] = transitions_of(await found(world))
        assert (doubt.cause, doubt.code) == (Cause.ANSWER_IN_DOUBT, "________500___" + "X" * 18)

    async def test_a_death_and_a_lost_history_are_told(self, world: World):
        """Who drove it died; and a server that forgot something may have sent it."""
        await claimed(world, "h1")
        await world.pass_time(LEASE_S)
        await world.ledger.recover(await take_one(world, "next"))
        assert await way(world) == [ACCEPTED, CLAIMED, (State.IN_DOUBT, Cause.WORKER_DIED)]
        await open_one(world, "h2", invoice_id=2)
        await world.restart_server()
        await world.ledger.cancel("h2")
        assert await way(world, "h2") == [ACCEPTED, (State.IN_DOUBT, Cause.HISTORY_LOST)]

    async def test_what_was_not_executed_is_told(self, world: World):
        """Each time, with the attempt that it was or was not."""
        lease, payments = await claimed(world, "h1")
        await settle(world, lease, payments, Requeue())
        await settle(world, lease, (await world.ledger.claim(lease, 1)).payments, Requeue(spent=True))
        await world.ledger.claim(lease, 1)
        again = (State.QUEUED, Cause.NOT_EXECUTED)
        assert await way(world) == [ACCEPTED, CLAIMED, again, CLAIMED, again, CLAIMED]
        assert [step.attempt for step in transitions_of(await found(world)) if step.attempt] == [1, 1, 2]

    async def test_a_retry_keeps_how_it_failed(self, world: World):
        """The code of the failure and the sending before it, which the next ones overwrite; and then the read first."""
        await ended(world, REFUSED)
        await world.pass_time(60)
        await world.ledger.retry("h1")
        lease = await take_one(world)
        await settle(world, lease, await world.ledger.doubts(lease, 1), Unpaid())
        await settle(world, lease, (await world.ledger.claim(lease, 1)).payments, PAID)
        assert await way(world) == [
            ACCEPTED,
            CLAIMED,
            (State.FAILED, Cause.FAILED),
            (State.QUEUED, Cause.RETRIED),
            (None, Cause.READ_UNPAID),
            CLAIMED,
            (State.PAID, Cause.PROVEN),
        ]
        assert transitions_of(await found(world))[2].code == "ERROR_CHECK_FAILURE"

    async def test_a_persons_word_is_told(self, world: World):
        """Also where a retry has overwritten it."""
        lease, payments = await claimed(world, "h1", "h2")
        await settle(world, lease, payments, InDoubt(0))
        await world.ledger.decide("h1", paid=True, because="the portal says so")
        await world.ledger.decide("h2", paid=False, because="it is not")
        doubt = (State.IN_DOUBT, Cause.NO_ANSWER)
        assert await way(world, "h1") == [ACCEPTED, CLAIMED, doubt, (State.PAID, Cause.DECIDED)]
        await world.ledger.retry("h2")
        failed, retried = (State.FAILED, Cause.DECIDED), (State.QUEUED, Cause.RETRIED)
        assert await way(world, "h2") == [ACCEPTED, CLAIMED, doubt, failed, retried]

    async def test_requests_that_join_are_told_until_it_ends(self, world: World):
        """As one step; the same handle again is no other request."""
        await accepted(world, "h1")
        for handle in ("h2", "h3", "h3"):
            assert isinstance(await open_one(world, handle), Joined)
        assert await way(world) == [ACCEPTED, (None, Cause.JOINED)]
        assert transitions_of(await found(world))[1].times == 2
        lease = await take_one(world)
        await settle(world, lease, (await world.ledger.claim(lease, 1)).payments, PAID)
        before = (await found(world)).history
        await open_one(world, "h4")
        assert (await found(world)).history == before

    async def test_a_long_way_keeps_its_beginning_and_its_end(self, world: World):
        """The record stays small whatever happens to a payment; how much was left out is told."""
        lease, payments = await claimed(world, "h1")
        for turn in range(40):
            await settle(world, lease, payments, Requeue())
            payments = list((await world.ledger.claim(lease, 1)).payments)
            await world.ledger.renew([lease])
            await world.pass_time(turn)
        row = await found(world)
        assert len(row.history.split()) == 25
        steps = transitions_of(row)
        [gap] = [step for step in steps if step.cause is Cause.LEFT_OUT]
        assert gap.times == 80 - 24
        assert steps.index(gap) == 9
        assert (steps[0].cause, steps[-1].attempt) == (Cause.ACCEPTED, 1)
        assert Cause.NOT_RECORDED not in {step.cause for step in steps}

    async def test_an_unreadable_code_separates_nothing(self, world: World):
        """Blanks, stars and colons of a portal's code are no entries."""
        lease, payments = await claimed(world, "h1")
        await settle(world, lease, payments, InDoubt(0))
        await world.pass_time(2)
        due = await world.ledger.doubts(lease, 1)
        await settle(world, lease, due, Unreadable(Refusal("a b*9 s0:1.1.1", ""), 30.0))
        [*_, read] = transitions_of(await found(world))
        assert (read.cause, read.code, read.times) == (Cause.UNREADABLE, "a_b_9_s0_1.1.1", 1)
