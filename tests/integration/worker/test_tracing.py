"""One trace from the producer over ledger, driver and the portal's call to the end, by the in-memory exporter."""

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from config.settings import Settings
from config.tracing import use_tracer_of
from ledger.payment import State
from tasks import enqueue, enqueue_many, producer
from tests.canaries import SEARCH, WEBHOOK_CODE
from tests.conformance.ledger.world import PORTAL, an_ask
from tests.eventually import eventually
from tests.integration.worker.test_driver import REST, Shop, a_shop
from worker.admission import Admission, Request
from worker.driver import drive
from worker.tracing import with_context

TRACES = [f"00-{n:032x}-{n:016x}-01" for n in range(1, 4)]


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    """Whatever this process traces."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    use_tracer_of(provider)
    yield exporter
    use_tracer_of(None)


@pytest.fixture
async def shop(redis_url: str, a_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch) -> Any:
    """A shop, and a producer's environment."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    producer._ledger.cache_clear()  # another test's server
    quick = {"B24PAY_HTTP_TOTAL_S": "2", "B24PAY_PORTAL_CUT_S": "0.5", "B24PAY_LEASE_S": "6"}
    async with a_shop(a_settings(REDIS_URL=redis_url, **quick), redis_url) as shop:
        yield shop
    producer._ledger.cache_clear()


def named(exporter: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    """The spans of this name, in the order of their ends."""
    return [span for span in exporter.get_finished_spans() if span.name == name]


def links_of(span: ReadableSpan) -> set[str]:
    """The spans that it links to."""
    return {f"{link.context.span_id:016x}" for link in span.links}


def trace_of(span: ReadableSpan) -> str:
    """Which trace it belongs to."""
    assert span.context is not None
    return f"{span.context.trace_id:032x}"


def id_of(span: ReadableSpan) -> str:
    """Its name in its trace."""
    assert span.context is not None
    return f"{span.context.span_id:016x}"


async def test_a_payment_that_travels_alone_is_one_trace(shop: Shop, exporter: InMemorySpanExporter) -> None:
    """Enqueued, paid by one call and settled: four spans, each below the one that caused it."""
    await asyncio.to_thread(enqueue, portal=PORTAL, invoice_id=1, pay_system_id=REST)
    await drive(await shop.take(), shop.deps)
    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert list(spans) == ["enqueue payments", "POST", "pay payments", "settle payments"]
    assert len({trace_of(span) for span in spans.values()}) == 1
    parents = {name: f"{span.parent.span_id:016x}" if span.parent else None for name, span in spans.items()}
    root = id_of(spans["enqueue payments"])
    assert parents == {
        "enqueue payments": None,
        "pay payments": root,
        "POST": id_of(spans["pay payments"]),
        "settle payments": root,
    }
    assert [spans[name].kind.name for name in spans] == ["PRODUCER", "CLIENT", "CONSUMER", "CLIENT"]
    told = spans["settle payments"].attributes or {}
    assert (told["b24pay.payment.state"], told["messaging.operation.type"]) == ("paid", "settle")
    assert id_of(spans["pay payments"]) in links_of(spans["settle payments"])


async def test_a_request_links_to_every_payment_it_carries(shop: Shop, exporter: InMemorySpanExporter) -> None:
    """Three messages of three traces are admitted each in its own, paid by one request, and end each in its own."""
    admission = Admission(shop.deps.ledger, shop.deps.results, asyncio.get_running_loop())
    running = asyncio.create_task(admission.run())
    acked: list[int] = []
    admission.admit(
        [
            Request(ask.id, with_context(ask, {"traceparent": context}), lambda n=n: acked.append(n))  # type: ignore[misc]
            for n, context in enumerate(TRACES, start=1)
            for ask in [an_ask(f"h{n}", invoice_id=n, pay_system_id=REST)]
        ]
    )
    await eventually(lambda: len(acked) == len(TRACES))
    running.cancel()
    await drive(await shop.take(), shop.deps)
    theirs = {context.split("-")[1] for context in TRACES}
    [pay] = named(exporter, "pay payments")
    assert pay.parent is None
    assert links_of(pay) == {context.split("-")[2] for context in TRACES}
    assert (pay.attributes or {})["messaging.batch.message_count"] == len(TRACES)
    assert {trace_of(span) for span in named(exporter, "admit payments")} == theirs
    ends = named(exporter, "settle payments")
    assert {trace_of(span) for span in ends} == theirs
    assert all(id_of(pay) in links_of(span) for span in ends)


async def test_a_doubt_stays_in_its_trace_until_it_is_read_back(shop: Shop, exporter: InMemorySpanExporter) -> None:
    """The call has failed with a code; the read-back that decides is seen as well, in the same trace."""
    shop.fault(kind="reset", place="after", count=1)
    await shop.deps.ledger.open([an_ask("h1", pay_system_id=REST, traceparent=TRACES[0])])

    async def is_paid() -> bool:
        leases, _ = await shop.deps.ledger.take("test", 1)
        for lease in leases:
            await drive(await shop.lane(lease, shop.deps.clock() + shop.deps.lease_s), shop.deps)
        return (await shop.payment()).state is State.PAID

    await eventually(is_paid)
    names = [span.name for span in exporter.get_finished_spans()]
    assert names == ["POST", "pay payments", "settle payments", "POST", "read back payments", "settle payments"]
    assert {trace_of(span) for span in exporter.get_finished_spans()} == {TRACES[0].split("-")[1]}
    call = exporter.get_finished_spans()[0]
    assert (call.attributes or {})["error.type"]
    assert call.status.status_code is trace.StatusCode.ERROR
    assert (call.status.description, list(call.events)) == (None, [])


async def test_what_nobody_traces_leaves_no_span(shop: Shop, exporter: InMemorySpanExporter) -> None:
    """A worker that traces makes none for payments that come without a context."""
    await shop.accept(3)
    await drive(await shop.take(), shop.deps)
    assert exporter.get_finished_spans() == ()


async def test_no_attribute_shows_a_secret(shop: Shop, exporter: InMemorySpanExporter) -> None:
    """Paid, refused, in doubt and out of reach: neither the webhook's code nor any text of the portal is told."""
    shop.fault(kind="reset", place="after", count=1)
    asks = [
        {"portal": PORTAL, "invoice_id": n, "pay_system_id": system} for n, system in ((1, REST), (2, 99), (3, REST))
    ]
    await asyncio.to_thread(enqueue_many, asks)
    await drive(await shop.take(), shop.deps)
    told = json.dumps([json.loads(span.to_json()) for span in exporter.get_finished_spans()])
    assert "enqueue payments" in told
    SEARCH.text("spans", told)
    for secret in (WEBHOOK_CODE, "/rest/", "not found"):
        assert secret not in told
