"""A vector store's operation as a span and in a histogram."""

from __future__ import annotations

from opentelemetry.context import Context
from opentelemetry.metrics import Meter
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.util.types import AttributeValue

from otel_embed.operations import OPEN_OPERATION, OpenOperation
from otel_embed.record import StoreOperation
from otel_embed.report import names
from otel_embed.report.attribution import Attributions
from otel_embed.report.dimensions import Attributes
from otel_embed.report.span_ends import begun, ended
from otel_embed.report.track import TRACKED, Tracks
from otel_embed.report.work_totals import WorkTotals


class OperationReport:
    """On one meter; ``tracer`` makes the spans."""

    tracer: Tracer

    def __init__(self, meter: Meter, totals: WorkTotals, attribution: Attributions) -> None:
        self._totals = totals
        self._attribution = attribution
        name, unit, description, buckets = names.STORE_DURATION
        self._duration = meter.create_histogram(name, unit, description, explicit_bucket_boundaries_advisory=buckets)

    def begin(self, operation: OpenOperation, around: Context) -> Context:
        component = operation.component
        whose = self._attribution.of(around) if self._attribution.on else ()
        name = f"{component.method} {component.name}"
        about: Attributes = {names.FRAMEWORK: component.framework, **dict(whose)}
        operation.span = begun(self.tracer, name, around, SpanKind.INTERNAL, about, operation.start_unix_ns)
        tracking: tuple[Tracks, ...] = around.get(TRACKED, ())  # type: ignore[assignment]
        within = set_span_in_context(operation.span, around)
        return Context({**within, OPEN_OPERATION: operation, TRACKED: (*tracking, operation)})

    def finish(self, operation: OpenOperation, record: StoreOperation) -> None:
        component, failure = record.component, record.failure
        about: dict[str, AttributeValue] = {
            names.FRAMEWORK: component.framework,
            names.COMPONENT: component.name,
            names.OPERATION_NAME: component.method,
        }
        span = operation.span
        span.set_attribute(names.OWN_DURATION, record.own_ns / 1e9)
        if record.documents is not None:
            span.set_attribute(names.DOCUMENTS, record.documents)
        if failure is not None:
            about[names.ERROR_TYPE] = failure.type
            span.set_attributes({names.ERROR_TYPE: failure.type, names.CAUSE: failure.cause})
            span.set_status(Status(StatusCode.ERROR))
        self._duration.record(record.own_ns / 1e9, about, set_span_in_context(span))
        ended(span, record.start_unix_ns + record.duration_ns)
        self._totals.add_operation(record)
