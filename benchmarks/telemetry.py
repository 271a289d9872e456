"""A real OpenTelemetry SDK whose output is counted and dropped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricsData
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON

SDKS = ("sampled", "unsampled", "none")
# No export of one variant's spans may fall into another's turn: each exports in its own `settle`, on its own time.
NO_TIMER: dict[str, Any] = {"schedule_delay_millis": 3_600_000}


class DroppingExporter(SpanExporter):
    """Counts spans; hands them out only inside `keeping`, outside the timing."""

    def __init__(self) -> None:
        self.spans = 0
        self.kept: list[ReadableSpan] | None = None

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.spans += len(spans)
        if self.kept is not None:
            self.kept.extend(spans)
        return SpanExportResult.SUCCESS

    @contextmanager
    def keeping(self) -> Iterator[list[ReadableSpan]]:
        self.kept = []
        try:
            yield self.kept
        finally:
            self.kept = None


class PatientReader(InMemoryMetricReader):
    """Collects thousands of points on a machine that has other things to do."""

    def collect(self, timeout_millis: float = 120_000) -> None:
        super().collect(timeout_millis)


class Telemetry:
    """One variant's own providers, so that its exports and collections are counted as its own."""

    def __init__(self, sdk: str) -> None:
        self.sdk = sdk
        self.exporter = DroppingExporter()
        self.tracer_provider: TracerProvider | None = None
        self.meter_provider: MeterProvider | None = None
        self.collected: MetricsData | None = None
        if sdk != "none":
            self.tracer_provider = TracerProvider(sampler=ALWAYS_ON if sdk == "sampled" else ALWAYS_OFF)
            self.tracer_provider.add_span_processor(BatchSpanProcessor(self.exporter, **NO_TIMER))
            self.reader = PatientReader()
            self.meter_provider = MeterProvider([self.reader])

    def settle(self) -> None:
        """What the SDK does later: export the queued spans, collect the metrics."""
        if self.tracer_provider is not None:
            self.tracer_provider.force_flush()
            self.collected = self.reader.get_metrics_data()

    def sum_of(self, metric_name: str) -> float:
        """The sum over all points of a metric as of the last `settle`."""
        resources = self.collected.resource_metrics if self.collected else ()
        metrics = [m for r in resources for s in r.scope_metrics for m in s.metrics if m.name == metric_name]
        return sum(point_value(point) for metric in metrics for point in metric.data.data_points)

    def shutdown(self) -> None:
        if self.tracer_provider is not None and self.meter_provider is not None:
            self.tracer_provider.shutdown()
            self.meter_provider.shutdown()


def point_value(point: Any) -> float:
    """Input tokens of a histogram or counter point: other token types of the same metric don't count."""
    if point.attributes.get("gen_ai.token.type", "input") != "input":
        return 0
    return float(point.sum if hasattr(point, "sum") else point.value)
