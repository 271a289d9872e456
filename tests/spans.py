"""What a span says."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan


def stages(span: ReadableSpan) -> dict[str, float]:
    """Seconds by stage; they add up to the span's duration."""
    found = {name.split(".")[2]: value for name, value in span.attributes.items() if ".stage." in name}
    assert sum(found.values()) == pytest.approx((span.end_time - span.start_time) / 1e9, abs=1e-6)
    return found


def whole(span: ReadableSpan) -> dict[str, Any]:
    """Its attributes but for what is measured: times, which add up, and sizes of bodies, which there are."""
    stages(span)
    told = {name: value for name, value in span.attributes.items() if ".stage." not in name}
    for name in ("http.request.body.size", "http.response.body.size"):
        assert told.pop(name) > 0
    return told
