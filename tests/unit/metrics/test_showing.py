"""A look at the ledger as Prometheus reads it."""

from prometheus_client.parser import text_string_to_metric_families

from ledger.payment import State
from ledger.redis.overview import LaneOverview, LanesOverview, Owed
from limiter.limiter import Pace
from metrics.life import Condition
from metrics.showing import shown
from metrics.standing import Messages, Server, Standing
from metrics.table import BY_NAME, TABLE, Source

PACE = Pace(
    rate=2.0,
    burst=50.0,
    level=12.0,
    pause_s=3.0,
    command_s=0.1,
    base_s=0.2,
    execution_used_s=100.0,
    execution_limit_s=480.0,
)


def a_lane(portal: str, **counts: int) -> LaneOverview:
    """A lane with so many payments in these states."""
    return LaneOverview(portal, {state: counts.get(state.value, 0) for state in State}, 7.0, 9.0)


def a_standing(**changes: object) -> Standing:
    """One portal with something of everything."""
    plain: dict[str, object] = {
        "took_s": 0.01,
        "lanes": LanesOverview(
            lanes=3, first=[a_lane("acme", queued=5, paid=2)], rest=a_lane("other", queued=1), held={"OPERATOR": 1}
        ),
        "paces": {"acme": PACE},
        "owed": Owed(results=4, oldest_s=30.0, callbacks=2, callbacks_oldest_s=60.0, callbacks_failed=1),
        "parked": 1,
        "parkings": 6,
        "workers": {Condition.CONSUMING: 2, Condition.HINDERED: 0, Condition.SILENT: 1},
        "messages": Messages(waiting=8, unacknowledged=2),
        "server": Server(memory_used=1000, memory_max=0, writes_failing=False),
    }
    return Standing(**(plain | changes))  # type: ignore[arg-type]  # the tests name real fields


def samples(standing: Standing | None) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every figure by name and labels."""
    families = text_string_to_metric_families(shown(standing).decode())
    return {(each.name, frozenset(each.labels.items())): each.value for family in families for each in family.samples}


def figure(standing: Standing | None, name: str, **labels: str) -> float:
    """One figure."""
    return samples(standing)[name, frozenset(labels.items())]


def test_everything_of_the_table_is_shown():
    """With something of everything, no metric of a web process is missing, and no other is there."""
    names = {name for name, _ in samples(a_standing())}
    assert names == {row.name for row in TABLE if row.source is Source.WEB}


def test_lanes_and_their_rest_are_told():
    """Counts by state, ages, and what is left of the execution time."""
    standing = a_standing()
    assert figure(standing, "b24pay_payments", portal="acme", state="queued") == 5
    assert figure(standing, "b24pay_payments", portal="other", state="queued") == 1
    assert figure(standing, "b24pay_waiting_oldest_seconds", portal="acme") == 7
    assert figure(standing, "b24pay_execution_left_seconds", portal="acme") == 380
    assert figure(standing, "b24pay_bucket_level_requests", portal="acme") == 12
    assert figure(standing, "b24pay_workers", condition="silent") == 1


def test_lanes_held_for_unknown_codes_are_counted_together():
    """A portal's own words make no series."""
    held = {"OPERATOR": 2, "SOMETHING": 1, "STRANGE": 3}
    standing = a_standing(lanes=LanesOverview(lanes=6, first=[], rest=a_lane("other"), held=held))
    assert figure(standing, "b24pay_lanes_held", code="other") == 4
    assert figure(standing, "b24pay_lanes_held", code="OPERATOR") == 2


def test_what_cannot_be_had_is_missing_and_not_nought():
    """A broker that is no Redis, a server that does not tell, a portal that does not count."""
    standing = a_standing(messages=None, server=None, paces={})
    names = {name for name, _ in samples(standing)}
    assert not names & {"b24pay_messages_waiting", "b24pay_redis_memory_used_bytes", "b24pay_execution_used_seconds"}
    assert "b24pay_payments" in names


def test_without_redis_only_that_is_told():
    """Figures of yesterday would look like figures of now."""
    assert samples(None) == {("b24pay_redis_up", frozenset()): 0.0}


def test_the_library_reads_types_texts_and_whatever_stands_in_a_label():
    """Kind and help of the table, a counter under its whole name, and a value with signs that have to be escaped."""
    strange = 'a"b\\c\nd\\ne'
    lanes = LanesOverview(lanes=1, first=[a_lane(strange, queued=5)], rest=a_lane("other"), held={})
    standing = a_standing(lanes=lanes)
    assert figure(standing, "b24pay_payments", portal=strange, state="queued") == 5
    for family in filter(lambda each: each.samples, text_string_to_metric_families(shown(standing).decode())):
        row = BY_NAME[family.samples[0].name]
        assert (family.type, family.documentation) == (row.kind, row.help)
