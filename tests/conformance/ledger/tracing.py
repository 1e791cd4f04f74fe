"""Whose trace a payment belongs to: kept while it is open, and no part of what is asked for."""

import pytest

from ledger.ledger import Accepted, Joined
from ledger.verdict import Verdict
from tests.conformance.ledger.world import (
    LOST,
    PAID,
    PORTAL,
    REFUSED,
    World,
    an_ask,
    found,
    open_one,
    settle,
    take_one,
)

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
ANOTHER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Tracing:
    """Claims about the trace context of a payment."""

    async def test_a_trace_goes_with_the_payment_through_claim_and_doubt(self, world: World) -> None:
        """Whoever drives it, after a crash as well, knows whose it is."""
        await world.ledger.add_lane(PORTAL)
        answer = await open_one(world, traceparent=TRACE)
        assert isinstance(answer, Accepted)
        assert answer.payment.traceparent == TRACE
        lease = await take_one(world)
        claim = await world.ledger.claim(lease, 1)
        assert [payment.traceparent for payment in claim.payments] == [TRACE]
        await settle(world, lease, claim.payments, LOST)
        assert (await found(world)).traceparent == TRACE

    @pytest.mark.parametrize("end", [PAID, REFUSED], ids=["paid", "failed"])
    async def test_a_trace_is_forgotten_when_the_payment_ends(self, world: World, end: Verdict) -> None:
        """Rows that are remembered for weeks do not carry it."""
        await world.ledger.add_lane(PORTAL)
        await open_one(world, traceparent=TRACE)
        lease = await take_one(world)
        claim = await world.ledger.claim(lease, 1)
        [settled] = await settle(world, lease, claim.payments, end)
        assert settled.payment.traceparent is None
        assert (await found(world)).traceparent is None

    async def test_a_cancelled_payment_forgets_it_too(self, world: World) -> None:
        """Every end is an end."""
        await world.ledger.add_lane(PORTAL)
        await open_one(world, traceparent=TRACE)
        await world.ledger.cancel("h1")
        assert (await found(world)).traceparent is None

    async def test_who_joins_from_another_trace_changes_nothing(self, world: World) -> None:
        """The payment belongs to the trace that it was written for; the content decides, and a trace is none."""
        await world.ledger.add_lane(PORTAL)
        await open_one(world, traceparent=TRACE)
        joined = await open_one(world, "h2", traceparent=ANOTHER)
        assert isinstance(joined, Joined)
        assert joined.payment.traceparent == TRACE

    async def test_each_of_many_requests_has_its_own(self, world: World) -> None:
        """Traced and untraced ones come in one step."""
        await world.ledger.add_lane(PORTAL)
        asks = [
            an_ask(f"h{n}", invoice_id=n, traceparent=trace) for n, trace in enumerate((None, TRACE, ANOTHER), start=1)
        ]
        await world.ledger.open(asks)
        rows = await world.ledger.find(["h1", "h2", "h3"])
        assert [row.traceparent for row in rows if row] == [None, TRACE, ANOTHER]
