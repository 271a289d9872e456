"""The whole telemetry of a test: real SDK, real clients, the bundled server with faults to order."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import Sampler

import otel_embed
from fakes.openai_server import OpenAIServer
from otel_embed import guard

pytest.register_assert_rewrite("every_provider", "programs", "spans")

os.environ.setdefault("HAYSTACK_TELEMETRY_ENABLED", "False")  # it would tell its makers of each test


class Telemetry:
    def __init__(self, sampler: Sampler | None = None) -> None:
        self.exporter = InMemorySpanExporter()
        self.reader = InMemoryMetricReader()
        self.tracers = TracerProvider(sampler, shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.meters = MeterProvider(metric_readers=[self.reader], shutdown_on_exit=False)

    def instrument(self, **options: Any) -> None:
        otel_embed.uninstrument()
        # Whether an encoding can be found depends on what other tests have imported by then.
        options.setdefault("token_counting", "estimate")
        options.setdefault("slow_call_ms", 60_000.0)  # on a busy machine any call may take half a second
        otel_embed.instrument(tracer_provider=self.tracers, meter_provider=self.meters, **options)

    def spans(self, name: str | None = None) -> list[ReadableSpan]:
        return [span for span in self.exporter.get_finished_spans() if name is None or span.name == name]

    def metrics(self) -> dict[str, list[Any]]:
        data = self.reader.get_metrics_data()
        scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics] if data else []
        return {metric.name: list(metric.data.data_points) for scope in scopes for metric in scope.metrics}

    def total(self, name: str, **attributes: object) -> float:
        """The sum of a counter, or of what a histogram recorded, over the points with these attributes."""
        wanted = {key.replace("__", "."): value for key, value in attributes.items()}.items()
        points = [point for point in self.metrics().get(name, ()) if wanted <= dict(point.attributes).items()]
        return sum(getattr(point, "value", getattr(point, "sum", 0)) for point in points)


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    telemetry = Telemetry()
    guard.dropped.clear()
    guard.reraise = True
    telemetry.instrument()
    yield telemetry
    otel_embed.uninstrument()
    guard.reraise = False


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)
