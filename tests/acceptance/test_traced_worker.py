"""A worker process that was asked to trace: its exporter gets the spans of a stock Celery producer's trace."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.eventually import eventually_sync
from tests.house import ROOT, House, a_house

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
EXPORTER = """
import json, os
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

class ToFile(SpanExporter):
    def export(self, spans):
        with open(os.environ["SPAN_FILE"], "a") as out:
            out.writelines(json.dumps(json.loads(span.to_json())) + "\\n" for span in spans)
        return SpanExportResult.SUCCESS
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One worker, with an exporter of its own installed beside ours."""
    plugins = tmp_path_factory.mktemp("plugins")
    (plugins / "to_file.py").write_text(EXPORTER)
    about = plugins / "to_file-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: to-file\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[opentelemetry_traces_exporter]\nfile = to_file:ToFile\n")
    with a_house() as house:
        house.start_worker(
            PYTHONPATH=f"{plugins}:{ROOT}",
            OTEL_TRACES_EXPORTER="file",
            OTEL_BSP_SCHEDULE_DELAY="100",
            SPAN_FILE=str(spans_of(house)),
        )
        yield house


def spans_of(house: House) -> Path:
    """Where the exporter writes; the house searches it for secrets in the end."""
    return house.directory / "spans.jsonl"


def read_spans(house: House) -> list[dict[str, Any]]:
    """What was exported so far."""
    path = spans_of(house)
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_messages_trace_goes_on_in_the_worker(house: House) -> None:
    """Admitted, paid, called and settled under the trace that the message brought; baggage goes nowhere."""
    portal = house.add_portal()
    celery = house.celery()
    headers = {
        "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01",
        "baggage": "customer=somebody",
        "tracestate": "v=somebody",
    }
    kwargs = {"portal": portal.key, "invoice_id": 2, "pay_system_id": 1}
    sent = celery.send_task("tasks.pay_invoice", kwargs=kwargs, queue="payments", headers=headers)
    assert sent.get(timeout=60)["status"] == "paid"
    names = ["POST", "admit payments", "pay payments", "settle payments"]
    eventually_sync(lambda: sorted(span["name"] for span in read_spans(house)) == names)
    spans = read_spans(house)
    assert {span["context"]["trace_id"].removeprefix("0x") for span in spans} == {TRACE}
    assert {span["resource"]["attributes"]["service.name"] for span in spans} == {"b24pay-worker"}
    assert "somebody" not in json.dumps(spans)
    untraced = {**kwargs, "invoice_id": 3}
    assert celery.send_task("tasks.pay_invoice", kwargs=untraced, queue="payments").get(timeout=60)["status"] == "paid"
    assert len(read_spans(house)) == len(names)
