"""A call as a span."""

from __future__ import annotations

from math import inf
from typing import Any, NamedTuple

from opentelemetry.context import Context
from opentelemetry.trace import (
    INVALID_SPAN,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    get_current_span,
    set_span_in_context,
)

from otel_embed.config import Config
from otel_embed.observe import OPEN_CALL, OpenCall
from otel_embed.record import Answer, EmbeddingCall, LocalWork, Server
from otel_embed.report import coexist, names
from otel_embed.report.content import written
from otel_embed.report.dimensions import Attributes
from otel_embed.report.stage_spans import StageSpans

_FAILED = Status(StatusCode.ERROR)  # without a description: an exception's text can hold the application's input
_MAX_OPENINGS = 1000
(SPAN,) = set_span_in_context(INVALID_SPAN, Context())
"""The key under which a context holds its span."""
_CAPTURED_INPUTS, _CAPTURED_CHARACTERS = 16, 1024


class _Opening(NamedTuple):
    """What the spans of one operation begin with."""

    name: str
    kind: SpanKind
    attributes: Attributes


class SpanReport:
    def __init__(self, tracer: Tracer, config: Config) -> None:
        self._tracer, self._stages = tracer, StageSpans(tracer)
        threshold_ms = {"always": 0.0, "slow": config.slow_call_ms, "never": inf}
        self._slow_ns = threshold_ms[config.stage_spans] * 1e6
        self._captures = config.capture_content
        self._openings: dict[Any, _Opening] = {}

    def begin(self, call: OpenCall, around: Context) -> Context:
        """Start the span of a call; returns the context in which the call runs."""
        request, component = call.request, call.component
        if component is not None:
            key: object = component
        elif coexist.MARK in around and coexist.is_covered(call, around):
            span = get_current_span(around)
            call.covered, call.span = True, span if span.is_recording() else None
            if call.attribution:
                span.set_attributes(dict(call.attribution))
            return Context({**around, OPEN_CALL: call})
        else:
            key = (call.provider, request.model, request.server)
        name, kind, attributes = self._openings.get(key) or self._opening(key, call)
        if call.attribution:
            attributes = {**attributes, **dict(call.attribution)}
        span = self._tracer.start_span(name, around, kind, attributes, start_time=call.start_unix_ns)
        call.span = span if span.is_recording() else None
        if self._captures and call.span is not None:
            span.set_attributes(_captured(request.content))
        if component is not None:
            return Context({**around, SPAN: span, OPEN_CALL: call})
        return Context({**around, SPAN: span, OPEN_CALL: call, **coexist.marks()})

    def _opening(self, key: object, call: OpenCall) -> _Opening:
        component, model = call.component, call.request.model
        if component is not None:
            about: Attributes = {names.FRAMEWORK: component.framework}
            opening = _Opening(f"{component.method} {component.name}", SpanKind.INTERNAL, about)
        else:
            kind = SpanKind.INTERNAL if call.site.call.local else SpanKind.CLIENT
            about = identity(call.provider, model, call.request.server)
            opening = _Opening(f"embeddings {model}" if model else "embeddings", kind, about)
        if len(self._openings) < _MAX_OPENINGS:
            self._openings[key] = opening
        return opening

    def finish(self, call: OpenCall) -> None:
        """Say what happened, and end the span."""
        span, record = call.span, call.record()
        call.span = span.get_span_context()  # which is all that is asked for from here on, whatever a processor raises
        span.set_attributes(attributes(record))
        if record.server is not None and call.request.server is None and record.component is None:
            # Known since its request was sent, and not when the span began.
            span.set_attributes({names.ADDRESS: record.server.address, names.PORT: record.server.port})
        if record.failure is not None and not call.covered:
            span.set_status(_FAILED)
        if record.duration_ns >= self._slow_ns or (record.failure is not None and self._slow_ns < inf):
            self._stages.tell(record, span, call.context, own=not call.covered)
        if not call.covered:
            span.end(call.start_unix_ns + call.end - call.start)


def identity(provider: str, model: str | None, server: Server | None) -> Attributes:
    """The attributes that say which operation this is."""
    attributes: Attributes = {names.OPERATION: names.EMBEDDINGS, names.PROVIDER: provider}
    if model is not None:
        attributes[names.REQUEST_MODEL] = model
    if server is not None:
        attributes[names.ADDRESS], attributes[names.PORT] = server
    return attributes


_OF_A_LEAF = (
    names.RESPONSE_MODEL,
    names.DIMENSIONS,
    names.INPUT_KIND,
    names.INPUT_TOKENS,
    names.USAGE_SOURCE,
    names.COST,
    names.COST_SOURCE,
    names.REQUEST_BYTES,
    names.REMAINING_REQUESTS,
    names.REMAINING_TOKENS,
    names.SERVER_DURATION,
    names.RESPONSE_BYTES,
)
_TWO_UNKNOWN, _NO_ANSWER = (None, None), Answer()


def attributes(call: EmbeddingCall) -> Attributes:
    """What is known of a call when it is over."""
    found: dict[str, Any] = _of_a_leaf(call) if call.is_leaf else {}
    if call.cache is not None:
        _tell_cache(found, call)
    if call.inputs is not None:
        found[names.INPUT_COUNT] = call.inputs
    if call.failure is not None:
        found[names.ERROR_TYPE], found[names.CAUSE] = call.failure
    if call.retries:
        found[names.RETRY_COUNT] = len(call.retries)
    for stage, start, end, _ in call.stages:
        name = names.STAGE_DURATION[stage]
        found[name] = found.get(name, 0.0) + (end - start) / 1e9
    return found


def _of_a_leaf(call: EmbeddingCall) -> dict[str, Any]:
    """What is known of a call that was billed, or done in this process."""
    usage, cost, answer = call.usage or _TWO_UNKNOWN, call.cost or _TWO_UNKNOWN, call.answer or _NO_ANSWER
    told = (call.response_model, call.dimensions, call.kind, *usage, *cost, call.request_bytes, *answer)
    found: dict[str, Any] = dict(zip(_OF_A_LEAF, told))
    if None in told:
        found = {name: value for name, value in found.items() if value is not None}
    if call.component is not None:
        found.update(identity(call.provider, call.request_model, call.server))
    if call.encoding_format is not None:
        asked = call.encoding_format
        found[names.ENCODING_FORMATS] = (asked,) if isinstance(asked, str) else asked
    if call.work is not None:
        _tell_work(found, call.work)
    return found


def _tell_work(found: Attributes, work: LocalWork) -> None:
    told = zip((names.DEVICE, names.PADDING_TOKENS, names.INPUT_TRUNCATED, names.DEVICE_DURATION), work)
    found.update({name: value for name, value in told if value is not None})


def _tell_cache(found: Attributes, call: EmbeddingCall) -> None:
    cache = call.cache
    if cache is None:
        return
    found[names.CACHE_STORE], found[names.CACHE_HITS], found[names.CACHE_MISSES] = cache[:3]
    if cache.saved is not None:
        found[names.SAVED_TOKENS] = cache.saved.tokens
    if cache.saved_cost is not None:
        found[names.SAVED_COST] = cache.saved_cost.usd


def _captured(content: Any) -> dict[str, str]:
    """Input texts, cut short; vectors and token ids never, so that there may be nothing."""
    texts = [content] if isinstance(content, str) else content if isinstance(content, (list, tuple)) else ()
    parts = [
        {"type": "text", "content": text[:_CAPTURED_CHARACTERS]}
        for text in texts[:_CAPTURED_INPUTS]
        if isinstance(text, str)
    ]
    return {names.INPUT_MESSAGES: written([{"role": "user", "parts": parts}])} if parts else {}
