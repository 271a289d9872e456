"""A log line for each call, for those who have no backend yet."""

from __future__ import annotations

import json
import logging
from typing import Any

from opentelemetry.trace import SpanContext, format_span_id, format_trace_id

from otel_embed.config import CallLog
from otel_embed.late_logger import LateLogger
from otel_embed.record import EmbeddingCall
from otel_embed.report import names
from otel_embed.report.spans import attributes, identity

_logger = LateLogger("otel_embed.calls")


class LogReport:
    """``text`` for eyes, ``json`` with the names of the span's attributes for machines, and that span's ids."""

    def __init__(self, form: CallLog) -> None:
        self._line = _as_json if form == "json" else _as_text

    def __call__(self, call: EmbeddingCall, span: Any) -> None:
        """``span`` is the context of the span that records the call; None where none does."""
        level = logging.INFO if call.failure is None else logging.WARNING
        if _logger.is_on(level):
            _logger.log(level, "%s", self._line(call, span))


def _as_text(call: EmbeddingCall, span: Any) -> str:
    where = (
        f"{call.component.method} {call.component.name}" if call.component else f"{call.provider} {call.model or '?'}"
    )
    parts = [f"{where}: {1e3 * call.seconds:.1f} ms"]
    if call.inputs is not None:
        parts.append(f"{call.inputs} inputs")
    if call.usage is not None:
        parts.append(f"{call.usage.tokens} tokens ({call.usage.source})")
    if call.cost is not None:
        parts.append(f"${call.cost.usd:.8f}")
    if call.cache is not None:
        parts.append(f"cache {call.cache.hits} hits {call.cache.misses} misses")
    if call.retries:
        parts.append(f"{len(call.retries)} retries")
    if call.failure is not None:
        parts.append(f"failed: {call.failure.cause} ({call.failure.type})")
    stages = " ".join(f"{stage} {1e3 * seconds:.1f}" for stage, seconds in call.stage_seconds().items())
    return f"{', '.join(parts)} [{stages}]"


def _as_json(call: EmbeddingCall, span: Any) -> str:
    who = (
        {}
        if call.component is None
        else {names.FRAMEWORK: call.component.framework, names.COMPONENT: call.component.name}
    )
    ids = (
        {"trace_id": format_trace_id(span.trace_id), "span_id": format_span_id(span.span_id)}
        if isinstance(span, SpanContext)
        else {}
    )
    whole = {**who, **identity(call.provider, call.request_model, call.server), **attributes(call)}
    return json.dumps({**ids, "duration": call.seconds, **whole, **dict(call.attribution)})
