"""A run of a component, or a chat call, as a span."""

from __future__ import annotations

from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer

from otel_embed.observe import OPEN_CALL
from otel_embed.record import Failure
from otel_embed.report import coexist, names
from otel_embed.report.content import written
from otel_embed.report.dimensions import Attributes
from otel_embed.report.span_ends import begun, ended
from otel_embed.report.spans import SPAN
from otel_embed.run_record import ChatCall, ChatRequest, ComponentRun, Messages
from otel_embed.runs import OPEN_RUN, OpenRun

_FAILED = Status(StatusCode.ERROR)  # without a description: an exception's text can hold what the application asked
_CAPTURED_MESSAGES, _CAPTURED_CHARACTERS = 16, 1024
_VERBS = {"chain": names.INVOKE, "retriever": names.RETRIEVAL, "tool": names.EXECUTE_TOOL}


class RunSpans:
    def __init__(self, tracer: Tracer, captures: bool) -> None:
        self._tracer = tracer
        self._captures = captures

    def begin(self, run: OpenRun, around: Context) -> Context:
        """Start the span of a run; returns the context in which it goes on."""
        request = run.request
        if run.covered:
            return Context({**around, OPEN_RUN: run})
        if request is not None:
            title = f"{request.operation} {request.model}" if request.model else request.operation
            kind, about = SpanKind.CLIENT, _asked(request)
        else:
            verb = _VERBS[run.began.kind or "chain"]
            title, kind, about = f"{verb} {run.began.name}", SpanKind.INTERNAL, _component(run, verb)
        if run.attribution:
            about = {**about, **dict(run.attribution)}
        span = begun(self._tracer, title, around, kind, about, run.start_unix_ns)
        run.span = span if span.is_recording() else None
        if self._captures and run.span is not None and request is not None and request.content is not None:
            span.set_attribute(names.INPUT_MESSAGES, _captured(request.content()))
        marks: dict[str, Any] = {}
        if request is not None:
            # What the model's client sends is no part of an embedding call that this run may be inside of.
            marks = {OPEN_CALL: None, **coexist.chat_marks()}
        return Context({**around, SPAN: span, OPEN_RUN: run, **marks})

    def finish_run(self, run: OpenRun, record: ComponentRun) -> None:
        self._end(run, record.failure, {})

    def finish_chat(self, run: OpenRun, record: ChatCall) -> None:
        if self._captures and run.reply.content is not None and record.failure is None:
            run.span.set_attribute(names.OUTPUT_MESSAGES, _captured(run.reply.content(), record.finish_reasons))
        self._end(run, record.failure, answered(record))

    def _end(self, run: OpenRun, failure: Failure | None, attributes: Attributes) -> None:
        span = run.span
        if failure is not None:
            attributes = {**attributes, names.ERROR_TYPE: failure.type, names.CAUSE: failure.cause}
            span.set_status(_FAILED)
        span.set_attributes(attributes)
        ended(span, run.start_unix_ns + run.end - run.start)


def _component(run: OpenRun, verb: str) -> Attributes:
    began = run.began
    about: Attributes = {
        names.FRAMEWORK: began.framework,
        names.COMPONENT: began.name,
        names.COMPONENT_KIND: began.kind or "chain",
    }
    if verb == names.RETRIEVAL:
        about |= {names.OPERATION: verb, names.DATA_SOURCE: began.name}
    elif verb == names.EXECUTE_TOOL:
        about |= {names.OPERATION: verb, names.TOOL_NAME: began.name}
    return about


def _asked(request: ChatRequest) -> Attributes:
    about: Attributes = {names.OPERATION: request.operation, names.PROVIDER: request.provider}
    if request.model is not None:
        about[names.REQUEST_MODEL] = request.model
    if request.server is not None:
        about[names.ADDRESS], about[names.PORT] = request.server
    for name, value in request.parameters:
        about[names.REQUEST_PARAMETER + name] = value
    return about


def answered(call: ChatCall) -> Attributes:
    """What is known of a chat call when it is over."""
    usage = call.usage
    found: dict[str, Any] = {
        names.FRAMEWORK: call.component.framework,
        names.COMPONENT: call.component.name,
        names.RESPONSE_MODEL: call.response_model,
        names.RESPONSE_ID: call.response_id,
        names.FINISH_REASONS: call.finish_reasons or None,
        names.OUTPUT_RATE_ATTRIBUTE: call.output_rate if call.is_leaf else None,
    }
    if usage is not None:
        found |= {
            names.INPUT_TOKENS: usage.input_tokens,
            names.OUTPUT_TOKENS: usage.output_tokens,
            names.CACHED_TOKENS: usage.cached_tokens,
            names.CACHE_WRITTEN_TOKENS: usage.cache_written_tokens,
            names.REASONING_TOKENS: usage.reasoning_tokens,
            names.USAGE_SOURCE: "reported",
        }
    if call.cost is not None:
        found[names.COST], found[names.COST_SOURCE] = call.cost
    if call.first_token_ns is not None:
        found[names.TIME_TO_FIRST_CHUNK], found[names.REQUEST_STREAM] = call.first_token_ns / 1e9, True
    _tell_cache(found, call)
    return {name: value for name, value in found.items() if value is not None}


def _tell_cache(found: dict[str, Any], call: ChatCall) -> None:
    cache = call.cache
    if cache is None:
        return
    found[names.CACHE_STORE], found[names.CACHE_OUTCOME] = cache.store, "hit" if cache.hit else "miss"
    if cache.lookup_ns:
        found[names.LOOKUP_DURATION] = cache.lookup_ns / 1e9
    if cache.write_ns:
        found[names.WRITE_DURATION] = cache.write_ns / 1e9
    if cache.saved is not None:
        found[names.SAVED_TOKENS] = cache.saved.total
    if cache.saved_cost is not None:
        found[names.SAVED_COST] = cache.saved_cost.usd


def _captured(messages: Messages, finish_reasons: tuple[str, ...] = ()) -> str:
    """Messages in the convention's form, cut short."""
    shown: list[dict[str, Any]] = [
        {"role": role, "parts": [{"type": "text", "content": text[:_CAPTURED_CHARACTERS]}]}
        for role, text in messages[:_CAPTURED_MESSAGES]
    ]
    for message, reason in zip(shown, finish_reasons):
        message["finish_reason"] = reason
    return written(shown)
