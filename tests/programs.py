"""Programs in processes of their own, and what all of these exported by OTLP, added up."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from fakes.openai_server import OpenAIServer
from fakes.otlp import HttpReceiver

BIN = Path(sys.executable).parent
SMALL = "text-embedding-3-small"
TOKENS = "gen_ai.client.embeddings.operation.input_tokens"
OTHERS = sorted({entry.name for entry in entry_points(group="opentelemetry_instrumentor")} - {"otel_embed"})
"""The instrumentations of others, which have tests of their own."""
COMMON = """
import os, sys, time
from openai import AsyncOpenAI, OpenAI
import otel_embed
URL, MODEL = os.environ["TEST_URL"], "text-embedding-3-small"
def client(**options):
    return OpenAI(base_url=URL, api_key="x", max_retries=0, **options)
def asynchronous(**options):
    return AsyncOpenAI(base_url=URL, api_key="x", max_retries=0, **options)
def embed(it, words, **options):
    return it.embeddings.create(model=MODEL, input=["word"] * words, dimensions=4, **options)
def flush():
    from opentelemetry import metrics, trace
    assert trace.get_tracer_provider().force_flush() and metrics.get_meter_provider().force_flush()
def say(*values):
    os.write(1, (" ".join(map(str, values)) + "\\n").encode())  # whole lines, however many processes say one
LATE = {"extra_headers": {"x-fault": '{"header_delay": 30}'}}
"""
"""What each program begins with."""


def environment(server: OpenAIServer, collector: HttpReceiver, folder: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    return {
        **inherited,
        "TEST_URL": server.url,
        "PYTHONPATH": str(folder),
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.origin,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta",
        "OTEL_METRIC_EXPORT_INTERVAL": "600000",
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_METRICS_EXPORTER": "otlp",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_EMBED_STAGE_SPANS": "never",
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": ",".join(OTHERS),
    }


def launch(environ: dict[str, str], folder: Path, *command: str) -> tuple[str, str]:
    """Run a command; its output and what it said on stderr. It ends by itself, or the test fails."""
    ran = subprocess.run(command, env=environ, cwd=folder, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, f"{ran.returncode}: {ran.stderr}"
    return ran.stdout, ran.stderr


def zero_code(environ: dict[str, str], folder: Path, source: str) -> tuple[str, str]:
    """Run a program under ``opentelemetry-instrument``."""
    (folder / "app.py").write_text(COMMON + source)
    return launch(environ, folder, str(BIN / "opentelemetry-instrument"), sys.executable, "app.py")


class Exported:
    """What a collector was sent, of all processes together. Sums are of deltas."""

    def __init__(self, collector: HttpReceiver) -> None:
        self.spans: list[tuple[str, dict[str, Any]]] = []
        self.sums: Counter[str] = Counter()
        for path, _, body in tuple(collector.received):
            if path == "/v1/traces":
                self.spans += _spans(ExportTraceServiceRequest.FromString(body))
            else:
                for name, value in _sums(ExportMetricsServiceRequest.FromString(body)):
                    self.sums[name] += value

    def of(self, attribute: str) -> list[Any]:
        """The values of an attribute over the spans that have it."""
        return [attributes[attribute] for _, attributes in self.spans if attribute in attributes]


def check(collector: HttpReceiver, server: OpenAIServer, requests: int, pending: int = 0) -> Exported:
    """Every call that was billed is a span, and what is told adds up to the bill."""
    billed, exported = server.billed, Exported(collector)
    assert billed.requests == requests
    answered = [name for name, attributes in exported.spans if "error.type" not in attributes]
    assert answered == [f"embeddings {SMALL}"] * requests
    assert sum(exported.of("gen_ai.usage.input_tokens")) == billed.tokens
    assert round(sum(exported.of("otel_embed.cost.usd")) * 1e12) == billed.tokens * 20_000
    assert exported.sums[TOKENS] == billed.tokens
    assert exported.sums["otel_embed.inputs"] == billed.inputs
    assert round(exported.sums["otel_embed.cost"] * 1e12) == billed.tokens * 20_000
    assert not exported.sums["otel_embed.dropped"]
    assert exported.sums["otel_embed.inputs.pending"] == pending
    return exported


def _spans(request: ExportTraceServiceRequest) -> Iterator[tuple[str, dict[str, Any]]]:
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield span.name, {each.key: _value(each.value) for each in span.attributes}


def _sums(request: ExportMetricsServiceRequest) -> Iterator[tuple[str, float]]:
    for resource in request.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                data = getattr(metric, metric.WhichOneof("data"))
                for point in data.data_points:
                    kind = point.WhichOneof("value") if hasattr(point, "as_int") else "sum"
                    yield metric.name, getattr(point, kind)


def _value(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value"))
