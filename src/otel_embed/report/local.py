"""Models that run in this process: their loads, and their latency in finer buckets and by device."""

from __future__ import annotations

from opentelemetry.context import Context
from opentelemetry.metrics import Meter
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer, set_span_in_context

from otel_embed.loads import OpenLoad
from otel_embed.record import EmbeddingCall, ModelLoad
from otel_embed.report import names
from otel_embed.report.dimensions import Attributes, histogram, place
from otel_embed.report.span_ends import begun, ended
from otel_embed.report.work_totals import WorkTotals

_FAILED = Status(StatusCode.ERROR)  # without a description, which can hold a path


class LocalReport:
    """The convention's own duration has buckets from 10 ms on, and no device."""

    tracer: Tracer
    totals: WorkTotals

    def __init__(self, meter: Meter) -> None:
        self._call_duration = histogram(meter, names.LOCAL_DURATION)
        self._load_duration = histogram(meter, names.LOAD_DURATION)

    def record(self, call: EmbeddingCall, around: Context) -> None:
        """Count the duration of a call in the context of its span."""
        found = place(call.provider, call.model)
        if call.work is not None and call.work.device is not None:
            found[names.DEVICE] = call.work.device
        if call.failure is not None:
            found[names.ERROR_TYPE] = call.failure.type
        found.update(call.attribution)
        self._call_duration.record(call.seconds, found, around)

    def begin_load(self, load: OpenLoad, around: Context) -> Context:
        """Start the span of a load; returns the context in which the load runs."""
        name = f"{names.LOAD} {load.model}" if load.model else names.LOAD
        about = place(load.provider, load.model)
        load.span = begun(self.tracer, name, around, SpanKind.INTERNAL, about, load.start_unix_ns)
        return set_span_in_context(load.span, around)

    def finish_load(self, loading: OpenLoad, load: ModelLoad) -> None:
        """Say where the model was loaded, and end the span: there are few loads, and each takes long."""
        found: Attributes = {} if load.device is None else {names.DEVICE: load.device}
        span = loading.span
        if load.error is not None:
            found[names.ERROR_TYPE] = load.error
            span.set_status(_FAILED)
        span.set_attributes(found)
        whole = {**place(load.provider, load.model), **found}
        self._load_duration.record(load.duration_ns / 1e9, whole, set_span_in_context(span))
        ended(span, load.start_unix_ns + load.duration_ns)
        self.totals.add_load(load)
