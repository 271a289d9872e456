"""Beside other instrumentations, one operation is one span of ours and counted once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context as ContextOfVariables
from contextvars import ContextVar
from typing import Any

import httpx2
import openai
import pytest
import wrapt
from langchain_openai import OpenAIEmbeddings
from openai.resources.embeddings import AsyncEmbeddings, Embeddings
from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.trace import Span

import otel_embed
from conftest import Telemetry
from fakes.cohere_server import CohereServer
from fakes.faults import Fault
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


def test_a_call_that_was_thrown_away_marks_nothing_for_those_after_it(telemetry: Telemetry) -> None:
    import opentelemetry.util.genai._embedding_invocation  # noqa: F401 - so that our spans are marked for theirs

    async def answer(request: Any) -> Any:
        if request.headers.get("x-wait"):
            await asyncio.get_running_loop().create_future()
        return httpx2.Response(400, json={})

    async def work() -> None:
        http = httpx2.AsyncClient(transport=httpx2.MockTransport(answer))
        client = openai.AsyncOpenAI(base_url="http://openai.invalid/v1", api_key="x", http_client=http)
        asked: Any = {"model": "text-embedding-3-small", "input": "one two"}
        with pytest.raises(openai.BadRequestError):  # with all that a client looks up once
            await client.embeddings.create(**asked)
        waiting: Any = client.embeddings.create(**asked, extra_headers={"x-wait": "yes"})
        waiting.send(None)
        ContextOfVariables().run(waiting.close)
        with pytest.raises(openai.BadRequestError):
            await client.embeddings.create(**asked)

    asyncio.run(work())
    assert len(telemetry.spans("embeddings text-embedding-3-small")) == 3


class LikeLogfires(MeterProvider):
    """Equal to others by what it holds, and without a hash."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LikeLogfires)

    __hash__ = None  # type: ignore[assignment]


def test_a_meter_provider_need_have_no_hash(server: OpenAIServer) -> None:
    for text in ("one two", "three"):
        telemetry = Telemetry()
        telemetry.reader = InMemoryMetricReader()
        telemetry.meters = LikeLogfires(metric_readers=[telemetry.reader], shutdown_on_exit=False)
        for _ in range(2):
            telemetry.instrument()
            with openai.OpenAI(base_url=server.url, api_key="x") as client:
                client.embeddings.create(model="text-embedding-3-small", input=text)
        assert telemetry.total("gen_ai.client.embeddings.operation.input_tokens") == 2 * len(text.split())


def test_a_request_is_seen_though_another_suppresses_all_below_its_span(
    telemetry: Telemetry, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = openai.OpenAI.request

    def like_logfires(*args: Any, **kwargs: Any) -> Any:
        with suppress_instrumentation():
            httpx2.post(f"{elsewhere.url}/v1/traces")  # as an exporter would
            return request(*args, **kwargs)

    monkeypatch.setattr(openai.OpenAI, "request", like_logfires)
    fault = Fault(429, attempts=1, retry_after=0.01)
    with OpenAIServer() as elsewhere, openai.OpenAI(base_url=server.url, api_key="x") as client:
        client.embeddings.create(model="text-embedding-3-small", input="one", extra_headers=fault.header)
    (span,) = telemetry.spans()
    assert span.attributes["otel_embed.retry.count"] == 1
    assert span.attributes["otel_embed.stage.wait.duration"] > 0
    assert span.attributes["otel_embed.rate_limit.remaining.requests"]
    assert (len(server.requests), len(elsewhere.requests)) == (2, 1)


class LikeDatadogs:
    """A runtime context of which a span comes back and nothing else, and which detaches nothing."""

    def __init__(self) -> None:
        self._span: ContextVar[Span] = ContextVar("span", default=trace.INVALID_SPAN)

    def attach(self, attached: Context) -> object:
        self._span.set(trace.get_current_span(attached))
        return object()

    def get_current(self) -> Context:
        span: Any = self._span.get()
        while getattr(span, "end_time", None) is not None:
            span = trace.NonRecordingSpan(span.parent) if span.parent else trace.INVALID_SPAN
        return Context() if span is trace.INVALID_SPAN else trace.set_span_in_context(span, Context())

    def detach(self, token: object) -> None:
        pass


def test_a_runtime_context_that_keeps_nothing_but_spans_counts_each_call_once(
    telemetry: Telemetry, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = LikeDatadogs()
    monkeypatch.setattr(context, "_RUNTIME_CONTEXT", theirs)
    telemetry.instrument()
    embedder = OpenAIEmbeddings(
        model="text-embedding-3-small", base_url=server.url, api_key="x", check_embedding_ctx_length=False
    )
    with otel_embed.track() as usage, otel_embed.attribute(tenant="acme"):
        embedder.embed_documents(["one", "two"])
        embedder.embed_query("three")
    embedder.embed_query("four")
    assert telemetry.total("gen_ai.client.embeddings.operation.input_tokens") == server.billed.tokens == 4
    assert (usage.calls, usage.tokens) == (2, 3)
    spans = {span.context.span_id: span for span in telemetry.spans()}
    parents = [(span.name, spans[span.parent.span_id].name if span.parent else None) for span in spans.values()]
    call, documents, query = "embeddings text-embedding-3-small", *(f"{method} OpenAIEmbeddings" for method in METHODS)
    assert parents == [(call, documents), (documents, None), *[(call, query), (query, None)] * 2]
    assert [span.attributes.get("tenant") for span in spans.values()] == ["acme"] * 4 + [None] * 2
    otel_embed.uninstrument()
    assert vars(context)["_RUNTIME_CONTEXT"] is theirs


METHODS = ("embed_documents", "embed_query")


def test_a_pool_whose_methods_another_wraps_as_methods_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """As opentelemetry-instrumentation-threading wraps them: by wrapt, whose wrapper asks which pool it is."""
    seen: list[Any] = []

    def around(submit: Any, pool: Any, args: Any, kwargs: Any) -> Any:
        seen.append(pool)
        return submit(*args, **kwargs)

    otel_embed.uninstrument()
    monkeypatch.setattr(ThreadPoolExecutor, "submit", wrapt.FunctionWrapper(ThreadPoolExecutor.submit, around))
    telemetry = Telemetry()
    telemetry.instrument()
    with ThreadPoolExecutor(1) as pool, OpenAIServer() as server:
        assert pool.submit(len, "one").result() == 3
        client = openai.OpenAI(base_url=server.url, api_key="x")
        with client.embeddings.with_streaming_response.create(model="text-embedding-3-small", input="one") as answer:
            assert pool.submit(answer.read).result()
        assert seen.count(pool) == 2
    otel_embed.uninstrument()
    assert telemetry.total("gen_ai.client.embeddings.operation.input_tokens") == 1
