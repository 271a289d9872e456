"""Spans that reach no backend are counted, and the exporters that lose them are what they were."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import openai
import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

import otel_embed
from conftest import Telemetry
from fakes.openai_server import OpenAIServer
from fakes.otlp import HttpReceiver, closed_port
from otel_embed import guard
from otel_embed.instrumentor import EmbeddingInstrumentor
from otel_embed.report.lost import _Listener

LOST, CAUSE = "otel_embed.spans.lost", "otel_embed.lost.cause"


class Gate(SpanExporter):
    """Takes nothing until it is opened, and then answers as told."""

    def __init__(self, answer: Callable[[], Any] = lambda: SpanExportResult.SUCCESS) -> None:
        self.open, self.asked, self.answer = threading.Event(), threading.Event(), answer
        self.batches: list[int] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.asked.set()
        assert self.open.wait(10)
        self.batches.append(len(spans))
        return self.answer()

    def shutdown(self) -> None:
        self.open.set()


def embed(server: OpenAIServer, times: int) -> None:
    with openai.OpenAI(base_url=server.url, api_key="x", max_retries=0) as client:
        for _ in range(times):
            client.embeddings.create(model="text-embedding-3-small", input="word")


def lost(telemetry: Telemetry) -> dict[str, float]:
    return {point.attributes[CAUSE]: point.value for point in telemetry.metrics().get(LOST, ())}


@pytest.fixture
def behind(telemetry: Telemetry) -> Iterator[Callable[..., BatchSpanProcessor]]:
    """Puts an exporter behind a queue of the telemetry's tracers, and shuts it down in the end."""
    added: list[BatchSpanProcessor] = []

    def put(exporter: SpanExporter, **options: Any) -> BatchSpanProcessor:
        added.append(BatchSpanProcessor(exporter, schedule_delay_millis=60_000, **options))
        telemetry.tracers.add_span_processor(added[-1])
        telemetry.instrument(stage_spans="never")
        return added[-1]

    yield put
    for processor in added:
        processor.shutdown()


@pytest.mark.parametrize("wanted", ["http", "grpc", "refused"])
def test_what_an_exporter_gives_up_is_counted(
    telemetry: Telemetry, server: OpenAIServer, behind: Callable[..., BatchSpanProcessor], wanted: str
) -> None:
    with HttpReceiver(traces=500) as receiver:
        place = {"http": f"http://127.0.0.1:{closed_port()}", "grpc": f"http://127.0.0.1:{closed_port()}"}
        made: dict[str, Callable[[], SpanExporter]] = {
            "http": lambda: HttpExporter(place["http"], timeout=0.5),
            "grpc": lambda: GrpcExporter(place["grpc"], insecure=True, timeout=0.5),
            "refused": lambda: HttpExporter(f"{receiver.origin}/v1/traces", timeout=0.5),
        }
        processor = behind(made[wanted]())
        embed(server, 3)
        assert lost(telemetry) == {}
        processor.force_flush()
        assert lost(telemetry) == {"export_failed": 3}
        embed(server, 1)
        if wanted == "refused":
            receiver.status["/v1/traces"] = 200
            processor.force_flush()
            assert lost(telemetry) == {"export_failed": 3}, "what is taken is not lost"
    assert otel_embed.summary().document["lost_spans"] == {"export_failed": 3}


def test_what_a_full_queue_drops_is_counted_to_the_span(
    telemetry: Telemetry, server: OpenAIServer, behind: Callable[..., BatchSpanProcessor]
) -> None:
    gate = Gate()
    processor = behind(gate, max_queue_size=4, max_export_batch_size=2)
    embed(server, 2)
    assert gate.asked.wait(10), "two are with the exporter"
    embed(server, 9)
    assert lost(telemetry) == {"queue_full": 5}, "four wait"
    gate.open.set()
    processor.force_flush()
    assert (sum(gate.batches), lost(telemetry)) == (6, {"queue_full": 5})
    processor.shutdown()
    embed(server, 1)
    assert lost(telemetry) == {"queue_full": 5, "already_shutdown": 1}


def test_what_is_listened_to_is_called_as_it_was(
    telemetry: Telemetry, server: OpenAIServer, behind: Callable[..., BatchSpanProcessor]
) -> None:
    """SDKs differ in what they pass."""
    gate, called = Gate(), []
    gate.open.set()
    processor = behind(gate, max_queue_size=1, max_export_batch_size=1)
    otel_embed.uninstrument()
    queue = processor._batch_processor._metrics
    queue.drop_items = lambda *args, **kwargs: called.append((args, kwargs))
    telemetry.instrument()
    queue.drop_items(2)
    queue.drop_items(3, "already_shutdown")
    queue.drop_items(4, error_type="odd")
    assert called == [((2,), {}), ((3, "already_shutdown"), {}), ((4,), {"error_type": "odd"})]
    assert lost(telemetry) == {"queue_full": 6, "already_shutdown": 3}
    otel_embed.uninstrument()
    queue.drop_items(1)
    assert called.pop() == ((1,), {}) and not isinstance(queue.drop_items, _Listener)


def broken() -> SpanExportResult:
    raise ConnectionError("a bug in an exporter")


@pytest.mark.parametrize(
    ("answer", "counted"),
    [(lambda: None, {}), (lambda: SpanExportResult.FAILURE, {"export_failed": 2}), (broken, {"export_failed": 2})],
)
def test_results_and_exceptions_of_an_exporter_are_its_own(
    telemetry: Telemetry,
    server: OpenAIServer,
    behind: Callable[..., BatchSpanProcessor],
    caplog: pytest.LogCaptureFixture,
    answer: Callable[[], Any],
    counted: dict[str, int],
) -> None:
    gate = Gate(answer)
    behind(gate).force_flush()
    gate.open.set()
    embed(server, 2)
    processor = behind(Gate())
    processor._batch_processor._exporter.open.set()
    telemetry.tracers.force_flush()
    assert lost(telemetry) == counted
    assert ("a bug in an exporter" in caplog.text) == (answer is broken), "the SDK saw it"
    spans: tuple[ReadableSpan, ...] = ()
    if answer is broken:
        with pytest.raises(ConnectionError, match="a bug in an exporter"):
            gate.export(spans)
    else:
        assert gate.export(spans) is answer()


def test_one_that_others_are_around_is_left_to_them_and_counted_once(
    telemetry: Telemetry, server: OpenAIServer, behind: Callable[..., BatchSpanProcessor]
) -> None:
    gate = Gate(lambda: SpanExportResult.FAILURE)
    gate.open.set()
    processor = behind(gate)
    inner = gate.export
    gate.export = around = lambda spans: inner(spans)  # type: ignore[method-assign, assignment]
    telemetry.instrument()
    embed(server, 1)
    processor.force_flush()
    assert lost(telemetry) == {"export_failed": 1}
    otel_embed.uninstrument()
    assert gate.export is around and gate.export([]) is SpanExportResult.FAILURE


def test_an_exporter_is_left_as_it_was(telemetry: Telemetry, behind: Callable[..., BatchSpanProcessor]) -> None:
    gate = Gate()
    behind(gate)
    assert "export" in vars(gate) and isinstance(gate, Gate)
    otel_embed.uninstrument()
    assert "export" not in vars(gate)
    telemetry.metrics()
    otel_embed.summary()
    assert "export" not in vars(gate), "nor does a collection begin to listen again"
    otel_embed.uninstrument()
    telemetry.instrument()
    assert "export" in vars(gate)


def test_one_that_comes_later_is_listened_to_when_metrics_are_collected(
    telemetry: Telemetry, server: OpenAIServer
) -> None:
    gate = Gate(lambda: SpanExportResult.FAILURE)
    gate.open.set()
    processor = BatchSpanProcessor(gate)
    telemetry.tracers.add_span_processor(processor)
    assert lost(telemetry) == {}
    embed(server, 1)
    processor.shutdown()
    assert lost(telemetry) == {"export_failed": 1}


def test_an_exporter_within_a_call_is_left_alone(telemetry: Telemetry) -> None:
    assert "export" not in vars(telemetry.exporter)


class Closed(Gate):
    """Takes no attribute of others."""

    def __setattr__(self, name: str, value: object) -> None:
        if name == "export":
            raise AttributeError(name)
        super().__setattr__(name, value)


def test_one_that_cannot_be_listened_to_exports_as_before(
    telemetry: Telemetry, server: OpenAIServer, behind: Callable[..., BatchSpanProcessor]
) -> None:
    guard.reraise = False
    gate = Closed()
    gate.open.set()
    processor = behind(gate)
    embed(server, 2)
    processor.force_flush()
    assert sum(gate.batches) == 2
    assert guard.dropped["listen to exporters"] >= 1


def test_a_count_that_fails_changes_nothing(
    telemetry: Telemetry, server: OpenAIServer, behind: Callable[..., BatchSpanProcessor]
) -> None:
    guard.reraise = False
    gate = Gate(lambda: SpanExportResult.FAILURE)
    processor = behind(gate, max_queue_size=1, max_export_batch_size=1)
    recorder = EmbeddingInstrumentor().recorder
    assert recorder is not None
    recorder.lost.then = lambda: 1 / 0
    embed(server, 5)
    gate.open.set()
    assert processor.force_flush()
    failed = guard.dropped["count dropped spans"] + guard.dropped["count spans that were not exported"]
    assert failed == sum(lost(telemetry).values()) == 5
    assert server.billed.requests == 5 and len(telemetry.spans()) == 5
