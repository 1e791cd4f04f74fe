"""Prometheus' objects, made from the table."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.process_collector import ProcessCollector

from metrics.table import BY_NAME


def a_registry() -> CollectorRegistry:
    """A process' registry, with what the system knows about the process (CPU, memory, open files)."""
    # The moment at which a series began is another series for each, and nobody asks for it.
    disable_created_metrics()  # type: ignore[no-untyped-call]  # the library leaves it untyped
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry


def counter(name: str, registry: CollectorRegistry) -> Counter:
    """A counter of the table."""
    row = BY_NAME[name]
    return Counter(row.name, row.help, row.labels, registry=registry)


def gauge(name: str, registry: CollectorRegistry) -> Gauge:
    """A gauge of the table."""
    row = BY_NAME[name]
    return Gauge(row.name, row.help, row.labels, registry=registry)


def histogram(name: str, registry: CollectorRegistry) -> Histogram:
    """A histogram of the table."""
    row = BY_NAME[name]
    return Histogram(row.name, row.help, row.labels, buckets=row.buckets, registry=registry)
