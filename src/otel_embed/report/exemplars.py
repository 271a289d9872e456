"""Which calls are offered to the histograms as exemplars: the way from a point of a metric to a trace."""

from __future__ import annotations

from bisect import bisect_left

from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, set_span_in_context

from otel_embed.record import EmbeddingCall
from otel_embed.report.names import FINE_SECONDS

# Not empty: for an empty context the SDK takes the current one, and with it a span that is not the call's.
_NOWHERE = Context({"otel-embed-nowhere": True})


class Exemplars:
    """One a batch for each model, component and bucket of time; offering all of them costs as much as counting."""

    def __init__(self) -> None:
        self._offered: set[tuple[str | None, object, int]] = set()

    def of(self, call: EmbeddingCall, span: SpanContext | None) -> Context:
        """The context by which a histogram finds the call's span, where that is sampled and to be offered."""
        if span is None:
            return _NOWHERE
        place = (call.request_model, call.component, bisect_left(FINE_SECONDS, call.duration_ns / 1e9))
        if place in self._offered or not span.trace_flags.sampled:
            return _NOWHERE
        self._offered.add(place)
        return set_span_in_context(NonRecordingSpan(span), _NOWHERE)
