"""Traces by OpenTelemetry, where it is installed and asked for (docs/tracing.md); everywhere else one `if`.

What travels with a payment is the W3C `traceparent` alone, and only where the trace is recorded. Baggage and tracestate
are texts of whoever sent them, so they are dropped.
"""

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import Any, Final

# 00-<trace>-<span>-<flags>; a later version may have more behind it. Neither id is all zeros.
_TRACEPARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(-.*)?"
)
_LONGEST: Final = 55
_RECORDED: Final = 1
_NAME: Final = "b24pay"
_OTLP: Final = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}

_tracer: Any = None  # OpenTelemetry's; None where this process traces nothing

Attributes = Mapping[str, str | int | float | bool]


def use_tracer_of(provider: Any) -> None:
    """Trace with this provider of OpenTelemetry's; None ends it."""
    global _tracer  # noqa: PLW0603 - one per process, as OpenTelemetry's own
    _tracer = provider.get_tracer(_NAME) if provider is not None else None


def configure_tracing(service: str) -> str | None:
    """Trace from now on if this process was asked to; what kept it from that, where it was asked in vain.

    Asked means OTEL_TRACES_EXPORTER, or that `opentelemetry-instrument` has set up the process. `service` is the name
    where OTEL_SERVICE_NAME gives none.
    """
    wanted = [name.strip() for name in os.environ.get("OTEL_TRACES_EXPORTER", "").split(",")]
    wanted = [name for name in wanted if name not in ("", "none")]
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or not (wanted or _is_set_up()):
        return None
    try:
        use_tracer_of(_set_up_one() if _is_set_up() else _a_provider(wanted, service))
    except Exception as error:  # noqa: BLE001 - exporters are plug-ins; a worker pays without a trace as well
        return f"{type(error).__name__}: {error}"
    return None


def is_traced() -> bool:
    """Whether this process traces."""
    return _tracer is not None


def trace_as_its_application_does() -> None:
    """For a producer's process, which is not ours to set up: trace if it has loaded OpenTelemetry itself."""
    api = sys.modules.get("opentelemetry.trace")
    if _tracer is None and api is not None:
        use_tracer_of(api.get_tracer_provider())


def carried(headers: Mapping[str, object]) -> str | None:
    """The context that headers carry, None where this process traces nothing or theirs is not recorded."""
    if _tracer is None:
        return None
    given = headers.get("traceparent")
    found = _TRACEPARENT.fullmatch(given) if isinstance(given, str) else None
    if found is None or not int(found["flags"], 16) & _RECORDED or not isinstance(given, str):
        return None
    return given[:_LONGEST]


@contextmanager
def span(
    name: str,
    kind: str,
    attributes: Attributes,
    *,
    parent: str | None = None,
    links: Sequence[str] = (),
    alone: bool = False,
) -> Iterator[Any]:
    """A span around what is done inside, for a process that traces.

    `kind` is OpenTelemetry's (`PRODUCER`, `CONSUMER`, `CLIENT`), `parent` and `links` are contexts as they travel.
    Without a parent it belongs to what is under way here, or begins a trace where it stands `alone`.
    Exceptions are not written into it: their texts may be anybody's.
    """
    from opentelemetry import trace

    begun = _begin(name, kind, attributes, parent, links, alone=alone)
    with trace.use_span(begun, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        yield begun


def note_span(
    name: str, kind: str, attributes: Attributes, *, parent: str, links: Sequence[Any] = (), began_ns: int, error: str
) -> None:
    """A span of what has been done already, for a process that traces; `error` is a code, or ''."""
    made = _begin(name, kind, attributes, parent, links, alone=False, began_ns=began_ns)
    if error:
        mark_failed(made, error)
    made.end()


def mark_failed(marked: Any, code: str) -> None:
    """What a span is about has failed; a code is told, never a text."""
    from opentelemetry.trace import Status, StatusCode

    marked.set_attribute("error.type", code)
    marked.set_status(Status(StatusCode.ERROR))


def traceparent_of(made: Any) -> str | None:
    """A span's context as it travels, None where it is not recorded."""
    context = made.get_span_context()
    if not context.is_valid or not context.trace_flags & _RECORDED:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


def _begin(
    name: str,
    kind: str,
    attributes: Attributes,
    parent: str | None,
    links: Sequence[Any],
    *,
    alone: bool,
    began_ns: int | None = None,
) -> Any:
    from opentelemetry import trace
    from opentelemetry.context import Context

    context = Context() if alone or parent else None
    if parent:
        context = trace.set_span_in_context(trace.NonRecordingSpan(_context_of(parent)), context)
    return _tracer.start_span(
        name,
        context=context,
        kind=trace.SpanKind[kind],
        attributes=attributes,
        links=[trace.Link(_context_of(link)) for link in links],
        start_time=began_ns,
    )


def _context_of(traceparent: str) -> Any:
    from opentelemetry.trace import SpanContext, TraceFlags

    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None:
        raise ValueError("not a traceparent")
    flags = TraceFlags(int(found["flags"], 16))
    return SpanContext(int(found["trace"], 16), int(found["span"], 16), is_remote=True, trace_flags=flags)


def _is_set_up() -> bool:
    sdk, api = sys.modules.get("opentelemetry.sdk.trace"), sys.modules.get("opentelemetry.trace")
    return sdk is not None and api is not None and isinstance(api.get_tracer_provider(), sdk.TracerProvider)


def _set_up_one() -> Any:
    from opentelemetry import trace

    return trace.get_tracer_provider()


def _a_provider(exporters: Sequence[str], service: str) -> Any:
    from opentelemetry import trace
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = {} if "OTEL_SERVICE_NAME" in os.environ else {"service.name": service}
    provider = TracerProvider(resource=Resource.create(named))
    for name in exporters:
        provider.add_span_processor(BatchSpanProcessor(_exporter(name)()))
    trace.set_tracer_provider(provider)
    return provider


def _exporter(name: str) -> Any:
    """The exporter of a name. `otlp` is that of the protocol asked for, else of the package that is there."""
    names = [name]
    if name == "otlp":
        protocol = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
        names = [_OTLP[protocol]] if protocol in _OTLP else [name, *_OTLP.values()]
    for each in names:
        for found in entry_points(group="opentelemetry_traces_exporter", name=each):
            return found.load()
    package = "opentelemetry-exporter-otlp-proto-http"
    raise LookupError(f"no exporter {name!r} is installed; for otlp: pip install {package}")
