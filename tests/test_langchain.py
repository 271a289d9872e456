"""LangChain's embedders, of whichever line is installed, over the real openai client, with and without a cache."""

from __future__ import annotations

import inspect
import pickle
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
import tiktoken
from langchain_core.embeddings import Embeddings
from langchain_core.stores import InMemoryByteStore
from langchain_openai import OpenAIEmbeddings
from opentelemetry.sdk.trace import ReadableSpan

import otel_embed
from conftest import Telemetry, run
from fakes.openai_server import OpenAIServer

try:
    from langchain_classic.embeddings import CacheBackedEmbeddings
except ImportError:  # LangChain 0.3, where the cache is in langchain itself
    from langchain.embeddings import CacheBackedEmbeddings

SMALL = "text-embedding-3-small"


def embedder(server: OpenAIServer, **options: Any) -> OpenAIEmbeddings:
    options = {"check_embedding_ctx_length": False, **options}
    return OpenAIEmbeddings(model=SMALL, base_url=server.url, api_key="x", **options)


@pytest.fixture
def encoding(monkeypatch: pytest.MonkeyPatch) -> tiktoken.Encoding:
    """OpenAI's encoding, from the file that llama-index-core ships, as an application has it that has no network."""
    spec = find_spec("llama_index")
    assert spec is not None and spec.submodule_search_locations, "llama-index-core is among the tests' dependencies"
    folder = Path(spec.submodule_search_locations[0], "core/_static/tiktoken_cache")
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(folder))
    monkeypatch.setattr(tiktoken.registry, "ENCODINGS", {})
    return tiktoken.get_encoding("cl100k_base")


def cached(server: OpenAIServer, **options: Any) -> CacheBackedEmbeddings:
    make = CacheBackedEmbeddings.from_bytes_store
    if "key_encoder" in inspect.signature(make).parameters:
        options["key_encoder"] = "sha256"  # LangChain 0.3.0 knows only SHA-1, against which later ones warn
    return make(embedder(server), InMemoryByteStore(), namespace="n", **options)


class Handmade(Embeddings):
    """An embedder of the application's own."""

    model = "mine"

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [[float(len(text))] * 3 for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


def test_a_cache_in_front_counts_hits_and_misses_by_input(telemetry: Telemetry, server: OpenAIServer) -> None:
    it = cached(server)
    it.embed_documents(["one two", "three"])
    it.embed_documents(["one two", "three", "four"])
    run(it.aembed_documents(["four"]))
    assert telemetry.total("otel_embed.cache.lookups", otel_embed__cache__outcome="hit") == 3
    assert telemetry.total("otel_embed.cache.lookups", otel_embed__cache__outcome="miss") == 3
    first, partial, full = [span for span in telemetry.spans() if span.name.endswith("CacheBackedEmbeddings")]
    assert [first.attributes["otel_embed.cache.hits"], first.attributes["otel_embed.cache.misses"]] == [0, 2]
    assert [partial.attributes["otel_embed.cache.hits"], partial.attributes["otel_embed.cache.misses"]] == [2, 1]
    assert full.attributes["otel_embed.cache.hits"] == 1 and full.attributes["otel_embed.saved.tokens"] > 0
    assert {"otel_embed.stage.cache_lookup.duration", "otel_embed.stage.cache_write.duration"} <= set(first.attributes)
    assert first.attributes["otel_embed.cache.store"] == "InMemoryByteStore"


def test_tokens_and_cost_stand_on_the_call_that_is_billed_and_nowhere_else(
    telemetry: Telemetry, server: OpenAIServer
) -> None:
    cached(server).embed_documents(["one two", "three"])
    leaves = telemetry.spans(f"embeddings {SMALL}")
    assert leaves == [span for span in telemetry.spans() if "gen_ai.usage.input_tokens" in span.attributes]
    assert len(leaves) == server.billed.requests, "LangChain 0.3.0 makes a request of each text"
    assert telemetry.total("gen_ai.client.embeddings.operation.input_tokens") == server.billed.tokens == 3
    names = {span.context.span_id: span.name for span in telemetry.spans()}
    assert {names[leaf.parent.span_id] for leaf in leaves} == {"embed_documents OpenAIEmbeddings"}


def test_queries_are_cached_only_where_the_application_says_so(telemetry: Telemetry, server: OpenAIServer) -> None:
    plain, caching = cached(server), cached(server, query_embedding_cache=True)
    plain.embed_query("one")
    assert telemetry.total("otel_embed.cache.lookups") == 0
    caching.embed_query("one"), caching.embed_query("one")
    assert telemetry.total("otel_embed.cache.lookups", otel_embed__cache__outcome="hit") == 1


TEXTS = ["tiktoken is great!", "お誕生日おめでとう", "2 + 2 = 4"]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_texts_are_tokenized_in_a_stage_and_sent_as_tokens(
    telemetry: Telemetry, server: OpenAIServer, encoding: tiktoken.Encoding, asynchronous: bool
) -> None:
    it = embedder(server, check_embedding_ctx_length=True, embedding_ctx_length=5, chunk_size=2)
    run(it.aembed_documents(TEXTS)) if asynchronous else it.embed_documents(TEXTS)
    sent = [ids for request in server.requests for ids in request.body["input"]]
    assert [len(ids) for ids in sent] == [5, 1, 5, 4, 5, 2], "the file's own counts, cut at five"
    assert [id for ids in sent for id in ids] == [id for text in TEXTS for id in encoding.encode_ordinary(text)]
    leaves = telemetry.spans(f"embeddings {SMALL}")
    assert [leaf.attributes["otel_embed.input.kind"] for leaf in leaves] == ["tokens"] * 3
    assert [leaf.attributes["otel_embed.input.count"] for leaf in leaves] == [2, 2, 2]
    assert [leaf.attributes["gen_ai.usage.input_tokens"] for leaf in leaves] == [6, 9, 7]
    (whole,) = [span for span in telemetry.spans() if span.name.endswith("embed_documents OpenAIEmbeddings")]
    assert whole.attributes["otel_embed.input.count"] == 3
    assert whole.attributes["otel_embed.stage.tokenize.duration"] > 0
    assert not any("tokenize" in stages(leaf) for leaf in leaves)
    assert telemetry.total("gen_ai.client.embeddings.operation.input_tokens") == server.billed.tokens == 22


def stages(span: ReadableSpan) -> set[str]:
    return {name.split(".")[2] for name in span.attributes or () if name.startswith("otel_embed.stage.")}


def test_of_nothing_no_provider_is_asked(telemetry: Telemetry, server: OpenAIServer) -> None:
    embedders: list[Embeddings] = [embedder(server), cached(server), Handmade()]
    for each in embedders:
        assert each.embed_documents([]) == []
        assert run(each.aembed_documents([])) == []
    assert server.requests == []
    summary = otel_embed.summary()
    assert (summary.calls, summary.tokens, summary.unpriced_calls) == (0, 0, 0)
    assert not {"gen_ai.client.embeddings.duration", "otel_embed.cost"} & telemetry.metrics().keys()
    assert sum(row["calls"] for row in summary.document["components"]) == len(telemetry.spans()) == 6
    assert not any(name.startswith("gen_ai.") for span in telemetry.spans() for name in span.attributes or ())
    embedders[0].embed_documents(["one"])
    assert otel_embed.summary().calls == 1


def test_an_embedder_of_ones_own_is_seen_and_its_tokens_are_an_estimate(telemetry: Telemetry) -> None:
    Handmade().embed_query("12345678")
    (span,) = telemetry.spans()
    assert span.name == "embed_query Handmade"
    assert (
        span.attributes["gen_ai.usage.input_tokens"] == 2 and span.attributes["otel_embed.usage.source"] == "estimated"
    )
    assert span.attributes["gen_ai.embeddings.dimension.count"] == 3
    assert "otel_embed.cost.usd" not in span.attributes


def test_async_methods_that_fall_back_to_sync_ones_are_one_call(telemetry: Telemetry) -> None:
    assert run(Handmade().aembed_documents(["a", "b"])) == [[1.0] * 3] * 2
    assert [span.name for span in telemetry.spans()] == ["embed_documents Handmade"]


def test_a_class_defined_before_or_after_is_seen_alike(telemetry: Telemetry) -> None:
    class Later(Handmade):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return super().embed_documents(texts)

    assert Later().embed_documents(["a"]) == [[1.0] * 3]
    assert [span.name for span in telemetry.spans()] == ["embed_documents Later"]


def test_embedders_pickle_by_name_and_by_value(telemetry: Telemetry) -> None:
    assert pickle.loads(pickle.dumps(Handmade())).embed_query("abc") == [3.0] * 3

    class Local(Handmade):
        def embed_query(self, text: str) -> list[float]:
            return [0.5]

    copy = cloudpickle.loads(cloudpickle.dumps(Local()))
    telemetry.exporter.clear()
    assert copy.embed_query("abc") == [0.5]
    assert len(telemetry.spans()) == 1


def test_a_failing_embedder_fails_as_without_us(telemetry: Telemetry) -> None:
    class Failing(Handmade):
        def embed_query(self, text: str) -> list[float]:
            raise LookupError(text)

    with pytest.raises(LookupError, match="secret"):
        Failing().embed_query("secret")
    (span,) = telemetry.spans("embed_query Failing")
    assert span.attributes["error.type"] == "LookupError"
    assert "secret" not in str(dict(span.attributes)) and not span.events
