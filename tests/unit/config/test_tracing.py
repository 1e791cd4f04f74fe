"""Tracing: what travels, and that nothing happens where nobody asked for it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint

import pytest
from opentelemetry.sdk.trace import TracerProvider

from config import tracing
from config.tracing import carried, configure_tracing, use_tracer_of

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def traced() -> Iterator[None]:
    """This process traces."""
    use_tracer_of(TracerProvider())
    yield
    use_tracer_of(None)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (TRACE, TRACE),
        (f"cc-{TRACE[3:]}-more", f"cc-{TRACE[3:]}"),  # a later version may say more behind
        (TRACE[:-2] + "00", None),  # nobody records it
        (f"ff-{TRACE[3:]}", None),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", None),
        (f"00-4bf92f3577b34da6a3ce929d0e0e4736-{'0' * 16}-01", None),
        (TRACE.upper(), None),
        ("https://acme.bitrix24.com/rest/1/CODE/", None),
        (TRACE + "\n", None),
        (7, None),
        (None, None),
    ],
)
def test_only_a_recorded_traceparent_travels(traced: None, given: object, kept: str | None) -> None:
    """Whatever else a header says, it is not kept."""
    assert carried({"traceparent": given, "baggage": "user=secret", "tracestate": "vendor=secret"}) == kept


def test_nothing_is_carried_where_nothing_is_traced() -> None:
    """Rows of a house that does not trace do not grow."""
    assert carried({"traceparent": TRACE}) is None


def test_nobody_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the variable, or with `none`, or where the SDK is disabled, nothing is set up."""
    for environ in (
        {},
        {"OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_TRACES_EXPORTER": "console", "OTEL_SDK_DISABLED": "true"},
    ):
        for name in ("OTEL_TRACES_EXPORTER", "OTEL_SDK_DISABLED"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        assert configure_tracing("b24pay-test") is None
        assert not tracing.is_traced()


def test_an_exporter_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Payments go on without it."""
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "nowhere")
    told = configure_tracing("b24pay-test")
    assert told is not None
    assert "'nowhere'" in told
    assert not tracing.is_traced()


def test_without_being_asked_for_nothing_is_set_up_and_nothing_is_needed() -> None:
    """Where the extra is not installed everything can be imported, and where it is, no tracing SDK is loaded."""
    script = (
        "import sys; {} import tasks, tasks.messages, worker.driver, worker.admission, config.tracing as t;"
        "print(t.configure_tracing('x'), t.is_traced(), bool(sys.modules.get('opentelemetry.sdk.trace')))"
    )
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    for missing in ("", "sys.modules['opentelemetry'] = None;"):
        command = [sys.executable, "-c", script.format(missing)]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
        assert done.stdout == "None False False\n"


@pytest.mark.parametrize(
    ("protocol", "installed", "wanted"),
    [
        (None, ("otlp_proto_http",), "otlp_proto_http"),
        (None, ("otlp", "otlp_proto_grpc", "otlp_proto_http"), "otlp"),
        ("http/protobuf", ("otlp", "otlp_proto_grpc", "otlp_proto_http"), "otlp_proto_http"),
        ("grpc", ("otlp_proto_grpc", "otlp_proto_http"), "otlp_proto_grpc"),
        ("grpc", ("otlp_proto_http",), None),
    ],
)
def test_otlp_is_the_exporter_of_the_protocol_or_the_one_that_is_there(
    protocol: str | None, installed: tuple[str, ...], wanted: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The packages for HTTP and gRPC name theirs differently, and `otlp` is what everybody writes."""

    def found(*, group: str, name: str) -> list[EntryPoint]:
        return [EntryPoint(name, f"tests.unit.config.test_tracing:{name}", group)] if name in installed else []

    monkeypatch.setattr(EntryPoint, "load", lambda self: self.name)
    monkeypatch.setattr(tracing, "entry_points", found)
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", raising=False)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol or "")
    if wanted is None:
        with pytest.raises(LookupError, match="otlp"):
            tracing._exporter("otlp")
    else:
        assert tracing._exporter("otlp") == wanted
