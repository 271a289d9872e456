"""The spans of stages are what the SDK's own `start_span` and `end` would have made, whoever listens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import openai
import pytest
from opentelemetry import baggage, context
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, Tracer, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_ON,
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import TraceState

import otel_embed
from clients import SMALL
from conftest import Telemetry
from fakes.faults import Fault
from fakes.openai_server import OpenAIServer
from otel_embed.report.stage_spans import StageSpans


class Chooses(Sampler):
    """Drops one stage, only records another, and says of each why."""

    def should_sample(self, parent_context: Any, trace_id: int, name: str, *args: Any, **kwargs: Any) -> SamplingResult:
        decisions = {"embeddings.wait": Decision.DROP, "embeddings.receive": Decision.RECORD_ONLY}
        decision = decisions.get(name, Decision.RECORD_AND_SAMPLE)
        return SamplingResult(decision, {"why": name, "rules": ["a", "b"]}, TraceState([("chosen", "yes")]))

    def get_description(self) -> str:
        return "chooses"


class Hears(SpanProcessor):
    """A processor that has something to do when a span begins."""

    def __init__(self) -> None:
        self.begun: list[str] = []

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        self.begun.append(span.name)
        span.set_attribute("heard", True)


class Keeps(SpanProcessor):
    def __init__(self) -> None:
        self.ended: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.ended.append(span)


def told(span: ReadableSpan) -> dict[str, Any]:
    """All that is told of a span but its own id; times from its parent's beginning."""
    found: dict[str, Any] = json.loads(span.to_json())
    parent, context = span.parent, span.get_span_context()
    assert parent is not None and context is not None and span.start_time and span.end_time
    assert context.span_id != parent.span_id
    parts = (dict(span.attributes or {}), span.events, span.links, span.kind, span.status.status_code, span.resource)
    more = (span.instrumentation_scope, span.dropped_attributes, span.dropped_events, span.dropped_links)
    flags, state = context.trace_flags, dict(context.trace_state)
    same_trace = context.trace_id == parent.trace_id
    took = span.end_time - span.start_time
    return {"name": found["name"], "parts": parts, "more": more, "context": (flags, state, same_trace), "took": took}


def stages_of(tracers: TracerProvider, server: OpenAIServer) -> None:
    otel_embed.uninstrument()
    meters = MeterProvider(shutdown_on_exit=False)
    otel_embed.instrument(tracer_provider=tracers, meter_provider=meters, stage_spans="always", token_counting="estimate")
    try:
        with openai.OpenAI(base_url=server.url, api_key="x", max_retries=0) as client:
            client.embeddings.create(model=SMALL, input=["one two"], dimensions=4)
    finally:
        otel_embed.uninstrument()


@pytest.mark.parametrize(
    "sampler", [ALWAYS_ON, ParentBased(ALWAYS_ON), TraceIdRatioBased(1.0), Chooses()], ids=lambda each: type(each).__name__
)
def test_they_are_what_the_sdk_makes(sampler: Sampler, server: OpenAIServer) -> None:
    tracers, keeps = TracerProvider(sampler, shutdown_on_exit=False), Keeps()
    tracers.add_span_processor(keeps)
    stages_of(tracers, server)
    *children, call = keeps.ended
    assert call.parent is None and {child.name for child in children} > {"embeddings.serialize", "embeddings.send"}
    assert ("embeddings.wait" in {child.name for child in children}) != isinstance(sampler, Chooses)

    again, parents = Keeps(), {call.context.span_id: call} if call.context else {}
    theirs = TracerProvider(sampler, resource=tracers.resource, shutdown_on_exit=False)
    theirs.add_span_processor(again)
    scope = call.instrumentation_scope
    assert scope is not None and all(child.parent and child.parent.span_id in parents for child in children)
    tracer = theirs.get_tracer(scope.name, scope.version, scope.schema_url, scope.attributes)
    with tracer.start_as_current_span("embeddings"):
        for child in children:
            tracer.start_span(child.name, start_time=child.start_time).end(child.end_time)
    *expected, _ = again.ended
    assert [told(child) for child in children] == [told(child) for child in expected]
    assert len({child.context.span_id for child in children if child.context}) == len(children)


def test_with_the_sdks_own_processors_they_are_ready_made(server: OpenAIServer) -> None:
    """Else all of this file tests the SDK alone."""
    tracers, exporter = TracerProvider(shutdown_on_exit=False), InMemorySpanExporter()
    tracers.add_span_processor(BatchSpanProcessor(exporter))
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    ready_made = StageSpans(tracers.get_tracer("test"))._ready_made
    assert ready_made is not None and ready_made.is_all()
    tracers.shutdown()


def test_who_hears_of_beginnings_hears_of_each(server: OpenAIServer) -> None:
    tracers, keeps, hears = TracerProvider(shutdown_on_exit=False), Keeps(), Hears()
    tracers.add_span_processor(keeps)
    stages_of(tracers, server)
    tracers.add_span_processor(hears)  # at any time
    before = len(keeps.ended)
    assert not hears.begun
    stages_of(tracers, server)
    ended = keeps.ended[before:]
    assert sorted(hears.begun) == sorted(span.name for span in ended) and len(ended) > 3
    assert all(span.attributes and span.attributes["heard"] for span in ended)


def test_a_processors_own_method_is_heard(server: OpenAIServer) -> None:
    tracers, keeps, begun = TracerProvider(shutdown_on_exit=False), Keeps(), list[str]()
    keeps.on_start = lambda span, parent_context=None: begun.append(span.name)  # type: ignore[method-assign,misc,assignment]
    tracers.add_span_processor(keeps)
    stages_of(tracers, server)
    assert sorted(begun) == sorted(span.name for span in keeps.ended) and len(begun) > 3


def test_a_changed_tracer_is_asked(server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> None:
    tracers, keeps, asked = TracerProvider(shutdown_on_exit=False), Keeps(), list[str]()
    tracers.add_span_processor(keeps)
    start = Tracer.start_span

    def counted(self: Tracer, name: str, *args: Any, **kwargs: Any) -> Any:
        asked.append(name)
        return start(self, name, *args, **kwargs)

    monkeypatch.setattr(Tracer, "start_span", counted)
    stages_of(tracers, server)
    assert sorted(asked) == sorted(span.name for span in keeps.ended) and len(asked) > 3


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemoryMetricReader]:
    monkeypatch.setenv("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", "true")
    yield InMemoryMetricReader()


def test_an_sdk_that_counts_its_spans_counts_these(counting: InMemoryMetricReader, server: OpenAIServer) -> None:
    pytest.importorskip("opentelemetry.sdk.trace._tracer_metrics", reason="an SDK that counts nothing")
    meters = MeterProvider([counting], shutdown_on_exit=False)
    tracers, keeps = TracerProvider(shutdown_on_exit=False, meter_provider=meters), Keeps()
    tracers.add_span_processor(keeps)
    stages_of(tracers, server)
    data = counting.get_metrics_data()
    metrics = {metric.name: metric for metric in data.resource_metrics[0].scope_metrics[0].metrics} if data else {}
    started = sum(point.value for point in metrics["otel.sdk.span.started"].data.data_points)
    assert started == len(keeps.ended) > 3


@pytest.mark.parametrize("raises", ["start", "end"])
def test_a_stage_that_cannot_be_told_costs_no_call(raises: str, server: OpenAIServer) -> None:
    class Raises(SpanProcessor):
        def on_start(self, span: Any, parent_context: Any = None) -> None:
            if raises == "start" and span.parent is not None:
                raise ValueError("of another")

        def on_end(self, span: Any) -> None:
            if raises == "end" and span.parent is not None:
                raise ValueError("of another")

    telemetry = Telemetry()
    telemetry.tracers.add_span_processor(Raises())
    telemetry.instrument(stage_spans="always")
    with openai.OpenAI(base_url=server.url, api_key="x", max_retries=0) as client:
        client.embeddings.create(model=SMALL, input=["one two"], dimensions=4)
    otel_embed.uninstrument()
    assert telemetry.spans(f"embeddings {SMALL}")


@pytest.mark.parametrize(
    ("mode", "calls_with_stages"),
    [("slow", ["slow", "failed"]), ("always", ["quick", "slow", "failed"]), ("never", [])],
)
def test_which_calls_have_them(
    mode: str, calls_with_stages: list[str], telemetry: Telemetry, server: OpenAIServer
) -> None:
    telemetry.instrument(stage_spans=mode, slow_call_ms=2000.0)
    faults = {"quick": Fault(), "slow": Fault(header_delay=2.1), "failed": Fault(status=400)}
    found = []
    with openai.OpenAI(base_url=server.url, api_key="x", max_retries=0) as client:
        client.embeddings.create(model=SMALL, input="one")  # the first connection is no quick one
        for name, fault in faults.items():
            telemetry.exporter.clear()
            with suppress(openai.BadRequestError):
                client.embeddings.create(model=SMALL, input="one", extra_headers=fault.header)
            found += [name] * (len(telemetry.spans()) > 1)
    assert found == calls_with_stages


class CopiesBaggage(SpanProcessor):
    """As opentelemetry-processor-baggage."""

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        span.set_attributes(baggage.get_all(parent_context))


def test_the_stages_of_a_body_that_is_read_elsewhere_are_told_in_the_context_of_their_call(
    telemetry: Telemetry, server: OpenAIServer
) -> None:
    telemetry.tracers.add_span_processor(CopiesBaggage())
    telemetry.instrument(stage_spans="always")
    client, token = openai.OpenAI(base_url=server.url, api_key="x"), context.attach(baggage.set_baggage("tenant", "acme"))
    with client.embeddings.with_streaming_response.create(model=SMALL, input="one") as answer:
        context.detach(token)
        answer.read()
    spans = telemetry.spans()
    assert len(spans) > 4 and {span.attributes["tenant"] for span in spans} == {"acme"}
