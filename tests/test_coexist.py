"""Beside OpenTelemetry's own instrumentation of openai, one operation is one span and counted once."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest
from openai.resources.embeddings import AsyncEmbeddings, Embeddings
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor

import otel_embed
from conftest import Telemetry
from fakes.cohere_server import CohereServer
from fakes.openai_server import OpenAIServer


@pytest.fixture(autouse=True)
def originals() -> Iterator[None]:
    """Their way of unwrapping knows only the outermost wrapper, so what they leave behind is put back here."""
    otel_embed.uninstrument()
    before = [(resource, vars(resource)["create"]) for resource in (Embeddings, AsyncEmbeddings)]
    yield
    otel_embed.uninstrument()
    for resource, create in before:
        setattr(resource, "create", create)


@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_one_operation_is_one_span(telemetry: Telemetry, server: OpenAIServer, first: str) -> None:
    theirs = OpenAIInstrumentor()
    if first == "theirs":
        otel_embed.uninstrument()
    theirs.instrument(tracer_provider=telemetry.tracers, meter_provider=telemetry.meters, skip_dep_check=True)
    try:
        if first == "theirs":
            telemetry.instrument()
        with openai.OpenAI(base_url=server.url, api_key="x") as client:
            client.embeddings.create(model="text-embedding-3-small", input=["one", "two"])
    finally:
        theirs.uninstrument()
    (span,) = telemetry.spans()
    assert span.attributes["otel_embed.cost.usd"] == 4e-08
    metrics = telemetry.metrics()
    durations = [name for name in metrics if name.endswith(("embeddings.duration", "client.operation.duration"))]
    assert sum(point.count for name in durations for point in metrics[name]) == 1


def test_the_parts_of_a_call_have_spans_of_their_own(telemetry: Telemetry) -> None:
    import cohere
    import opentelemetry.util.genai._embedding_invocation  # noqa: F401 - so that our spans are marked for theirs

    with CohereServer() as server:
        client = cohere.Client(api_key="x", base_url=server.origin)
        client.embed(texts=["one"] * 100, model="embed-english-v3.0", input_type="search_document")
    tokens = [span.attributes.get("gen_ai.usage.input_tokens") for span in telemetry.spans()]
    assert sorted(tokens[:-1]) == [4, 96] and tokens[-1] is None
    assert telemetry.total("gen_ai.client.embeddings.operation.input_tokens") == 100
