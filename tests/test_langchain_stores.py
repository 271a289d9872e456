"""LangChain's vector stores, of whichever line is installed: the time of embedding and the store's own, told apart."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Iterable
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.vectorstores import InMemoryVectorStore, VectorStore
from langchain_openai import OpenAIEmbeddings
from opentelemetry.trace import get_current_span

import otel_embed
from conftest import Telemetry, run
from fakes.faults import Fault
from fakes.openai_server import OpenAIServer

SMALL = "text-embedding-3-small"
EMBEDS, STORES = 0.03, 0.02


class Slow(Embeddings):
    """Takes its time, twice."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        time.sleep(EMBEDS)
        return [[float(len(text))] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


class Shelf(VectorStore):
    """A store of the application's own: as little of one as LangChain allows, slow as well."""

    def __init__(self, embedding: Embeddings) -> None:
        self._embedding = embedding
        self._texts: list[str] = []

    def add_texts(self, texts: Iterable[str], metadatas: Any = None, **options: Any) -> list[str]:
        given = list(texts)
        self._embedding.embed_documents(given[:1])
        self._embedding.embed_documents(given[1:])
        time.sleep(STORES)
        self._texts += given
        return given

    def similarity_search(self, query: str, k: int = 4, **options: Any) -> list[Document]:
        self._embedding.embed_query(query)
        time.sleep(STORES)
        return [Document(text) for text in self._texts[:k]]

    @classmethod
    def from_texts(cls, texts: list[str], embedding: Embeddings, metadatas: Any = None, **options: Any) -> Shelf:
        it = cls(embedding)
        it.add_texts(texts)
        return it


def embedder(server: OpenAIServer) -> OpenAIEmbeddings:
    return OpenAIEmbeddings(model=SMALL, base_url=server.url, api_key="x", check_embedding_ctx_length=False)


DOCUMENTS = [Document("one two"), Document("three"), Document("four")]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_writes_and_searches_are_spans_over_the_embedding_calls(
    telemetry: Telemetry, server: OpenAIServer, asynchronous: bool
) -> None:
    store = InMemoryVectorStore(embedder(server))
    if asynchronous:
        run(store.aadd_documents(DOCUMENTS))
        found = run(InMemoryVectorStore(embedder(server)).asimilarity_search("one"))
        assert found == []
        found = store.similarity_search("one", k=2)
    else:
        store.add_documents(DOCUMENTS)
        found = store.similarity_search("one", k=2)
    assert len(found) == 2
    write = telemetry.spans(f"{'a' * asynchronous}add_documents InMemoryVectorStore")[0]
    search = telemetry.spans("similarity_search InMemoryVectorStore")[0]
    for span, documents in ((write, 3), (search, 2)):
        attributes = dict(span.attributes)
        assert 0 < attributes.pop("otel_embed.store.duration") < (span.end_time - span.start_time) / 1e9
        assert attributes == {"otel_embed.framework": "langchain", "otel_embed.store.document.count": documents}
        assert span.kind.name == "INTERNAL" and span.status.status_code.name == "UNSET" and span.parent is None
    method = "aembed_documents" if asynchronous else "embed_documents"
    (embedding,) = telemetry.spans(f"{method} OpenAIEmbeddings")
    assert embedding.parent.span_id == write.context.span_id
    assert telemetry.total("gen_ai.client.embeddings.operation.input_tokens") == server.billed.tokens


def test_the_stores_own_time_is_without_that_of_embedding(telemetry: Telemetry) -> None:
    store = Shelf(Slow())
    with otel_embed.track() as usage:
        store.add_documents(DOCUMENTS)
    store.similarity_search("query")
    points = telemetry.metrics()["otel_embed.store.duration"]
    for method, embeds in (("add_documents", 2 * EMBEDS), ("similarity_search", EMBEDS)):
        (span,) = telemetry.spans(f"{method} Shelf")
        own, whole = span.attributes["otel_embed.store.duration"], (span.end_time - span.start_time) / 1e9
        assert STORES <= own < whole - embeds + 1e-3
        (point,) = [each for each in points if each.attributes["otel_embed.store.operation"] == method]
        assert dict(point.attributes) == {
            "otel_embed.framework": "langchain",
            "otel_embed.framework.class": "Shelf",
            "otel_embed.store.operation": method,
        }
        assert point.sum == pytest.approx(own) and point.count == 1
        assert point.exemplars[0].span_id == span.context.span_id
    assert usage.calls == 2, "blocks around an operation hear of its embedding calls as well"


@pytest.mark.parametrize("step", [-3600, 3600])
def test_a_clock_that_is_set_meanwhile_does_not_change_that(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    now, ahead = time.time_ns, [0]
    monkeypatch.setattr(time, "time_ns", lambda: now() + ahead[0])

    class Sets(Slow):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            ahead[0] += step * 10**9
            return super().embed_documents(texts)

    Shelf(Sets()).add_texts(["a", "b"])
    (operation,) = telemetry.spans("add_texts Shelf")
    whole = (operation.end_time - operation.start_time) / 1e9
    assert whole >= 2 * EMBEDS + STORES
    assert STORES <= operation.attributes["otel_embed.store.duration"] <= whole - 2 * EMBEDS


def test_a_chat_call_that_a_store_makes_is_counted_and_measured(telemetry: Telemetry) -> None:
    said = AIMessage("of cats", usage_metadata={"input_tokens": 3, "output_tokens": 2, "total_tokens": 5})

    class Contextual(Shelf):
        def add_texts(self, texts: Iterable[str], metadatas: Any = None, **options: Any) -> list[str]:
            model = GenericFakeChatModel(messages=iter([said, said]))
            return super().add_texts([f"{model.invoke(text).content}: {text}" for text in texts], metadatas, **options)

    with otel_embed.track() as usage:
        Contextual(Slow()).add_texts(["one", "two"])
    assert (usage.chat_calls, usage.input_tokens, usage.output_tokens, usage.calls) == (2, 6, 4, 2)
    (durations,) = telemetry.metrics()["gen_ai.client.operation.duration"]
    assert durations.count == len(telemetry.spans("chat")) == 2
    assert telemetry.total("gen_ai.client.token.usage") == 10


def test_what_a_store_does_with_its_own_methods_is_one_operation(telemetry: Telemetry) -> None:
    made = Shelf.from_documents(DOCUMENTS, Slow())
    assert made._texts == ["one two", "three", "four"]
    run(made.aadd_documents(DOCUMENTS[:1]))
    assert len(run(made.as_retriever().ainvoke("query"))) == 4
    names = [span.name for span in telemetry.spans() if span.name.endswith("Shelf")]
    assert names == ["from_documents Shelf", "aadd_documents Shelf", "asimilarity_search Shelf"]
    counts = [span.attributes["otel_embed.store.document.count"] for span in telemetry.spans() if "Shelf" in span.name]
    assert counts == [3, 1, 4]


def test_texts_that_can_be_walked_once_are_left_alone(telemetry: Telemetry) -> None:
    assert Shelf(Slow()).add_texts(text for text in ("a", "b")) == ["a", "b"]
    (span,) = telemetry.spans("add_texts Shelf")
    assert span.attributes["otel_embed.store.document.count"] == 2


def test_a_failure_passes_through(telemetry: Telemetry, server: OpenAIServer) -> None:
    server.script([Fault(status=400)])
    with pytest.raises(Exception, match="400") as raised:
        InMemoryVectorStore(embedder(server)).add_documents([Document("secret")])
    (span,) = telemetry.spans("add_documents InMemoryVectorStore")
    assert span.status.status_code.name == "ERROR" and span.status.description is None
    assert span.attributes["error.type"] == "400" and span.attributes["otel_embed.error.cause"] == "invalid_input"
    assert "otel_embed.store.document.count" not in span.attributes
    assert not span.events and "secret" not in str(dict(span.attributes)), raised
    (point,) = telemetry.metrics()["otel_embed.store.duration"]
    assert point.attributes["error.type"] == "400"


def test_methods_stay_what_they_were(telemetry: Telemetry) -> None:
    observed = VectorStore.__dict__["add_documents"]
    assert inspect.signature(VectorStore.add_documents) == inspect.signature(inspect.unwrap(observed))
    assert inspect.ismethod(Shelf.from_texts) and Shelf.from_texts.__self__ is Shelf
    otel_embed.uninstrument()
    assert VectorStore.__dict__["add_documents"] is not observed
    Shelf.from_texts(["a", "b"], Slow())
    assert telemetry.spans() == []


def test_nothing_is_told_where_instrumentation_is_suppressed(telemetry: Telemetry) -> None:
    from opentelemetry.instrumentation.utils import suppress_instrumentation

    with suppress_instrumentation():
        Shelf(Slow()).add_documents(DOCUMENTS)
    assert telemetry.spans() == []


def test_a_search_that_is_thrown_away_leaves_its_context(telemetry: Telemetry) -> None:
    class Waits(Slow):
        async def aembed_query(self, text: str) -> list[float]:
            await asyncio.get_running_loop().create_future()
            return []

    async def work() -> None:
        with telemetry.tracers.get_tracer("application").start_as_current_span("around") as around:
            searching: Any = InMemoryVectorStore(Waits()).asimilarity_search("one")
            searching.send(None)
            assert get_current_span() is not around
            searching.close()
            assert get_current_span() is around

    run(work())
    assert telemetry.spans("asimilarity_search InMemoryVectorStore")
