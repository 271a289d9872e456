"""The stages of a call as children of its span: they are over when they are made.

An SDK makes each such span twice, as what an application can write to and as what exporters read. Where nobody hears
of a span's beginning, what exporters read tells all of it, and is made alone in less than half the time. Where the SDK
is not as it is known here, the spans are begun and ended by its own interface.
"""

from __future__ import annotations

import sys
from itertools import islice
from types import FunctionType, ModuleType
from typing import Any

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanContext, SpanKind, TraceFlags, Tracer

from otel_embed.guard import Guard
from otel_embed.record import EmbeddingCall
from otel_embed.report import names

_TELLING = Guard("report the spans of stages")
_MAX = 64


class StageSpans:
    """Tells stages by the spans of one tracer."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._ready_made: _ReadyMade | None = None
        with _TELLING:
            self._ready_made = _ReadyMade.of(tracer)

    def tell(self, call: EmbeddingCall, span: Span, around: Context, own: bool) -> None:
        """The stages of a call, within its span, which is this tracer's ``own`` or another one's, and its context."""
        with _TELLING:
            ready_made = self._ready_made if own else None
            one = self._one if ready_made is None or not ready_made.is_all() else ready_made.one
            stages = (timing for timing in call.stages if timing.own and timing.stage != "other")
            for stage, start, end, _ in islice(stages, _MAX):
                one(span, around, names.STAGE_SPAN[stage], call.start_unix_ns + start, call.start_unix_ns + end)

    def _one(self, span: Span, around: Context, name: str, start: int, end: int) -> None:
        self._tracer.start_span(name, around, start_time=start).end(end)


class _ReadyMade:
    """Spans of the SDK as exporters read them, made as its tracer makes them."""

    def __init__(self, tracer: Any, sdk: ModuleType) -> None:
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

        self._tracer, self._span = tracer, sdk.ReadableSpan
        known = (sdk.SpanProcessor, BatchSpanProcessor, SimpleSpanProcessor)
        self._nothing = {getattr(each, method) for each in known for method in _before_an_end(each)}
        self._processors: Any = None
        self._is_all = False

    @classmethod
    def of(cls, tracer: Tracer) -> _ReadyMade | None:
        """Of a tracer that is the SDK's own, as it is, and counts no spans itself; None of any other."""
        sdk = sys.modules.get("opentelemetry.sdk.trace")
        if sdk is None or type(tracer) is not sdk.Tracer or "start_span" in vars(tracer):
            return None
        starts, counts = sdk.Tracer.start_span, getattr(tracer, "_tracer_metrics", None)
        is_its_own = type(starts) is FunctionType and starts.__globals__ is vars(sdk)
        return cls(tracer, sdk) if is_its_own and type(counts).__name__ in ("NoneType", "NoOpTracerMetrics") else None

    def is_all(self) -> bool:
        """Whether what is made here is all that the SDK's processors would hear; another may come at any time."""
        processors = getattr(self._tracer.span_processor, "_span_processors", None)
        if processors is not self._processors:
            self._is_all = isinstance(processors, tuple) and all(self._only_hears_ends(each) for each in processors)
            self._processors = processors
        return self._is_all

    def _only_hears_ends(self, processor: Any) -> bool:
        heard = [getattr(processor, method) for method in _before_an_end(processor)]
        return all(getattr(each, "__func__", None) in self._nothing for each in heard)

    def one(self, span: Any, around: Context, name: str, start: int, end: int) -> None:
        parent, tracer = span.get_span_context(), self._tracer
        sampled = tracer.sampler.should_sample(around, parent.trace_id, name, SpanKind.INTERNAL, None, ())
        if not sampled.decision.is_recording():
            return
        bit = TraceFlags.SAMPLED
        flags = TraceFlags(parent.trace_flags | bit if sampled.decision.is_sampled() else parent.trace_flags & ~bit)
        itself = SpanContext(parent.trace_id, tracer.id_generator.generate_span_id(), False, flags, sampled.trace_state)
        made = self._span(
            name,
            itself,
            parent,
            tracer.resource,
            sampled.attributes and BoundedAttributes(attributes=sampled.attributes),
            kind=SpanKind.INTERNAL,
            start_time=start,
            end_time=end,
            instrumentation_info=tracer.instrumentation_info,
            instrumentation_scope=span.instrumentation_scope,
        )
        tracer.span_processor.on_end(made)


def _before_an_end(processor: Any) -> list[str]:
    """By which of its methods a processor hears of spans that are not over: newer SDKs have two."""
    return [method for method in ("on_start", "_on_ending") if hasattr(processor, method)]
