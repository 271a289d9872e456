"""A sampler, a processor or an exporter of others raises: the application sees nothing of it, and all is counted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from langchain_core.documents import Document
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.sampling import Sampler
from prometheus_client import CollectorRegistry, generate_latest

import otel_embed
from clients import SMALL
from conftest import Telemetry
from fakes.openai_server import OpenAIServer


class Raises(SpanProcessor):
    def __init__(self, when: str) -> None:
        self._when = when

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        if self._when == "start":
            raise ValueError("of another")

    def on_end(self, span: Any) -> None:
        if self._when == "end":
            raise ValueError("of another")


class RaisingSampler(Sampler):
    def should_sample(self, *args: Any, **kwargs: Any) -> Any:
        raise ValueError("of another")

    def get_description(self) -> str:
        return "raises"


@pytest.fixture(params=["sampler", "start", "end"])
def broken(request: pytest.FixtureRequest) -> Iterator[Telemetry]:
    telemetry = Telemetry(RaisingSampler() if request.param == "sampler" else None)
    telemetry.tracers.add_span_processor(Raises(request.param))
    telemetry.instrument()
    yield telemetry
    otel_embed.uninstrument()


def test_calls(broken: Telemetry, server: OpenAIServer) -> None:
    with openai.OpenAI(base_url=server.url, api_key="x", max_retries=0) as it:
        answers = [it.embeddings.create(model=SMALL, input=["one two"] * n, dimensions=4) for n in (1, 2, 3)]
    assert [len(answer.data) for answer in answers] == [1, 2, 3]
    assert broken.total("gen_ai.client.embeddings.operation.input_tokens") == server.billed.tokens
    assert broken.total("otel_embed.cost") == pytest.approx(server.billed.tokens * 2e-8)
    (point,) = broken.metrics()["gen_ai.client.embeddings.duration"]
    assert point.count == 3


def test_chat_calls(broken: Telemetry, server: OpenAIServer) -> None:
    options: Any = {"base_url": server.url, "api_key": "x", "model": "gpt-4o-mini", "max_retries": 0}
    assert ChatOpenAI(**options).invoke("one two").content
    points = broken.metrics()["gen_ai.client.token.usage"]
    assert sum(point.sum for point in points) > 0
    assert broken.total("otel_embed.cost") > 0


def test_text_that_cannot_be_written(telemetry: Telemetry, server: OpenAIServer) -> None:
    """JSON from a user can hold half of a surrogate pair; with it in a label, no metric would be scraped any more."""
    (half,) = json.loads('["\\ud800"]')
    registry = CollectorRegistry()
    meters = MeterProvider([PrometheusMetricReader(registry=registry)], shutdown_on_exit=False)
    otel_embed.uninstrument()
    otel_embed.instrument(meter_provider=meters)
    options: Any = {"base_url": server.url, "api_key": "x", "max_retries": 0}
    with openai.OpenAI(**options) as it, otel_embed.attribute(tenant=f"a{half}"):
        it.embeddings.create(model=SMALL, input="one")
        with pytest.raises(UnicodeEncodeError):
            it.embeddings.create(model=f"m{half}", input="one")
    with pytest.raises(UnicodeEncodeError):
        OpenAIEmbeddings(model=f"n{half}", check_embedding_ctx_length=False, **options).embed_query("one")
    page = generate_latest(registry).decode()
    assert 'tenant="a?"' in page and 'gen_ai_request_model="m?"' in page and 'gen_ai_request_model="n?"' in page


def test_stores(broken: Telemetry, server: OpenAIServer) -> None:
    options: Any = {"base_url": server.url, "api_key": "x", "model": SMALL, "check_embedding_ctx_length": False}
    store = InMemoryVectorStore(OpenAIEmbeddings(**options))
    store.add_documents([Document("one two")])
    assert store.similarity_search("one", k=1)
    points = broken.metrics()["otel_embed.store.duration"]
    assert sum(point.count for point in points) == 2
    assert broken.total("gen_ai.client.embeddings.operation.input_tokens") == server.billed.tokens
