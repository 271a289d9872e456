"""What a span says."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from conftest import Telemetry


def calls(telemetry: Telemetry) -> list[ReadableSpan]:
    """The spans of calls, without those of the stages of slow and failed ones."""
    return [span for span in telemetry.spans() if span.attributes]


def stages(span: ReadableSpan) -> dict[str, float]:
    """Seconds by stage; they add up to the span's duration."""
    found = {name.split(".")[2]: value for name, value in span.attributes.items() if ".stage." in name}
    assert sum(found.values()) == pytest.approx((span.end_time - span.start_time) / 1e9, abs=1e-6)
    return found


def is_late(stages: dict[str, float], stage: str, delay: float) -> bool:
    """True where a delay is in this stage and no other one took as long: a busy machine adds to each of them, and may
    see late that a stage has begun."""
    others = [seconds for name, seconds in stages.items() if name != stage]
    return stages[stage] > 0.5 * delay and stages[stage] > max(others)


def told(span: ReadableSpan) -> dict[str, Any]:
    """Its attributes but for its stages, which add up to its duration."""
    stages(span)
    return {name: value for name, value in span.attributes.items() if ".stage." not in name}


def whole(span: ReadableSpan) -> dict[str, Any]:
    """Its attributes but for what is measured: times, which add up, and sizes of bodies, which there are."""
    found = told(span)
    for name in ("http.request.body.size", "http.response.body.size"):
        assert found.pop(name) > 0
    return found


def usage(span: ReadableSpan) -> tuple[Any, Any]:
    """Tokens and where they come from; None for what is not told."""
    return span.attributes.get("gen_ai.usage.input_tokens"), span.attributes.get("otel_embed.usage.source")
