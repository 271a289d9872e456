"""Beside OpenTelemetry's own instrumentation of openai, one operation is one span and counted once."""

from __future__ import annotations

import openai
import pytest
from conftest import Telemetry
from fakes.openai_server import OpenAIServer
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor


@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_one_operation_is_one_span(telemetry: Telemetry, server: OpenAIServer, first: str) -> None:
    theirs = OpenAIInstrumentor()
    if first == "theirs":
        import otel_embed

        otel_embed.uninstrument()
    theirs.instrument(tracer_provider=telemetry.tracers, meter_provider=telemetry.meters, skip_dep_check=True)
    try:
        telemetry.instrument() if first == "theirs" else None
        with openai.OpenAI(base_url=server.url, api_key="x") as client:
            client.embeddings.create(model="text-embedding-3-small", input=["one", "two"])
    finally:
        theirs.uninstrument()
    (span,) = telemetry.spans()
    assert span.attributes["otel_embed.cost.usd"] == 4e-08
    metrics = telemetry.metrics()
    durations = [name for name in metrics if name.endswith(("embeddings.duration", "client.operation.duration"))]
    assert sum(point.count for name in durations for point in metrics[name]) == 1
