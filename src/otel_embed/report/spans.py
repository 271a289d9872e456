"""A call as a span."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import islice
from typing import Any, NamedTuple

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, get_current_span, set_span_in_context
from opentelemetry.util.types import AttributeValue

from otel_embed.config import Config
from otel_embed.observe import OpenCall
from otel_embed.record import EmbeddingCall, Server
from otel_embed.report import coexist, names

_FAILED = Status(StatusCode.ERROR)  # without a description: an exception's text can hold the application's input
_MAX_STAGE_SPANS = 64
_CAPTURED_INPUTS, _CAPTURED_CHARACTERS = 16, 1024

Attributes = dict[str, AttributeValue]


class Scope(NamedTuple):
    """The span that stands for an open call."""

    span: Span
    covered: bool
    """True when the span belongs to another instrumentation."""


class SpanReport:
    def __init__(self, tracer: Tracer, config: Config) -> None:
        self._tracer = tracer
        self._stage_spans = config.stage_spans
        self._slow_ns = round(config.slow_call_ms * 1e6)
        self._captures = config.capture_content
        self._started: dict[tuple[str, str | None, Server | None], Attributes] = {}

    def begin(self, call: OpenCall, around: Context) -> Context:
        """Start the span of a call; returns the context in which the call runs."""
        if call.component is not None:
            span = self._start(f"{call.component.method} {call.component.name}", SpanKind.INTERNAL, call, around)
            call.scope = Scope(span, covered=False)
            return set_span_in_context(span, around)
        if coexist.is_covered(around):
            call.scope = Scope(get_current_span(around), covered=True)
            return around
        model = call.request.model
        kind = SpanKind.INTERNAL if call.site.call.local else SpanKind.CLIENT
        span = self._start(f"embeddings {model}" if model else "embeddings", kind, call, around)
        call.scope = Scope(span, covered=False)
        return Context({**set_span_in_context(span, around), **coexist.marks()})

    def _start(self, name: str, kind: SpanKind, call: OpenCall, around: Context) -> Span:
        span = self._tracer.start_span(name, around, kind, self._at_start(call), start_time=call.start_unix_ns)
        if self._captures and span.is_recording():
            span.set_attribute(names.INPUT_MESSAGES, _captured(call.request.content))
        return span

    def _at_start(self, call: OpenCall) -> Attributes:
        """What samplers see."""
        if call.component is not None:
            return {names.FRAMEWORK: call.component.framework}
        key = (call.provider, call.request.model, call.request.server)
        attributes = self._started.get(key)
        if attributes is None:
            attributes = identity(*key)
            if len(self._started) < 1000:
                self._started[key] = attributes
        return attributes

    def finish(self, scope: Scope, call: EmbeddingCall) -> None:
        """Say what happened, and end the span."""
        span, end = scope.span, call.start_unix_ns + call.duration_ns
        if span.is_recording():
            span.set_attributes(attributes(call))
            if call.failure is not None and not scope.covered:
                span.set_status(_FAILED)
            if self._tells_stages(call):
                self._stages(span, call)
        if not scope.covered:
            span.end(end)

    def _tells_stages(self, call: EmbeddingCall) -> bool:
        if self._stage_spans == "slow":
            return call.failure is not None or call.duration_ns >= self._slow_ns
        return self._stage_spans == "always"

    def _stages(self, span: Span, call: EmbeddingCall) -> None:
        around = set_span_in_context(span)
        own = (timing for timing in call.stages if timing.own)
        for stage, start, end, _ in islice(own, _MAX_STAGE_SPANS):
            name = names.STAGE_SPAN[stage]
            child = self._tracer.start_span(name, around, start_time=call.start_unix_ns + start)
            child.end(call.start_unix_ns + end)


def identity(provider: str, model: str | None, server: Server | None) -> Attributes:
    """The attributes that say which operation this is."""
    attributes: Attributes = {names.OPERATION: names.EMBEDDINGS, names.PROVIDER: provider}
    if model is not None:
        attributes[names.REQUEST_MODEL] = model
    if server is not None:
        attributes[names.ADDRESS], attributes[names.PORT] = server
    return attributes


def attributes(call: EmbeddingCall) -> Attributes:
    """What is known of a call when it is over."""
    found: Attributes = {}
    if call.is_leaf:
        _tell_operation(found, call)
    if call.cache is not None:
        _tell_cache(found, call)
    if call.inputs is not None:
        found[names.INPUT_COUNT] = call.inputs
    if call.failure is not None:
        found[names.ERROR_TYPE], found[names.CAUSE] = call.failure
    if call.retries:
        found[names.RETRY_COUNT] = len(call.retries)
    for stage, seconds in call.stage_seconds().items():
        found[names.STAGE_DURATION[stage]] = seconds
    return found


def _tell_operation(found: Attributes, call: EmbeddingCall) -> None:
    if call.component is not None:
        found.update(identity(call.provider, call.request_model, call.server))
    optional: Iterable[tuple[str, Any]] = (
        (names.RESPONSE_MODEL, call.response_model),
        (names.DIMENSIONS, call.dimensions),
        (names.INPUT_KIND, call.kind),
        (names.SERVER_DURATION, call.server_seconds),
        (names.REQUEST_BYTES, call.request_bytes),
        (names.RESPONSE_BYTES, call.response_bytes),
    )
    for name, value in optional:
        if value is not None:
            found[name] = value
    if call.encoding_format is not None:
        found[names.ENCODING_FORMATS] = (call.encoding_format,)
    if call.usage is not None:
        found[names.INPUT_TOKENS], found[names.USAGE_SOURCE] = call.usage
    if call.cost is not None:
        found[names.COST], found[names.COST_SOURCE] = call.cost
    if call.rate_limit is not None:
        requests, tokens = call.rate_limit
        if requests is not None:
            found[names.REMAINING_REQUESTS] = requests
        if tokens is not None:
            found[names.REMAINING_TOKENS] = tokens


def _tell_cache(found: Attributes, call: EmbeddingCall) -> None:
    cache = call.cache
    if cache is None:
        return
    found[names.CACHE_STORE], found[names.CACHE_HITS], found[names.CACHE_MISSES] = cache[:3]
    if cache.saved is not None:
        found[names.SAVED_TOKENS] = cache.saved.tokens
    if cache.saved_cost is not None:
        found[names.SAVED_COST] = cache.saved_cost.usd


def _captured(content: Any) -> str:
    """Input texts, cut short; vectors and token ids never."""
    texts = [content] if isinstance(content, str) else content if isinstance(content, (list, tuple)) else ()
    parts = [
        {"type": "text", "content": text[:_CAPTURED_CHARACTERS]}
        for text in texts[:_CAPTURED_INPUTS]
        if isinstance(text, str)
    ]
    return json.dumps([{"role": "user", "parts": parts}], ensure_ascii=False)
