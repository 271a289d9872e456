"""Work that is divided among processes: what each used adds up, and nothing is lost when one is killed."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import openai
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    ConsoleMetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import otel_embed
from conftest import Telemetry
from fakes.openai_server import OpenAIServer
from otel_embed import guard
from otel_embed.instrumentor import EmbeddingInstrumentor
from otel_embed.report.track import TrackedUsage

SMALL = "text-embedding-3-small"
KILLED = f"""
import os, signal, sys
import openai
import otel_embed

otel_embed.instrument()
with openai.OpenAI(base_url=sys.argv[1], api_key="x") as client:
    client.embeddings.create(model={SMALL!r}, input=["one two", "three"])
otel_embed.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""


def used(server: OpenAIServer, *texts: str) -> TrackedUsage:
    with openai.OpenAI(base_url=server.url, api_key="x") as client, otel_embed.track() as usage:
        for text in texts:
            client.embeddings.create(model=SMALL, input=text)
        client.embeddings.create(model="of-unknown-price", input="one")
    return usage


def test_what_workers_used_adds_up_to_the_bill(server: OpenAIServer, telemetry: Telemetry) -> None:
    usages = [used(server, *["one two three"] * n) for n in range(4)]
    total = sum(pickle.loads(pickle.dumps(usages)))
    assert (total.calls, total.tokens, total.unpriced_calls) == (10, server.billed.tokens, 4)
    assert total.cost_usd == 6 * 3 * 20_000 / 10**12, "exactly"
    assert total.seconds == pytest.approx(sum(usage.seconds for usage in usages))
    assert usages[0].calls == 1, "what is added up stays as it was"


def test_a_usage_is_picked_up_where_it_stands_and_counts_on(server: OpenAIServer, telemetry: Telemetry) -> None:
    with openai.OpenAI(base_url=server.url, api_key="x") as client, otel_embed.track() as usage:
        client.embeddings.create(model=SMALL, input="one")
        copy = pickle.loads(pickle.dumps(usage))
        client.embeddings.create(model=SMALL, input="one")
    assert (copy.calls, usage.calls) == (1, 2)
    assert 0 < copy.seconds < usage.seconds


def test_a_usage_is_added_to_nothing_else() -> None:
    with pytest.raises(TypeError):
        TrackedUsage() + 1  # type: ignore[operator]
    with pytest.raises(TypeError):
        1 + TrackedUsage()


def test_a_usage_shows_what_it_cost_and_what_is_not_known(telemetry: Telemetry, server: OpenAIServer) -> None:
    with otel_embed.track() as usage, openai.OpenAI(base_url=server.url, api_key="x") as client:
        client.embeddings.create(model=SMALL, input="one two")
        assert "2 tokens, $0.00000004, 0 cache hits" in repr(usage)
        client.embeddings.create(model="our-own", input="one two")
    assert "$0.00000004 and 1 call without a known price," in repr(usage)
    assert "0 tokens, $0, " in repr(TrackedUsage())


def test_what_is_flushed_is_reported_by_a_process_that_is_killed(server: OpenAIServer, tmp_path: Path) -> None:
    command = [Path(sys.executable).with_name("otel-embed"), "run", "--json", "r.json", "--", sys.executable, "-c", KILLED]
    ran = subprocess.run([*command, server.url], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 128 + 9, ran.stderr
    (place,) = json.loads((tmp_path / "r.json").read_text())["providers"]
    assert (place["calls"], place["tokens"]["reported"]) == (1, server.billed.tokens)


SWITCHED = f"""
import os, sys
import openai
import otel_embed

def embed():
    with openai.OpenAI(base_url=sys.argv[1], api_key="x") as client:
        client.embeddings.create(model={SMALL!r}, input=["one two", "three"])

embed()
otel_embed.uninstrument()
otel_embed.instrument()
embed()
if not os.fork():
    embed()
    otel_embed.flush()
    os._exit(0)
os.wait()
embed()
"""


def test_what_is_switched_off_and_on_again_is_in_one_report_once(server: OpenAIServer, tmp_path: Path) -> None:
    command = [Path(sys.executable).with_name("otel-embed"), "run", "--json", "r.json", "--", sys.executable, "-c"]
    ran = subprocess.run([*command, SWITCHED, server.url], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    (place,) = json.loads((tmp_path / "r.json").read_text())["providers"]
    assert (place["calls"], place["tokens"]["reported"]) == (4, server.billed.tokens)


class Broken(SpanProcessor):
    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        raise RuntimeError("theirs")


def test_a_flush_exports_metrics_where_spans_cannot_be_flushed(telemetry: Telemetry, server: OpenAIServer) -> None:
    exported: list[MetricsData] = []

    class Kept(ConsoleMetricExporter):
        def export(self, metrics_data: MetricsData, *args: object, **options: object) -> MetricExportResult:
            exported.append(metrics_data)
            return MetricExportResult.SUCCESS

    reader = PeriodicExportingMetricReader(Kept(), export_interval_millis=3_600_000)
    telemetry.tracers.add_span_processor(Broken())
    telemetry.meters = MeterProvider([reader], shutdown_on_exit=False)
    telemetry.instrument()
    with openai.OpenAI(base_url=server.url, api_key="x") as client:
        client.embeddings.create(model=SMALL, input="one")
    guard.reraise = False
    otel_embed.flush()
    assert guard.dropped == {"flush": 1}
    assert "otel_embed.inputs" in {
        metric.name for data in exported for scope in data.resource_metrics[0].scope_metrics for metric in scope.metrics
    }
    telemetry.meters.shutdown()


def test_a_flush_exports_what_the_sdk_has_queued(server: OpenAIServer) -> None:
    exporter, tracers = InMemorySpanExporter(), TracerProvider()
    tracers.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=3_600_000))
    otel_embed.instrument(tracer_provider=tracers)
    try:
        with openai.OpenAI(base_url=server.url, api_key="x") as client:
            client.embeddings.create(model=SMALL, input="one")
        assert not exporter.get_finished_spans()
        otel_embed.flush()
        assert [span.name for span in exporter.get_finished_spans()] == [f"embeddings {SMALL}"]
    finally:
        otel_embed.uninstrument()
        tracers.shutdown()


def test_spans_that_are_lost_after_a_flush_write_no_file_in_the_applications_call(
    telemetry: Telemetry, server: OpenAIServer, tmp_path: Path
) -> None:
    telemetry.instrument(report_dir=str(tmp_path))
    with openai.OpenAI(base_url=server.url, api_key="x") as client:
        client.embeddings.create(model="text-embedding-3-small", input="one")
    otel_embed.flush()
    (file,) = tmp_path.glob("*.json")
    file.unlink()
    recorder = EmbeddingInstrumentor().recorder
    assert recorder is not None
    recorder.lost.drop(1)  # as the SDK's queue does when a span ends and it is full
    assert recorder.lost.by_cause() == {"queue_full": 1}
    assert not [*tmp_path.glob("*.json")]
