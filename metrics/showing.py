"""A standing as Prometheus reads it."""

from collections import Counter as Tally
from collections.abc import Iterable, Iterator, Sequence
from functools import cache

from prometheus_client.utils import floatToGoString

from ledger.payment import State
from ledger.redis.overview import LanesOverview
from limiter.limiter import Pace
from metrics.codes import as_label
from metrics.standing import Standing
from metrics.table import BY_NAME

Sample = tuple[tuple[str, ...], float]  # values of the labels, and the figure


def shown(standing: Standing | None) -> bytes:
    """The standing in Prometheus' text format; None: Redis did not tell.

    Written here and not by way of the library's families: a scrape has hundreds of samples, and objects for each of
    them and their labels took four times as long (tests read it back with the library).
    """
    return "".join(_families(standing)).encode()


def _families(standing: Standing | None) -> Iterator[str]:
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


def _of_lanes(overview: LanesOverview) -> Iterator[str]:
    lanes = [*overview.first, overview.rest]
    counts = [((lane.portal, state.value), float(lane.counts[state])) for lane in lanes for state in State]
    yield _family("b24pay_payments", counts)
    yield _family("b24pay_waiting_oldest_seconds", [((lane.portal,), lane.waiting_s) for lane in lanes])
    yield _family("b24pay_in_doubt_oldest_seconds", [((lane.portal,), lane.in_doubt_s) for lane in lanes])


def _of_paces(standing: Standing) -> Iterator[str]:
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


def _of_servers(standing: Standing) -> Iterator[str]:
    if messages := standing.messages:
        yield _one("b24pay_messages_waiting", messages.waiting)
        yield _one("b24pay_messages_unacknowledged", messages.unacknowledged)
    if server := standing.server:
        yield _one("b24pay_redis_memory_used_bytes", server.memory_used)
        yield _one("b24pay_redis_memory_max_bytes", server.memory_max)
        yield _one("b24pay_redis_writes_failing", float(server.writes_failing))


def _one(name: str, value: float) -> str:
    return _family(name, [((), value)])


def _family(name: str, samples: Iterable[Sample]) -> str:
    head, *beside = _form(name)
    lines = [f"{name}{_labels(beside, labels)} {_figure(value)}\n" for labels, value in samples]
    return head + "".join(lines)


@cache
def _form(name: str) -> tuple[str, ...]:
    """What stands above a metric's samples, and what stands before each value of its labels."""
    row = BY_NAME[name]
    return f"# HELP {name} {row.help}\n# TYPE {name} {row.kind}\n", *(f'{label}="' for label in row.labels)


def _figure(value: float) -> str:
    written: str = floatToGoString(value)  # type: ignore[no-untyped-call]  # the library leaves it untyped
    return written


def _labels(beside: Sequence[str], values: Sequence[str]) -> str:
    if not values:
        return ""
    return "{" + ",".join([f'{name}{_escaped(value)}"' for name, value in zip(beside, values, strict=True)]) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
