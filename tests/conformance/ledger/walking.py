"""Walks through a lane: page by page, while its payments move."""

from collections.abc import Awaitable, Callable, Collection
from datetime import timedelta

from ledger.ledger import Accepted, Ledger
from ledger.payment import Payment, PortalKey, State
from ledger.verdict import Decision, InDoubt, Paid, Requeue, Unpaid
from ledger.walks import START, Place, Sought
from tests.conformance.ledger.world import (
    LEASE_S,
    PAID,
    PORTAL,
    REFUSED,
    UNREADABLE,
    World,
    accepted,
    an_ask,
    claimed,
    ended,
    found,
    open_one,
    settle,
    take_one,
)

EVERYTHING = Sought()
SURE = InDoubt(0)


async def walked(
    world: World,
    state: State,
    limit: int = 2,
    sought: Sought = EVERYTHING,
    between: Callable[[list[str]], Awaitable[object]] | None = None,
) -> list[str]:
    """The ids of a whole walk; `between` is done after every page, with what that has shown."""
    place: Place | None = START
    ids: list[str] = []
    while place is not None:
        step = await world.ledger.walk(PORTAL, state, sought, place, limit)
        assert len(step.payments) <= limit
        assert all(row.state is state and row.portal == PORTAL for row in step.payments)
        assert len(step.place.names) <= 4 if step.place else True
        ids += [row.id for row in step.payments]
        place = step.place
        if between is not None:
            await between([row.id for row in step.payments])
        assert len(ids) < 500, "a walk comes to an end"
    return ids


async def whole_walk(ledger: Ledger, portal: str, state: State, limit: int) -> list[Payment]:
    """All that a walk shows while nothing moves; in the order of ids where a walk has none."""
    place: Place | None = START
    rows: list[Payment] = []
    while place is not None:
        step = await ledger.walk(portal, state, EVERYTHING, place, limit)
        rows, place = [*rows, *step.payments], step.place
    return sorted(rows, key=lambda row: row.id) if state in (State.QUEUED, State.IN_DOUBT) else rows


async def lanes_behind(ledger: Ledger, after: str, states: Collection[State]) -> list[PortalKey]:
    """All lanes behind a key that have a payment in one of these states."""
    names: list[PortalKey] = []
    goes_on: str | None = after
    while goes_on is not None:
        page, goes_on = await ledger.portals(goes_on, 1, states)
        names += page
    return names


def handles(count: int) -> list[str]:
    return [f"h{n:02}" for n in range(count)]


class Walking:
    """Claims about walks."""

    async def test_a_walk_shows_every_payment_once_in_order(self, world: World):
        """Open ones oldest first, finished ones newest first, with pages of any size."""
        names = handles(9)
        await accepted(world, *names)
        for limit in (1, 4, 9, 10):
            assert await walked(world, State.QUEUED, limit) == names
        lease = await take_one(world)
        payments = (await world.ledger.claim(lease, 9)).payments
        assert await walked(world, State.SENDING) == names
        await settle(world, lease, payments[:3], PAID)
        await settle(world, lease, payments[3:6], REFUSED)
        await settle(world, lease, payments[6:], SURE)
        assert await walked(world, State.PAID) == names[2::-1]
        assert await walked(world, State.FAILED) == names[5:2:-1]
        assert sorted(await walked(world, State.IN_DOUBT)) == names[6:]
        for name in ("c1", "c2"):
            await open_one(world, name, invoice_id=90 if name == "c1" else 91)
            await world.ledger.cancel(name)
        assert await walked(world, State.CANCELLED, 1) == ["c2", "c1"]

    async def test_nothing_is_walked_through_where_there_is_nothing(self, world: World):
        """An unknown portal and an empty lane end at once."""
        await world.ledger.add_lane(PORTAL)
        for portal in (PORTAL, "nobody"):
            for state in State:
                step = await world.ledger.walk(portal, state, EVERYTHING, START, 5)
                assert (step.payments, step.place) == ((), None)

    async def test_queued_payments_that_are_claimed_meanwhile_push_none_out_of_sight(self, world: World):
        """The queue is taken from the front while it is read: what stays is shown once."""
        names = handles(12)
        await accepted(world, *names)
        lease = await take_one(world)

        async def claim(_: list[str]) -> None:
            await world.ledger.claim(lease, 3)

        shown = await walked(world, State.QUEUED, 2, between=claim)
        assert len(shown) == len(set(shown))
        # At every page three are taken: a walk of two a page is overtaken, and shows only what still waits.
        assert shown[:2] == names[:2]

    async def test_a_walk_that_is_overtaken_by_claims_still_shows_what_waits(self, world: World):
        """The latest names are gone from the queue: it goes on at its new front."""
        names = handles(10)
        await accepted(world, *names)
        lease = await take_one(world)
        first = await world.ledger.walk(PORTAL, State.QUEUED, EVERYTHING, START, 3)
        assert first.place is not None
        await world.ledger.claim(lease, 5)
        rest = await world.ledger.walk(PORTAL, State.QUEUED, EVERYTHING, first.place, 100)
        assert [row.id for row in rest.payments] == names[5:]

    async def test_payments_that_come_back_to_the_front_hide_none(self, world: World):
        """A requeue puts names in front of where the walk stands."""
        names = handles(10)
        await accepted(world, *names)
        lease = await take_one(world)
        taken = (await world.ledger.claim(lease, 4)).payments
        first = await world.ledger.walk(PORTAL, State.QUEUED, EVERYTHING, START, 2)
        assert [row.id for row in first.payments] == names[4:6]
        assert first.place is not None
        await settle(world, lease, taken, Requeue())
        rest = await world.ledger.walk(PORTAL, State.QUEUED, EVERYTHING, first.place, 100)
        assert [row.id for row in rest.payments] == names[6:]

    async def test_who_withdraws_each_page_sees_every_payment(self, world: World):
        """The names that the next page is looked for behind are all gone by then."""
        names = handles(11)
        await accepted(world, *names)

        async def withdraw(page: list[str]) -> None:
            for name in page:
                await world.ledger.cancel(name)

        assert await walked(world, State.QUEUED, 3, between=withdraw) == names
        assert sorted(await walked(world, State.CANCELLED, 4)) == names

    async def test_who_withdraws_one_page_sees_what_is_behind_it_once(self, world: World):
        """The page before has kept its names: nothing of it is shown again."""
        names = handles(10)
        await accepted(world, *names)
        pages = 0

        async def withdraw_the_second(page: list[str]) -> None:
            nonlocal pages
            pages += 1
            for name in page if pages == 2 else ():
                await world.ledger.cancel(name)

        assert await walked(world, State.QUEUED, 3, between=withdraw_the_second) == names

    async def test_who_retries_each_page_sees_every_failed_payment(self, world: World):
        """A retried payment leaves the list that is being read."""
        names = handles(7)
        await ended(world, REFUSED, *names)

        async def retry(page: list[str]) -> None:
            for name in page:
                await world.ledger.retry(name)

        assert await walked(world, State.FAILED, 2, between=retry) == names[::-1]

    async def test_payments_that_end_meanwhile_push_none_out_of_sight_and_are_not_shown(self, world: World):
        """New ends come in front of a walk that goes to the older ones."""
        names = handles(6)
        await ended(world, PAID, *names)
        more = 0

        async def pay_another(_: list[str]) -> None:
            nonlocal more
            more += 1
            await open_one(world, f"x{more}", invoice_id=100 + more)
            lease = await take_one(world)
            await settle(world, lease, (await world.ledger.claim(lease, 1)).payments, PAID)
            await world.ledger.release(lease, 0)

        assert await walked(world, State.PAID, 2, between=pay_another) == names[::-1]

    async def test_doubts_that_are_read_meanwhile_are_all_shown(self, world: World):
        """Their order is that of their next read, which moves with every read."""
        names = handles(9)
        lease, payments = await claimed(world, *names)
        await settle(world, lease, payments, SURE)

        async def read(_: list[str]) -> None:
            await world.pass_time(1)
            due = await world.ledger.doubts(lease, 3)
            await settle(world, lease, due, UNREADABLE)

        await world.pass_time(2)
        assert sorted(await walked(world, State.IN_DOUBT, 2, between=read)) == names

    async def test_what_must_be_read_first_is_walked_through_as_queued(self, world: World):
        """It waits like the others, and it alone when only what has an error is wanted."""
        await ended(world, PAID)
        await open_one(world, "h2", idempotency_key="again")
        await world.ledger.open([an_ask("h3", invoice_id=3)])
        assert await walked(world, State.QUEUED, 1) == ["h2", "h3"]
        assert await walked(world, State.QUEUED, 1, Sought(troubled=True)) == []
        lease = await take_one(world)
        await settle(world, lease, await world.ledger.doubts(lease, 1), UNREADABLE)
        assert await walked(world, State.QUEUED, 1, Sought(troubled=True)) == ["h2"]
        assert await walked(world, State.QUEUED, 1, Sought(code=UNREADABLE.error.code)) == ["h2"]
        assert await walked(world, State.IN_DOUBT) == []

    async def test_suspects_are_walked_through_as_queued(self, world: World):
        """They wait apart."""
        await accepted(world, "h1")
        for _ in range(2):
            lease = await take_one(world)
            assert (await world.ledger.claim(lease, 1)).payments
            await world.pass_time(LEASE_S)
            lease = await take_one(world, "next")
            await world.ledger.recover(lease)
            await world.pass_time(10_000)
            await world.ledger.release(lease, 0)
            lease = await take_one(world, "third")
            await settle(world, lease, await world.ledger.doubts(lease, 1), Unpaid())
            await world.ledger.release(lease, 0)
        await world.ledger.open([an_ask("h2", invoice_id=2), an_ask("h3", invoice_id=3)])
        assert (await found(world)).deaths == 2
        assert await walked(world, State.QUEUED, 1) == ["h2", "h3", "h1"]

    async def test_a_code_is_that_of_the_end_or_of_the_latest_read(self, world: World):
        """Others are left out, however many there are on a page."""
        lease, payments = await claimed(world, *handles(6))
        await settle(world, lease, payments[::2], REFUSED)
        await settle(world, lease, payments[1::2], SURE)
        await world.pass_time(2)
        [first, *_] = await world.ledger.doubts(lease, 3)
        await settle(world, lease, [first], UNREADABLE)
        wanted = Sought(code=REFUSED.error.code)
        assert await walked(world, State.FAILED, 2, wanted) == ["h04", "h02", "h00"]
        assert await walked(world, State.FAILED, 2, Sought(code="OTHER")) == []
        assert await walked(world, State.IN_DOUBT, 2, Sought(code=UNREADABLE.error.code)) == [first.id]

    async def test_a_moment_is_that_of_the_end_and_of_acceptance_while_it_is_open(self, world: World):
        """From `since` on, before `until`; also where the wanted ones stand deep in a list."""
        lease, payments = await claimed(world, *handles(12))
        for payment in payments:
            await settle(world, lease, [payment], Paid(PAID.evidence))
            await world.pass_time(700)
        middle = await found(world, "h05")
        assert middle.finished_at is not None
        later = middle.finished_at + timedelta(seconds=700 * 3)
        wanted = Sought(since=middle.finished_at, until=later)
        assert await walked(world, State.PAID, 2, wanted) == ["h07", "h06", "h05"]
        assert await walked(world, State.PAID, 2, Sought(until=middle.finished_at)) == handles(5)[::-1]
        assert await walked(world, State.PAID, 5, Sought(since=later)) == handles(12)[:7:-1]
        opened = await open_one(world, "open", invoice_id=99)
        assert isinstance(opened, Accepted)
        at = opened.payment.enqueued_at
        assert await walked(world, State.QUEUED, 2, Sought(since=at)) == ["open"]
        assert await walked(world, State.QUEUED, 2, Sought(until=at)) == []

    async def test_a_failed_payment_keeps_its_place_by_time(self, world: World):
        """As paid ones do."""
        lease, payments = await claimed(world, *handles(5))
        for payment in payments:
            await settle(world, lease, [payment], REFUSED)
            await world.pass_time(700)
        middle = await found(world, "h02")
        assert await walked(world, State.FAILED, 2, Sought(until=middle.finished_at)) == ["h01", "h00"]
        assert await walked(world, State.FAILED, 2, Sought(since=middle.finished_at)) == ["h04", "h03", "h02"]

    async def test_a_record_that_is_gone_ends_no_walk(self, world: World):
        """Its name may still stand in a list."""
        await accepted(world, *handles(5))
        await world.lose_record("h01")
        assert await walked(world, State.QUEUED, 2) == ["h00", "h02", "h03", "h04"]

    async def test_lanes_are_named_in_order_page_by_page(self, world: World):
        """Those with a payment in one of the states, or all of them."""
        for name in ("beta", "acme", "delta", "gamma"):
            await world.ledger.add_lane(name)
        await world.ledger.open([an_ask("h1", portal=PortalKey("delta")), an_ask("h2", portal=PortalKey("acme"))])
        await world.ledger.cancel("h2")
        names: list[str] = []
        after: str | None = ""
        while after is not None:
            page, after = await world.ledger.portals(after, 3)
            names += page
        assert names == ["acme", "beta", "delta", "gamma"]
        assert (await world.ledger.portals("", 5, [State.QUEUED]))[0] == ["delta"]
        assert (await world.ledger.portals("", 5, [State.QUEUED, State.CANCELLED]))[0] == ["acme", "delta"]
        assert (await world.ledger.portals("acme", 5, [State.CANCELLED]))[0] == []
        assert await world.ledger.portals("gamma", 5) == ([], None)

    async def test_a_claim_that_is_settled_and_made_again_is_still_one_payment(self, world: World):
        """It left and came back: it may be shown again, and nothing else is hidden by it."""
        lease, payments = await claimed(world, *handles(6))

        async def again(page: list[str]) -> None:
            row = next((row for row in payments if row.id in page), None)
            if row is not None:
                await world.ledger.settle(lease, [Decision(await found(world, row.id), Requeue())])
                await world.ledger.claim(lease, 1)

        shown = await walked(world, State.SENDING, 4, between=again)
        assert set(shown) == set(handles(6))
