"""What is counted for people: failures by code, and each minute."""

from datetime import UTC, datetime, timedelta

from ledger.figures import MOST_CODES, Failures, Minute
from ledger.payment import Payment, PortalKey, Refusal, State
from ledger.verdict import Decision, Failed, InDoubt
from ledger.walks import Sought
from tests.conformance.ledger.walking import handles, walked
from tests.conformance.ledger.world import (
    LEASE_S,
    LOST,
    PAID,
    PORTAL,
    REFUSED,
    RETENTION_S,
    World,
    accepted,
    claimed,
    ended,
    open_one,
    settle,
    take_one,
)

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
OTHER = Failed(Refusal("OTHER", "text"))


async def failures(world: World) -> list[tuple[str | None, int]]:
    """Codes and counts of all lanes."""
    rows = await world.ledger.figures.failures()
    assert not any(row.counting for row in rows)
    return [(row.code, row.count) for row in rows]


async def minutes(world: World) -> list[Minute]:
    """Whatever is kept."""
    return await world.ledger.figures.minutes(LONG_AGO)


async def fail_with(world: World, codes: list[str]) -> list[Payment]:
    """Payments that fail with these codes, one after the other."""
    lease, payments = await claimed(world, *handles(len(codes)))
    for payment, code in zip(payments, codes, strict=True):
        await world.ledger.settle(lease, [Decision(payment, Failed(Refusal(code, "text")))])
    await world.ledger.release(lease, 0)
    return payments


class Counting:
    """Claims about counts."""

    async def test_failed_payments_are_counted_by_code(self, world: World):
        """The most first; with the moment of the latest."""
        lease, payments = await claimed(world, *handles(4))
        await settle(world, lease, payments[:1], OTHER)
        await settle(world, lease, payments[1:3], REFUSED)
        await world.pass_time(5)
        [last] = await settle(world, lease, payments[3:], REFUSED)
        rows = await world.ledger.figures.failures([PORTAL, "nobody"])
        assert [(row.portal, row.code, row.count) for row in rows] == [
            (PORTAL, "ERROR_CHECK_FAILURE", 3),
            (PORTAL, "OTHER", 1),
        ]
        assert rows[0].latest_at == last.payment.finished_at
        assert rows[1].latest_at == (await world.ledger.find(["h00"]))[0].finished_at  # type: ignore[union-attr]  # it is there

    async def test_a_repeated_step_counts_nothing_twice(self, world: World):
        """Neither a settlement whose answer was lost, nor a retry, nor a request."""
        lease, payments = await claimed(world, "h1", "h2")
        for _ in range(2):
            await settle(world, lease, payments[:1], REFUSED)
            await settle(world, lease, payments[1:], LOST)
            await open_one(world, "h1")
        assert await failures(world) == [("ERROR_CHECK_FAILURE", 1)]
        [minute] = await minutes(world)
        assert (minute.accepted, minute.paid, minute.failed, minute.in_doubt) == (2, 0, 1, 1)
        for _ in range(2):
            await world.ledger.retry("h1")
        assert await failures(world) == []

    async def test_what_a_person_and_a_read_fail_is_counted_too(self, world: World):
        """Every end as failed is one."""
        lease, payments = await claimed(world, "h1", "h2")
        await settle(world, lease, payments[:1], InDoubt(0))
        await settle(world, lease, payments[1:], InDoubt(0, Refusal("CODE", "text")))
        await world.ledger.decide("h1", paid=False, because="looked")
        await world.ledger.decide("h2", paid=False, because="looked")
        assert await failures(world) == [("RESOLVED_UNPAID", 2)]

    async def test_what_is_forgotten_is_counted_no_more(self, world: World):
        """After the retention."""
        await ended(world, REFUSED)
        await world.pass_time(RETENTION_S / 2)
        await open_one(world, "h2", invoice_id=2)
        lease = await take_one(world)
        await settle(world, lease, (await world.ledger.claim(lease, 1)).payments, OTHER)
        assert await failures(world) == [("ERROR_CHECK_FAILURE", 1), ("OTHER", 1)]
        await world.pass_time(RETENTION_S / 2)
        assert await failures(world) == [("OTHER", 1)]
        await world.pass_time(RETENTION_S / 2)
        assert await failures(world) == []

    async def test_a_portal_that_invents_codes_is_counted_in_bounds(self, world: World):
        """So many one by one, and the others together; each can still be found."""
        codes = [f"CODE_{n:02}" for n in range(MOST_CODES + 3)]
        await fail_with(world, [*codes, "", codes[0]])
        rows = await failures(world)
        assert len(rows) == MOST_CODES + 1
        assert (rows[0], rows[-1]) == ((codes[0], 2), (None, 4))
        assert await walked(world, State.FAILED, 2, Sought(code=codes[-1])) == ["h52"]
        assert await walked(world, State.FAILED, 2, Sought(code=codes[0])) == ["h54", "h00"]
        await world.ledger.retry("h52")
        await world.ledger.retry("h01")
        assert (await failures(world))[-1] == (None, 3)
        assert await walked(world, State.FAILED, 2, Sought(code=codes[1])) == []

    async def test_a_removed_lane_comes_back_with_its_failures(self, world: World):
        """As with its payments; while it is away it is no lane."""
        await ended(world, REFUSED)
        await world.ledger.remove_lane(PORTAL)
        assert await failures(world) == []
        await world.ledger.add_lane(PORTAL)
        assert await failures(world) == [("ERROR_CHECK_FAILURE", 1)]
        await world.ledger.remove_lane(PORTAL)
        await world.pass_time(RETENTION_S)
        await world.ledger.add_lane(PORTAL)
        assert await failures(world) == []

    async def test_lanes_are_counted_one_by_one(self, world: World):
        """In order of their keys."""
        for portal in ("beta", "acme"):
            await accepted(world, f"h-{portal}", portal=portal)
        leases, _ = await world.ledger.take("driver", 2)
        for lease in leases:
            await settle(world, lease, (await world.ledger.claim(lease, 1)).payments, REFUSED)
        rows = await world.ledger.figures.failures()
        assert [row.portal for row in rows] == ["acme", "beta"]
        assert await world.ledger.figures.failures(["beta"]) == [row for row in rows if row.portal == "beta"]
        assert all(isinstance(row, Failures) for row in rows)

    async def test_minutes_tell_what_happened_in_them(self, world: World):
        """Accepted, paid, failed and put in doubt; nothing stands for a minute in which nothing happened."""
        lease, payments = await claimed(world, "h1", "h2", "h3", "h4")
        await world.pass_time(61)
        await settle(world, lease, payments[:1], PAID)
        await settle(world, lease, payments[1:2], REFUSED)
        await settle(world, lease, payments[2:], LOST)
        await world.pass_time(120)
        lease = await take_one(world, "next")
        await settle(world, lease, await world.ledger.doubts(lease, 1), PAID)
        first = payments[0].enqueued_at
        assert await minutes(world) == [
            Minute(first, accepted=4),
            Minute(first + timedelta(minutes=1), paid=1, failed=1, in_doubt=2),
            Minute(first + timedelta(minutes=3), paid=1),
        ]
        since = first + timedelta(minutes=1, seconds=30)
        assert [minute.paid for minute in await world.ledger.figures.minutes(since)] == [1, 1]

    async def test_a_lost_driver_and_a_lost_history_count_as_doubts(self, world: World):
        """Whichever step puts a payment in doubt."""
        await claimed(world, "h1")
        await open_one(world, "h2", invoice_id=2)
        await world.restart_server()
        await world.pass_time(LEASE_S)
        lease = await take_one(world, "next")
        await world.ledger.recover(lease)
        await world.ledger.claim(lease, 5)
        assert sum(minute.in_doubt for minute in await minutes(world)) == 2

    async def test_minutes_are_kept_for_two_days(self, world: World):
        """Whoever asks for more gets what there is."""
        await accepted(world, "h1")
        await world.pass_time(47 * 3600)
        await open_one(world, "h2", invoice_id=2, portal=PortalKey(PORTAL))
        assert [minute.accepted for minute in await minutes(world)] == [1, 1]
        await world.pass_time(3600 + 60)
        assert [minute.accepted for minute in await minutes(world)] == [1]

    async def test_nothing_is_left_to_tally(self, world: World):
        """Where only this version was at work."""
        await ended(world, REFUSED)
        await world.ledger.sweep()
        while await world.ledger.figures.tally():
            pass
        assert await failures(world) == [("ERROR_CHECK_FAILURE", 1)]
