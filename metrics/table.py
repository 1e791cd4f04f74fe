"""Every metric there is: the only place where one gets its name, its labels and its meaning.

No label names a payment or an invoice, and what a label can say is bounded: by an enumeration, by `metrics.codes`, or
by `TOP_LANES`. docs/metrics.md shows this table to people; a test compares them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

# Lanes with series of their own, those with the most to do; all others together are `portal="other"`.
TOP_LANES: Final = 20
OTHER: Final = "other"


class Kind(StrEnum):
    """What Prometheus calls a metric's type."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Source(StrEnum):
    """Which kind of process shows it."""

    WORKER = "worker"  # what this process has done since it started
    WEB = "web"  # what Redis says now; every web process says the same


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric. `buckets` are the upper bounds of a histogram."""

    name: str
    kind: Kind
    source: Source
    unit: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


def _counted(name: str, unit: str, about: str, *labels: str) -> Metric:
    return Metric(name=name, kind=Kind.COUNTER, source=Source.WORKER, unit=unit, help=about, labels=labels)


def _spread(name: str, unit: str, about: str, buckets: tuple[float, ...], *labels: str) -> Metric:
    return Metric(
        name=name, kind=Kind.HISTOGRAM, source=Source.WORKER, unit=unit, help=about, labels=labels, buckets=buckets
    )


def _now(name: str, unit: str, about: str, *labels: str, source: Source = Source.WORKER) -> Metric:
    return Metric(name=name, kind=Kind.GAUGE, source=source, unit=unit, help=about, labels=labels)


def _seen(name: str, unit: str, about: str, *labels: str, kind: Kind = Kind.GAUGE) -> Metric:
    return Metric(name=name, kind=kind, source=Source.WEB, unit=unit, help=about, labels=labels)


_OF_WORKERS: Final = (
    _counted("b24pay_payments_ended_total", "payments", "Payments that ended here.", "state", "code"),
    _counted("b24pay_attempts_total", "attempts", "Claimed payments that left with a request, or may have left."),
    _counted("b24pay_claims_requeued_total", "payments", "Claimed payments that went back to the queue."),
    _counted("b24pay_doubts_opened_total", "payments", "Payments that became in doubt.", "cause"),
    _counted("b24pay_read_backs_total", "payments", "Payments in doubt that were read at their portal.", "outcome"),
    _counted("b24pay_requests_total", "requests", "Requests to portals, by how they ended.", "kind", "outcome"),
    _spread(
        "b24pay_request_duration_seconds",
        "seconds",
        "From a request's first byte to its end.",
        (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0),
        "kind",
    ),
    _spread("b24pay_batch_payments", "payments", "Payments in one request.", (1, 2, 5, 10, 20, 30, 40, 49)),
    _counted("b24pay_lane_effects_total", "effects", "What answers did to their lanes, beside paying.", "effect"),
    _counted("b24pay_permits_total", "requests", "Requests that the limiter granted."),
    _counted("b24pay_permit_wait_seconds_total", "seconds", "How long lanes waited, or were told to, for a permit."),
    _counted("b24pay_token_renewals_total", "renewals", "Applications' tokens that were to be renewed.", "outcome"),
    _counted("b24pay_lanes_taken_total", "lanes", "Lanes that this process took to drive."),
    _counted("b24pay_lease_losses_total", "lanes", "Lanes that were lost while they were driven."),
    _counted("b24pay_deliveries_total", "results", "Results that were put into the result backend.", "outcome"),
    _now("b24pay_lanes_driven", "lanes", "Lanes that this process drives now."),
    _now("b24pay_requests_in_flight", "requests", "Requests that are under way now."),
    _spread(
        "b24pay_loop_lateness_seconds",
        "seconds",
        "How much later than asked for the payments' loop comes back, 20 times a second.",
        (0.001, 0.005, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0),
    ),
    _now("b24pay_loop_age_seconds", "seconds", "How long ago a loop turned, or Redis took a sign of life.", "loop"),
)
_OF_THE_LEDGER: Final = (
    _seen("b24pay_redis_up", "bool", "Whether Redis answered this look; without it nothing below is shown."),
    _seen("b24pay_look_seconds", "seconds", "How long this look took."),
    _seen("b24pay_lanes", "lanes", "Portals that are known."),
    _seen("b24pay_lanes_held", "lanes", "Lanes that wait for a person, or a probe.", "code"),
    _seen(
        "b24pay_payments",
        "payments",
        "Payments by state, finished ones as long as they are remembered.",
        "portal",
        "state",
    ),
    _seen("b24pay_waiting_oldest_seconds", "seconds", "Age of the oldest queued payment, 0 without one.", "portal"),
    _seen(
        "b24pay_in_doubt_oldest_seconds", "seconds", "Since when the oldest doubt was sent, 0 without one.", "portal"
    ),
    _seen("b24pay_bucket_level_requests", "requests", "What the portal's request bucket holds now.", "portal"),
    _seen("b24pay_bucket_burst_requests", "requests", "What it is believed to hold at most.", "portal"),
    _seen("b24pay_bucket_rate_requests_per_second", "requests/s", "How fast it is believed to drain.", "portal"),
    _seen("b24pay_pause_seconds", "seconds", "For how long the portal is asked nothing.", "portal"),
    _seen(
        "b24pay_execution_used_seconds", "seconds", "Execution time used in the window, in flight included.", "portal"
    ),
    _seen("b24pay_execution_left_seconds", "seconds", "Execution time that is left in the window.", "portal"),
    _seen("b24pay_messages_waiting", "messages", "Messages in the queue, not fetched (Redis brokers only)."),
    _seen(
        "b24pay_messages_unacknowledged", "messages", "Messages fetched and not in the ledger yet (Redis brokers only)."
    ),
    _seen("b24pay_results_undelivered", "results", "Results that their result backend has not taken yet."),
    _seen("b24pay_results_undelivered_oldest_seconds", "seconds", "Age of the oldest of them, 0 without one."),
    _seen("b24pay_callbacks_pending", "callbacks", "Ends that their receivers have not been told yet."),
    _seen("b24pay_callbacks_pending_oldest_seconds", "seconds", "Age of the oldest of them, 0 without one."),
    _seen("b24pay_callbacks_failed", "callbacks", "Callbacks that were given up, as long as they are remembered."),
    _seen("b24pay_messages_parked", "messages", "Unusable messages that are kept for a person."),
    _seen("b24pay_messages_parked_total", "messages", "Unusable messages ever.", kind=Kind.COUNTER),
    _seen("b24pay_workers", "workers", "Workers by what their signs of life say.", "condition"),
    _seen("b24pay_redis_memory_used_bytes", "bytes", "Memory that Redis uses."),
    _seen("b24pay_redis_memory_max_bytes", "bytes", "Memory that Redis may use, 0 without a limit."),
    _seen("b24pay_redis_writes_failing", "bool", "Whether Redis could not write its append-only file last time."),
)

TABLE: Final = (*_OF_WORKERS, *_OF_THE_LEDGER)
BY_NAME: Final[Mapping[str, Metric]] = {metric.name: metric for metric in TABLE}
