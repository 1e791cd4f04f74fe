"""The plan of a storm comes from its seed."""

from collections import Counter
from dataclasses import replace

from chaos.plan import Kind, Scale, make_plan

SCALE = Scale(
    payments=500,
    worker_kills=20,
    redis_kills=5,
    power_losses=3,
    zombies=4,
    lost_replies=10,
    workers=3,
    portals=6,
    seed=42,
)
LEASE_S = 4.0


def test_the_same_seed_gives_the_same_plan() -> None:
    """Moments, victims, offsets and producers; another seed gives another one."""
    plan = make_plan(SCALE, lease_s=LEASE_S)
    assert make_plan(SCALE, lease_s=LEASE_S) == plan
    assert make_plan(replace(SCALE, seed=43), lease_s=LEASE_S).strikes != plan.strikes


def test_as_many_faults_are_planned_as_were_asked_for() -> None:
    """Kills are shared between whole groups and children."""
    kinds = Counter(strike.kind for strike in make_plan(SCALE, lease_s=LEASE_S).strikes)
    assert kinds[Kind.WORKER_KILL] + kinds[Kind.CHILD_KILL] == 20
    assert kinds[Kind.CHILD_KILL] == 8
    assert (kinds[Kind.REDIS_KILL], kinds[Kind.POWER_LOSS], kinds[Kind.ZOMBIE]) == (5, 3, 4)
    assert (kinds[Kind.TEAR_REPLY], kinds[Kind.TEAR_REQUEST]) == (5, 5)


def test_every_invoice_is_asked_for_once() -> None:
    """By one producer, in the time of the storm."""
    plan = make_plan(SCALE, lease_s=LEASE_S)
    invoices = [(burst.portal, number) for burst in plan.bursts for number in burst.invoices]
    assert len(invoices) == len(set(invoices)) == 500
    assert all(0 <= burst.at_s <= plan.storm_s and burst.portal < 6 for burst in plan.bursts)


def test_strikes_stand_in_order_within_the_storm() -> None:
    """The last one is not beyond its end."""
    plan = make_plan(SCALE, lease_s=LEASE_S)
    moments = [strike.at_s for strike in plan.strikes]
    assert moments == sorted(moments)
    assert 0 < moments[0] <= moments[-1] <= plan.storm_s


def test_a_stopped_worker_sleeps_past_its_lease() -> None:
    """And a power loss takes a tenth of a second to two."""
    strikes = make_plan(SCALE, lease_s=LEASE_S).strikes
    assert all(strike.lasts_s > LEASE_S for strike in strikes if strike.kind is Kind.ZOMBIE)
    assert all(0.1 <= strike.back_s <= 2.0 for strike in strikes if strike.kind is Kind.POWER_LOSS)


def test_one_more_kill_moves_no_power_loss() -> None:
    """As long as the storm lasts as long: kinds draw from streams of their own."""
    scale = replace(SCALE, payments=5000)
    plans = [make_plan(each, lease_s=LEASE_S) for each in (scale, replace(scale, worker_kills=25))]
    first, second = ([strike for strike in plan.strikes if strike.kind is Kind.POWER_LOSS] for plan in plans)
    assert first == second


def test_a_storm_of_nothing_is_possible() -> None:
    """Payments alone, without one fault."""
    calm = replace(SCALE, worker_kills=0, redis_kills=0, power_losses=0, zombies=0, lost_replies=0)
    plan = make_plan(calm, lease_s=LEASE_S)
    assert (plan.strikes, sum(len(burst.invoices) for burst in plan.bursts)) == ((), 500)
