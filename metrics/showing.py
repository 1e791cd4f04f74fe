"""A standing as Prometheus reads it."""

from collections import Counter as Tally
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from ledger.payment import State
from ledger.redis.overview import LanesOverview
from limiter.limiter import Pace
from metrics.codes import as_label
from metrics.standing import Standing
from metrics.table import BY_NAME, Kind

Sample = tuple[tuple[str, ...], float]  # values of the labels, and the figure


def shown(standing: Standing | None) -> bytes:
    """The standing in Prometheus' text format; None: Redis did not tell."""
    registry = CollectorRegistry()
    registry.register(_Ready(list(_families(standing))))
    return generate_latest(registry)


class _Ready(Collector):
    """What has been collected already."""

    def __init__(self, families: Sequence[Family]) -> None:
        self._families = families

    def collect(self) -> Iterable[Family]:
        """All of it."""
        return self._families


def _families(standing: Standing | None) -> Iterator[Family]:
    yield _one("b24pay_redis_up", float(standing is not None))
    if standing is None:
        return
    yield _one("b24pay_look_seconds", standing.took_s)
    yield _one("b24pay_lanes", standing.lanes.lanes)
    held: Tally[str] = Tally()
    for code, lanes in standing.lanes.held.items():
        held[as_label(code)] += lanes
    yield _family("b24pay_lanes_held", [((code,), lanes) for code, lanes in held.items()])
    yield from _of_lanes(standing.lanes)
    yield from _of_paces(standing)
    yield _one("b24pay_results_undelivered", standing.owed.results)
    yield _one("b24pay_results_undelivered_oldest_seconds", standing.owed.oldest_s)
    yield _one("b24pay_callbacks_pending", standing.owed.callbacks)
    yield _one("b24pay_callbacks_pending_oldest_seconds", standing.owed.callbacks_oldest_s)
    yield _one("b24pay_callbacks_failed", standing.owed.callbacks_failed)
    yield _one("b24pay_messages_parked", standing.parked)
    yield _one("b24pay_messages_parked_total", standing.parkings)
    workers = [((condition.value,), float(workers)) for condition, workers in standing.workers.items()]
    yield _family("b24pay_workers", workers)
    yield from _of_servers(standing)


def _of_lanes(overview: LanesOverview) -> Iterator[Family]:
    lanes = [*overview.first, overview.rest]
    counts = [((lane.portal, state.value), float(lane.counts[state])) for lane in lanes for state in State]
    yield _family("b24pay_payments", counts)
    yield _family("b24pay_waiting_oldest_seconds", [((lane.portal,), lane.waiting_s) for lane in lanes])
    yield _family("b24pay_in_doubt_oldest_seconds", [((lane.portal,), lane.in_doubt_s) for lane in lanes])


def _of_paces(standing: Standing) -> Iterator[Family]:
    paces = standing.paces.items()
    yield _family("b24pay_bucket_level_requests", [((key,), pace.level) for key, pace in paces])
    yield _family("b24pay_bucket_burst_requests", [((key,), pace.burst) for key, pace in paces])
    yield _family("b24pay_bucket_rate_requests_per_second", [((key,), pace.rate) for key, pace in paces])
    yield _family("b24pay_pause_seconds", [((key,), pace.pause_s) for key, pace in paces])
    told = [(key, used_s, pace) for key, pace in paces if (used_s := pace.execution_used_s) is not None]
    yield _family("b24pay_execution_used_seconds", [((key,), used_s) for key, used_s, _ in told])
    yield _family("b24pay_execution_left_seconds", [((key,), _left_s(used_s, pace)) for key, used_s, pace in told])


def _left_s(used_s: float, pace: Pace) -> float:
    return max(0.0, pace.execution_limit_s - used_s)


def _of_servers(standing: Standing) -> Iterator[Family]:
    if messages := standing.messages:
        yield _one("b24pay_messages_waiting", messages.waiting)
        yield _one("b24pay_messages_unacknowledged", messages.unacknowledged)
    if server := standing.server:
        yield _one("b24pay_redis_memory_used_bytes", server.memory_used)
        yield _one("b24pay_redis_memory_max_bytes", server.memory_max)
        yield _one("b24pay_redis_writes_failing", float(server.writes_failing))


def _one(name: str, value: float) -> Family:
    return _family(name, [((), value)])


def _family(name: str, samples: Iterable[Sample]) -> Family:
    row = BY_NAME[name]
    made = CounterMetricFamily if row.kind is Kind.COUNTER else GaugeMetricFamily
    family = made(row.name, row.help, labels=row.labels)
    for labels, value in samples:
        family.add_metric(labels, value)
    return family
