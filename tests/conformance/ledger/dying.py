"""Payments whose drivers die: they are counted, kept apart, and given up."""

import pytest

from ledger.ledger import NOTHING, Backlog, Lease
from ledger.payment import State
from ledger.verdict import InDoubt, Requeue, Unpaid
from tests.conformance.ledger.world import (
    LEASE_S,
    LOST,
    PAID,
    PORTAL,
    QUIET_S,
    World,
    accepted,
    an_ask,
    die,
    die_twice,
    found,
    is_due,
    settle,
    state_of,
    take_one,
)


async def suspected(world: World) -> Lease:
    """The lease of a lane with one suspect, h1, and an ordinary payment, h2."""
    await accepted(world, "h1")
    await die_twice(world)
    await world.ledger.open([an_ask("h2", invoice_id=2)])
    return await take_one(world)


class Dying:
    """Claims about deaths and suspects."""

    async def test_a_payment_ends_after_three_deaths(self, world: World):
        """It is not sent a fourth time, and its end says what to do."""
        await accepted(world, "h1")
        for deaths in (1, 2, 3):
            lease = await die(world)
            await world.ledger.release(lease, 0)
            assert (await found(world)).deaths == deaths
        payment = await found(world)
        assert payment.state is State.FAILED
        assert payment.error is not None
        assert payment.error.code == "WORKER_DIED"
        assert "3 times" in payment.error.text
        assert "Next step" in payment.error.text

    async def test_three_deaths_do_not_outweigh_a_proof(self, world: World):
        """Read as paid it is paid."""
        lease = await suspected(world)
        await world.ledger.claim(lease, 1, suspect=True)
        await world.pass_time(LEASE_S)
        lease = await take_one(world)
        await world.ledger.recover(lease)
        await world.pass_time(QUIET_S)
        await world.ledger.renew([lease])
        [settled] = await settle(world, lease, await world.ledger.doubts(lease, 10), PAID)
        assert (settled.payment.state, settled.payment.deaths) == (State.PAID, 3)

    async def test_a_suspect_is_claimed_alone(self, world: World):
        """An ordinary claim steps around it, a claim for a suspect gives nothing else; each says how many wait."""
        lease = await suspected(world)
        claim = await world.ledger.claim(lease, 10)
        assert ([payment.id for payment in claim.payments], claim.backlog.waiting, claim.backlog.suspects) == (
            ["h2"],
            0,
            1,
        )
        await world.ledger.open([an_ask("h3", invoice_id=3)])
        claim = await world.ledger.claim(lease, 10, suspect=True)
        assert ([payment.id for payment in claim.payments], claim.backlog.waiting, claim.backlog.suspects) == (
            ["h1"],
            1,
            0,
        )
        claim = await world.ledger.claim(lease, 10, suspect=True)
        assert (claim.payments, claim.backlog) == ((), Backlog(1, 0))

    async def test_pages_of_queued_payments_go_on_where_the_last_one_ended(self, world: World):
        """First what is to be read first, then what is to be sent, then suspects; whatever the size of a page."""
        lease = await suspected(world)
        await settle(world, lease, (await world.ledger.claim(lease, 1)).payments, PAID)
        await world.ledger.open([an_ask("again", invoice_id=2, idempotency_key="again")])
        await world.ledger.open([an_ask(f"h{n}", invoice_id=n) for n in range(3, 6)])
        expected = ["again", "h3", "h4", "h5", "h1"]
        for size in range(1, 7):
            pages = [await world.ledger.payments(PORTAL, State.QUEUED, at, size) for at in range(0, 6, size)]
            assert [payment.id for page in pages for payment in page] == expected

    async def test_a_claim_for_a_suspect_gives_one(self, world: World):
        """With two of them, each has a request of its own; the older comes first."""
        await accepted(world, "h1", "h2")
        for _ in range(2):
            await world.ledger.claim(await take_one(world), 10)
            await world.pass_time(QUIET_S)
            lease = await take_one(world)
            await world.ledger.recover(lease)
            await settle(world, lease, await world.ledger.doubts(lease, 10), Unpaid())
            await world.ledger.release(lease, 0)
        lease = await take_one(world)
        claim = await world.ledger.claim(lease, 10, suspect=True)
        assert ([payment.id for payment in claim.payments], claim.backlog.suspects) == (["h1"], 1)
        lease.claims -= 1
        assert await world.ledger.claim(lease, 10, suspect=True) == claim
        claim = await world.ledger.claim(lease, 10, suspect=True)
        assert ([payment.id for payment in claim.payments], claim.backlog.suspects) == (["h2"], 0)

    async def test_suspects_do_not_count_as_waiting(self, world: World):
        """A batch does not wait for payments that will not join it."""
        lease = await suspected(world)
        assert await world.ledger.backlog(lease) == Backlog(waiting=1, suspects=1)

    async def test_a_held_lane_offers_no_suspect(self, world: World):
        """Its driver has nothing to come back for; resumed, the suspect waits where it was."""
        lease = await suspected(world)
        await world.ledger.hold(PORTAL, "OPERATOR", "it kills workers")
        for suspect in (False, True):
            claim = await world.ledger.claim(lease, 10, suspect=suspect)
            assert (claim.payments, claim.backlog) == ((), NOTHING)
        await world.ledger.resume(PORTAL)
        claim = await world.ledger.claim(lease, 10, suspect=True)
        assert [payment.id for payment in claim.payments] == ["h1"]

    async def test_a_lane_with_only_a_suspect_is_due(self, world: World):
        """It waits apart, but it is not forgotten."""
        lease = await suspected(world)
        await world.ledger.cancel("h2")
        await world.ledger.release(lease, 0)
        assert await is_due(world)

    async def test_a_suspect_is_listed_and_counted_as_queued(self, world: World):
        """Behind the ordinary ones, for it is sent after them."""
        await suspected(world)
        assert [row.id for row in await world.ledger.payments(PORTAL, State.QUEUED, 0, 10)] == ["h2", "h1"]
        assert [row.id for row in await world.ledger.payments(PORTAL, State.QUEUED, 1, 10)] == ["h1"]
        [lane] = await world.ledger.lanes()
        assert lane.counts[State.QUEUED] == 2

    async def test_a_suspect_may_be_cancelled(self, world: World):
        """Nothing of it stays behind."""
        lease = await suspected(world)
        assert (await world.ledger.cancel("h1")).state is State.CANCELLED  # type: ignore[union-attr]  # it is known
        assert await world.ledger.backlog(lease) == Backlog(waiting=1)
        assert (await world.ledger.claim(lease, 10, suspect=True)).payments == ()
        assert [row.id for row in await world.ledger.payments(PORTAL, State.QUEUED, 0, 10)] == ["h2"]

    @pytest.mark.parametrize("verdict", [Requeue(), Requeue(spent=True), LOST])
    async def test_only_a_death_counts_as_one(self, world: World, verdict: Requeue | InDoubt):
        """What was certainly not executed, or had no answer, is not the doing of the payment."""
        lease = await suspected(world)
        [row] = (await world.ledger.claim(lease, 1, suspect=True)).payments
        await settle(world, lease, [row], verdict)
        await world.pass_time(QUIET_S)
        await world.ledger.renew([lease])
        await settle(world, lease, await world.ledger.doubts(lease, 10), Unpaid())
        payment = await found(world)
        assert (payment.state, payment.deaths) == (State.QUEUED, 2)
        assert (await world.ledger.claim(lease, 10)).backlog.suspects == 1

    async def test_a_retry_begins_without_deaths(self, world: World):
        """A person has looked; the payment goes with the others again."""
        await accepted(world, "h1")
        for _ in range(3):
            lease = await die(world)
            await world.ledger.release(lease, 0)
        await world.ledger.retry("h1")
        lease = await take_one(world)
        await settle(world, lease, await world.ledger.doubts(lease, 10), Unpaid())
        claim = await world.ledger.claim(lease, 10)
        assert ([(row.id, row.deaths) for row in claim.payments], claim.backlog.suspects) == ([("h1", 0)], 0)

    async def test_a_suspect_is_in_doubt_after_the_server_was_another_one(self, world: World):
        """The guard holds for it as for any other, and it stays a suspect."""
        await world.ledger.release(await suspected(world), 0)
        await world.restart_server()
        lease = await take_one(world)
        assert (await world.ledger.claim(lease, 1, suspect=True)).payments == ()
        assert await state_of(world) is State.IN_DOUBT
        await world.pass_time(QUIET_S)
        await world.ledger.renew([lease])
        await settle(world, lease, await world.ledger.doubts(lease, 10), Unpaid())
        assert [row.id for row in (await world.ledger.claim(lease, 1, suspect=True)).payments] == ["h1"]
