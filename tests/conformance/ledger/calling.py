"""Who is told of a payment's end, when, how often, and what becomes of those whom nobody could tell."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from ledger.callbacks import (
    DELIVERED_KEPT_S,
    Callback,
    CallbackState,
    Delivered,
    GivenUp,
    TryAgain,
)
from ledger.ledger import AlreadyPaid, Joined
from ledger.payment import Destination, Payment, State
from ledger.verdict import Unpaid
from tests.conformance.ledger.world import (
    LOST,
    PAID,
    PORTAL,
    QUIET_S,
    REFUSED,
    RETENTION_S,
    World,
    an_ask,
    die,
    found,
    open_one,
    settle,
    take_one,
)

SHOP = Destination("shop.example", "https://shop.example/paid?of=1")
OTHER = Destination("other.example", "https://other.example/hook")
DELIVERED = Delivered("200")
LEASE_S = 30.0


async def wanted(world: World, *handles: str, to: Destination = SHOP) -> None:
    """Payments of the invoices 1, 2, ... whose end is to be told."""
    await world.ledger.add_lane(PORTAL)
    await world.ledger.open([an_ask(handle, invoice_id=n, callback=to) for n, handle in enumerate(handles, start=1)])


async def end(world: World, verdict: object = PAID) -> list[Payment]:
    """Pay, or refuse, everything that waits; what ended."""
    lease = await take_one(world)
    settled = await settle(world, lease, (await world.ledger.claim(lease, 100)).payments, verdict)  # type: ignore[arg-type]
    await world.ledger.release(lease, 0)
    return [entry.payment for entry in settled]


async def due(world: World, limit: int = 100, per_host: int = 100, **rooms: int) -> list[Callback]:
    """The callbacks that a sender gets now."""
    named = {host.replace("_", "."): room for host, room in rooms.items()}
    taken, _ = await world.ledger.callbacks.take(limit, per_host=per_host, lease_s=LEASE_S, rooms=named)
    return taken


async def told(world: World, callbacks: Sequence[Callback], outcome: object) -> list[bool]:
    """Write down the same of each."""
    return [await world.ledger.callbacks.told(each, outcome) for each in callbacks]  # type: ignore[arg-type]


async def listed(world: World, state: CallbackState, **options: object) -> list[str]:
    """The handles of the callbacks in a state, newest first."""
    page = await world.ledger.callbacks.page(state, **options)  # type: ignore[arg-type]
    return [str(each.handle) for each in page.callbacks]


class Calling:
    """Claims about callbacks."""

    async def test_a_callback_is_due_when_its_payment_ends_and_not_before(self, world: World):
        """What is told is the payment as it ended; others have none."""
        await wanted(world, "h1")
        await world.ledger.open([an_ask("plain", invoice_id=9)])
        assert await due(world) == []
        ended = await end(world)
        [callback] = await due(world)
        assert callback.payment == next(row for row in ended if row.id == "h1")
        assert (callback.to, callback.handle, callback.attempt, callback.tries) == (SHOP, "h1", 1, 1)
        assert callback.id.startswith("evt_")
        assert "." not in callback.id

    async def test_every_end_is_told(self, world: World):
        """Paid, refused, withdrawn, and ended by a person's word."""
        await wanted(world, "h1", "h2", "h3", "h4")
        await world.ledger.cancel("h2")
        lease = await take_one(world)
        one, three, four = (await world.ledger.claim(lease, 10)).payments
        await settle(world, lease, [one], PAID)
        await settle(world, lease, [three], REFUSED)
        await settle(world, lease, [four], LOST)
        assert {each.handle for each in await due(world)} == {"h1", "h2", "h3"}
        await world.pass_time(QUIET_S)
        await world.ledger.decide("h4", paid=False, because="looked")
        ends = {each.handle: each.payment.state for each in await due(world)}
        assert ends["h4"] is State.FAILED
        assert ends["h2"] is State.CANCELLED

    async def test_what_a_read_back_settles_is_told(self, world: World):
        """Also after its driver has died."""
        await wanted(world, "h1")
        await world.ledger.release(await die(world), 0)
        assert await due(world) == []
        await end(world)
        assert [each.payment.state for each in await due(world)] == [State.PAID]

    async def test_who_joins_with_a_callback_is_told_as_well(self, world: World):
        """Each under the handle of their own; who joins without one is not told."""
        await wanted(world, "h1")
        await open_one(world, "h2", callback=OTHER)
        await open_one(world, "h3", callback=SHOP)
        await open_one(world, "h4")
        await end(world)
        callbacks = await due(world)
        assert {(each.handle, each.to.host) for each in callbacks} == {
            ("h1", "shop.example"),
            ("h2", "other.example"),
            ("h3", "shop.example"),
        }
        assert len({each.id for each in callbacks}) == 3

    async def test_a_repeated_request_is_told_once(self, world: World):
        """The same handle, or the same key with the same destination, is the same request; another one is not."""
        await world.ledger.add_lane(PORTAL)
        for handle in ("h1", "h1", "h2"):
            await open_one(world, handle, idempotency_key="k", callback=SHOP)
        await open_one(world, "h3", idempotency_key="k", callback=OTHER)
        await open_one(world, "h1", idempotency_key="k", callback=OTHER)
        await end(world)
        assert sorted(each.handle for each in await due(world)) == ["h1", "h3"]
        await open_one(world, "h1", idempotency_key="k", callback=SHOP)
        assert await due(world) == []

    async def test_who_comes_late_is_told_at_once(self, world: World):
        """A request for a paid invoice is told as the duplicate it is; repeating it tells nothing more."""
        await wanted(world, "h1")
        await end(world)
        await told(world, await due(world), DELIVERED)
        for _ in range(2):
            assert isinstance(await open_one(world, "h2", callback=OTHER), AlreadyPaid)
        [callback] = await due(world)
        assert (callback.handle, callback.payment.id, callback.payment.duplicate) == ("h2", "h1", True)

    async def test_who_joins_a_failure_is_told_of_it_and_of_what_follows(self, world: World):
        """The key is known and the payment has failed; then somebody tries again."""
        await world.ledger.add_lane(PORTAL)
        await open_one(world, "h1", idempotency_key="k")
        await end(world, REFUSED)
        assert isinstance(await open_one(world, "h2", idempotency_key="k", callback=SHOP), Joined)
        [failure] = await due(world)
        assert failure.payment.state is State.FAILED
        await world.ledger.retry("h1")
        lease = await take_one(world)
        await settle(world, lease, await world.ledger.doubts(lease, 10), PAID)
        [success] = await due(world)
        assert (success.handle, success.payment.state) == ("h2", State.PAID)

    async def test_each_failure_is_told_under_a_name_of_its_own(self, world: World):
        """A retried payment fails again: that is news. Both say what was so at their time."""
        await wanted(world, "h1")
        await end(world, REFUSED)
        await world.ledger.retry("h1")
        await world.pass_time(1)
        lease = await take_one(world)
        await settle(world, lease, await world.ledger.doubts(lease, 10), Unpaid())
        await settle(world, lease, (await world.ledger.claim(lease, 1)).payments, REFUSED)
        first, second = await due(world)
        assert first.id != second.id
        assert first.payment.finished_at != second.payment.finished_at

    async def test_two_senders_never_get_the_same(self, world: World):
        """While one has it nobody else does; when it died, the next gets it under the same name."""
        await wanted(world, "h1", "h2")
        await end(world)
        [first] = await due(world, limit=1)
        [second] = await due(world)
        assert first.id != second.id
        assert await due(world) == []
        await world.pass_time(LEASE_S)
        again = await due(world)
        assert {each.id for each in again} == {first.id, second.id}
        assert {each.attempt for each in again} == {2}

    async def test_a_delivered_callback_is_not_due_again(self, world: World):
        """It is remembered for a while, and forgotten then."""
        await wanted(world, "h1")
        await end(world)
        [callback] = await due(world)
        assert await told(world, [callback, callback], DELIVERED) == [True, False]
        await world.pass_time(LEASE_S + 1)
        assert await due(world) == []
        assert await listed(world, CallbackState.DELIVERED) == ["h1"]
        await world.pass_time(min(DELIVERED_KEPT_S, RETENTION_S))
        assert await world.ledger.callbacks.find([callback.id]) == [None]
        assert await listed(world, CallbackState.DELIVERED) == []

    async def test_an_undelivered_callback_waits_for_its_next_attempt(self, world: World):
        """As long as was said; who asks is told how long."""
        await wanted(world, "h1")
        await end(world)
        assert await told(world, await due(world), TryAgain("503", 60)) == [True]
        taken, wait_s = await world.ledger.callbacks.take(10, per_host=10, lease_s=LEASE_S, rooms={})
        assert (taken, wait_s) == ([], 60.0)
        [waiting] = (await world.ledger.callbacks.page(CallbackState.PENDING)).callbacks
        assert (waiting.remark, waiting.tries) == ("503", 1)
        await world.pass_time(60)
        assert [each.tries for each in await due(world)] == [2]

    async def test_a_late_word_about_an_older_attempt_does_not_count_unless_it_was_delivered(self, world: World):
        """A sender stood still beyond its lease; a later attempt is under way."""
        await wanted(world, "h1")
        await end(world)
        [late] = await due(world)
        await world.pass_time(LEASE_S)
        await due(world)
        assert await told(world, [late], GivenUp("gone")) == [False]
        assert await told(world, [late], TryAgain("503", 60)) == [False]
        assert await told(world, [late], DELIVERED) == [True]
        assert await listed(world, CallbackState.PENDING) == []

    async def test_a_callback_that_was_given_up_stays_on_a_list(self, world: World):
        """Until its retention ends; its payment may be forgotten before."""
        await wanted(world, "h1")
        await end(world)
        await world.pass_time(RETENTION_S / 2)
        await told(world, await due(world), GivenUp("410"))
        assert await due(world) == []
        await world.pass_time(RETENTION_S / 2 + 1)
        assert await world.ledger.find(["h1"]) == [None]
        [failed] = (await world.ledger.callbacks.page(CallbackState.FAILED)).callbacks
        assert (failed.remark, failed.due_at, failed.payment.id) == ("410", None, "h1")
        await world.pass_time(RETENTION_S / 2)
        assert await listed(world, CallbackState.FAILED) == []

    async def test_a_pending_callback_outlives_its_payment(self, world: World):
        """Nothing that is owed is forgotten."""
        await wanted(world, "h1")
        await end(world)
        await world.pass_time(RETENTION_S * 2)
        assert await world.ledger.find(["h1"]) == [None]
        assert [each.handle for each in await due(world)] == ["h1"]

    async def test_whatever_became_of_it_a_callback_can_be_sent_again(self, world: World):
        """Under its name, with all its attempts; an unknown one is said to be so."""
        await wanted(world, "h1", "h2", "h3")
        await end(world)
        one, two, three = await due(world)
        await told(world, [one], DELIVERED)
        await told(world, [two], GivenUp("410"))
        await told(world, [three], TryAgain("500", 3600))
        names = [one.id, two.id, three.id, "evt_unknown"]
        assert await world.ledger.callbacks.resend(names) == [True, True, True, False]
        assert await world.ledger.callbacks.resend(names[:1]) == [True]
        again = await due(world)
        assert {each.id for each in again} == {one.id, two.id, three.id}
        assert {each.tries for each in again} == {1}
        # What is on its way is not sent beside.
        assert await world.ledger.callbacks.resend([one.id]) == [True]
        assert await due(world) == []
        # A word about an attempt before it was asked for again is no answer to that.
        assert await told(world, [one], DELIVERED) == [False]

    async def test_one_host_does_not_take_the_room_of_others(self, world: World):
        """Many are due at one host, one at another; a full host is stepped over."""
        await wanted(world, *(f"h{n}" for n in range(1, 8)))
        await open_one(world, "o1", invoice_id=50, callback=OTHER)
        await end(world)
        hosts = [each.to.host for each in await due(world, limit=4, per_host=3)]
        assert sorted(hosts) == ["other.example", *["shop.example"] * 3]
        assert await due(world, shop_example=0) == []
        assert len(await due(world, per_host=2)) == 2
        assert len(await due(world, shop_example=1)) == 1
        taken, wait_s = await world.ledger.callbacks.take(5, per_host=5, lease_s=1, rooms={"shop.example": 0})
        assert (taken, wait_s) == ([], LEASE_S)
        assert len(await due(world)) == 1

    async def test_lists_go_newest_first_by_host_and_time(self, world: World):
        """Page by page; counts say how many there are."""
        await wanted(world, "h1")
        await end(world)
        first = (await found(world)).finished_at
        await world.pass_time(10)
        await open_one(world, "h2", invoice_id=2, callback=OTHER)
        await open_one(world, "h3", invoice_id=3, callback=SHOP)
        await end(world)
        pending = CallbackState.PENDING
        assert sorted(await listed(world, pending)) == ["h1", "h2", "h3"]
        assert (await listed(world, pending))[-1] == "h1"
        assert await listed(world, pending, host="other.example") == ["h2"]
        assert first is not None
        assert len(await listed(world, pending, since=first)) == 3
        assert "h1" not in await listed(world, pending, since=first.replace(second=first.second + 1))
        page = await world.ledger.callbacks.page(pending, limit=2)
        assert page.next is not None
        rest = await world.ledger.callbacks.page(pending, offset=page.next, limit=2)
        assert [each.handle for each in rest.callbacks] == ["h1"]
        assert rest.next is None
        counts = await world.ledger.callbacks.counts()
        assert (counts.pending, counts.failed, counts.delivered, counts.oldest) == (3, 0, 0, first)

    @pytest.mark.parametrize("verdict", [PAID, REFUSED])
    async def test_a_sweep_finds_nothing_where_every_end_was_told(self, world: World, verdict: object):
        """It looks at payments whose end is to be told, ever more rarely, and never tells twice."""
        await wanted(world, "h1")
        await world.pass_time(15)
        assert await world.ledger.callbacks.sweep(10) == (1, 0)
        assert await world.ledger.callbacks.sweep(10) == (0, 0)
        await end(world, verdict)
        await told(world, await due(world), DELIVERED)
        for _ in range(4):
            await world.pass_time(RETENTION_S / 5)
            assert (await world.ledger.callbacks.sweep(10))[1] == 0
            assert await due(world) == []

    async def test_a_payment_whose_record_is_gone_is_told_to_nobody(self, world: World):
        """There is nothing to tell; its wish is forgotten with it, also for whoever has its name next."""
        await wanted(world, "h1")
        await end(world, REFUSED)
        await told(world, await due(world), DELIVERED)
        await world.lose_record("h1")
        await world.pass_time(600)
        assert await world.ledger.callbacks.sweep(10) == (1, 0)
        await world.pass_time(600)
        assert await world.ledger.callbacks.sweep(10) == (0, 0)
        await open_one(world, "h1", invoice_id=5)
        await end(world)
        assert await due(world) == []

    async def test_a_destination_is_no_part_of_the_content(self, world: World):
        """Who asks for the same with another one joins."""
        await wanted(world, "h1")
        answer = await open_one(world, "h2", callback=replace(SHOP, url="https://shop.example/else"))
        assert isinstance(answer, Joined)
