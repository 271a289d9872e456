"""The beginning and the end of a span, where a sampler or a processor of others may raise: all else is reported."""

from __future__ import annotations

from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, Span, SpanKind, Tracer, get_current_span

from otel_embed.guard import Guard
from otel_embed.report.dimensions import Attributes

_BEGINNING, _ENDING = Guard("begin a span"), Guard("end a span")


def begun(tracer: Tracer, name: str, around: Context, kind: SpanKind, about: Attributes, at: int) -> Span:
    """A span that began ``at`` a time; where there is none, what stands for the one around it and records nothing."""
    with _BEGINNING:
        return tracer.start_span(name, around, kind, about, start_time=at)
    return NonRecordingSpan(get_current_span(around).get_span_context())


def ended(span: Span, at: int) -> None:
    """It was over ``at`` a time."""
    with _ENDING:
        span.end(at)
