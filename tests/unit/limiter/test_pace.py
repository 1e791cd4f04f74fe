"""What a lane makes of a portal's limits: whole runs against the model of a portal, on a clock that events move."""

from itertools import pairwise

import pytest

from emulator.buckets import Hit
from limiter.limiter import Limits
from tests.unit.limiter.model import KEY, START, Clock, Foreigner, Lane, Portal

STANDARD = Limits()
# Ours, so that only the request bucket binds.
NO_BUDGET = 1e9
PAYMENTS = 10_000
REQUESTS = 206  # 205 with 49 payments, and the first one with 3
MOST_REFUSED = 0.01
BOUND = 1.15


def a_run(payments: float = float("inf"), **rules: float) -> tuple[Clock, Portal, Lane]:
    """A lane with so many payments on a fresh portal."""
    clock = Clock()
    portal = Portal(clock, **rules)  # type: ignore[arg-type]  # the tests name real fields
    limits = Limits(execution_s=max(STANDARD.execution_s, portal.limit_s))
    return clock, portal, Lane(portal, limits, payments=payments)


async def test_beyond_the_burst_the_rate_is_used_in_full():
    """10,000 payments: no request is refused, and it takes 1.05 of the portal's own bound."""
    clock, _, lane = a_run(PAYMENTS, limit_s=NO_BUDGET)
    await clock.run(START + 1000, goes_on=lambda: not lane.done())
    assert lane.tally.paid == PAYMENTS
    assert lane.tally.refused == 0
    assert clock.now - START <= 1.05 * (REQUESTS - 50) / 2.0


@pytest.mark.parametrize("by_chance", [False, True])
@pytest.mark.parametrize("seed", [0, 3])
@pytest.mark.parametrize("per_s", [0.5, 1.0, 1.5])
async def test_beside_another_client_what_is_left_is_used(per_s: float, seed: int, by_chance: bool):
    """At most one request in a hundred is refused, and what the other client leaves is used. (Beside one that takes
    three quarters of the rate, and that by chance, it is two in a hundred.)"""
    clock, portal, lane = a_run(limit_s=NO_BUDGET)
    other = Foreigner(portal, per_s, by_chance=by_chance, seed=seed)
    for_s = 1500 / (2.0 - per_s)
    # What is left of a rate is found by trying: with a quarter of it that takes some refusals.
    await clock.run(START + (300 if per_s > 1 else 0))
    requests, refused = lane.tally.requests, lane.tally.refused
    await clock.run(START + for_s)
    left = 50 + 2.0 * for_s - other.passed
    most = 2 * MOST_REFUSED if by_chance and per_s > 1 else MOST_REFUSED
    assert lane.tally.refused - refused <= most * (lane.tally.requests - requests)
    assert lane.tally.passed(START, START + for_s) >= left / BOUND
    assert other.passed >= 0.9 * per_s * for_s


@pytest.mark.parametrize("halved_after_s", [0, 10, 40])
async def test_a_rate_that_is_halved_is_found(halved_after_s: float):
    """Of 10,000 payments two requests are refused at most, and it takes 1.15 of what the new rate allows."""
    clock, portal, lane = a_run(PAYMENTS, limit_s=NO_BUDGET)

    async def halve() -> None:
        portal.rate = 1.0

    clock.at(START + halved_after_s, halve)
    await clock.run(START + 1000, goes_on=lambda: not lane.done())
    assert lane.tally.refused <= 2
    assert clock.now - START <= BOUND * (halved_after_s + (REQUESTS - 50 - 2.0 * halved_after_s) / 1.0)


async def test_a_rate_that_comes_back_is_found():
    """Five minutes after the other half is free again, the whole rate is used."""
    clock, portal, lane = a_run(limit_s=NO_BUDGET, rate=1.0)
    await clock.run(START + 1000)
    portal.rate = 2.0
    await clock.run(START + 1600)
    assert lane.tally.passed(START + 1300, START + 1600) >= 0.97 * 2.0 * 300


@pytest.mark.parametrize("pay_s", [0.03, 0.4, 1.2])
@pytest.mark.parametrize("skew_s", [-25.0, 0.0, 30.0])
async def test_the_execution_budget_is_used_and_never_overrun(pay_s: float, skew_s: float):
    """Three windows of ten minutes: 95 % of the budget, no OPERATION_TIME_LIMIT, no request over 20 s."""
    clock, portal, lane = a_run(pay_s=pay_s, skew_s=skew_s)
    await clock.run(START + 1800)
    assert lane.tally.spent_s >= 0.95 * 3 * portal.limit_s
    assert lane.tally.stopped == 0
    assert lane.tally.refused == 0
    assert max(lane.tally.took_s) <= 20


async def test_the_execution_budget_is_used_in_the_long_run():
    """What counts as spent in flight, and longer than the portal counts it, costs less than a twentieth."""
    clock, portal, lane = a_run(pay_s=0.4)
    await clock.run(START + 4 * 600)
    before_s = lane.tally.spent_s
    await clock.run(START + 10 * 600)
    assert lane.tally.spent_s - before_s >= 0.965 * 6 * portal.limit_s
    assert lane.tally.stopped == 0


async def test_after_its_first_window_a_budget_is_spent_evenly():
    """No minute without payments and none with twice its share: what one window held back the next one spreads."""
    clock, _, lane = a_run(pay_s=0.4)
    spent = []
    for minute in range(11, 31):
        await clock.run(START + 60 * minute)
        spent.append(lane.tally.spent_s)
    minutes = [after - before for before, after in pairwise(spent)]
    assert min(minutes) >= 5
    assert max(minutes) <= 96


async def test_a_portal_with_a_smaller_budget_stops_us_twice_at_most():
    """The source says 420 s, the documentation 480: it is learnt from the first stop."""
    clock, portal, lane = a_run(pay_s=0.4, limit_s=420.0)
    await clock.run(START + 1800)
    assert lane.tally.stopped <= 2
    assert lane.tally.spent_s >= 0.95 * 3 * portal.limit_s


async def test_a_budget_that_others_use_too_is_shared():
    """Webhooks of one portal share the account in batches: what they spend is heard and left to them."""
    clock, portal, lane = a_run(pay_s=0.4)

    async def others_spend() -> None:
        hit = Hit()
        hit.add(KEY, portal.now(), 2.0)
        portal.operating.write(hit, portal.now())
        clock.at(clock.now + 5, others_spend)

    clock.at(START, others_spend)
    await clock.run(START + 1800)
    assert lane.tally.stopped <= 6
    assert lane.tally.spent_s >= 0.95 * 3 * (portal.limit_s - 240)


@pytest.mark.parametrize("tells", [True, False])
@pytest.mark.parametrize(("base_s", "pay_s"), [(0.05, 1.2), (3.0, 0.4), (6.0, 0.03), (0.05, 10.0)])
async def test_a_slow_portal_is_never_asked_for_long(base_s: float, pay_s: float, tells: bool):
    """Whatever is slow about it: first contact is small, and no later request takes over 20 s."""
    clock, _, lane = a_run(200, base_s=base_s, pay_s=pay_s, limit_s=NO_BUDGET, tells=tells)
    await clock.run(START + 4000, goes_on=lambda: not lane.done())
    assert lane.tally.paid == 200
    assert lane.tally.sizes[0] == 3
    assert max(lane.tally.took_s[1:]) <= 20
