"""LangChain over a local model: the work and its tokens stand on the model's call, once."""

from __future__ import annotations

from pathlib import Path

import pytest
from langchain_classic.embeddings import CacheBackedEmbeddings
from langchain_core.stores import InMemoryByteStore
from langchain_huggingface import HuggingFaceEmbeddings
from local_models import sentence_transformer, tokens

from conftest import Telemetry
from spans import stages

TEXTS = ["the cat sat", "a dog", "one two three four five"]
TOKENS = sum(map(tokens, TEXTS))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return sentence_transformer(tmp_path_factory.mktemp("models") / "tiny-bert")


def test_the_framework_delegates_to_the_model(telemetry: Telemetry, folder: str) -> None:
    embedder = HuggingFaceEmbeddings(model_name=folder)
    embedder.embed_documents(TEXTS)
    embedder.embed_query(TEXTS[0])
    calls = telemetry.spans("embeddings tiny-bert")
    parents = [telemetry.spans(f"{name} HuggingFaceEmbeddings")[0] for name in ("embed_documents", "embed_query")]
    assert [span.parent.span_id for span in calls if span.parent] == [span.context.span_id for span in parents]
    assert [span.attributes["gen_ai.usage.input_tokens"] for span in calls] == [TOKENS, tokens(TEXTS[0])]
    for span in parents:
        assert not [name for name in span.attributes if name.startswith("gen_ai.") or "padding" in name]
        assert {"tokenize", "forward", "pool"} <= set(stages(span))
    assert telemetry.total("gen_ai.client.embeddings.operation.input_tokens") == TOKENS + tokens(TEXTS[0])
    assert telemetry.total("otel_embed.inputs") == 4
    assert sum(point.count for point in telemetry.metrics()["otel_embed.local.duration"]) == 2
    assert len(telemetry.spans("load tiny-bert")) == 1


def test_a_cache_before_a_local_model_spares_its_tokens(telemetry: Telemetry, folder: str, tmp_path: Path) -> None:
    embedder = HuggingFaceEmbeddings(model_name=folder)
    store = InMemoryByteStore()
    cached = CacheBackedEmbeddings.from_bytes_store(embedder, store, namespace="n", key_encoder="sha256")
    for _ in range(2):
        cached.embed_documents(TEXTS)
    assert telemetry.total("gen_ai.client.embeddings.operation.input_tokens") == TOKENS
    assert telemetry.total("otel_embed.cache.lookups", otel_embed__cache__outcome="hit") == 3
    assert telemetry.total("otel_embed.saved.tokens") > 0
    assert "otel_embed.saved.cost" not in telemetry.metrics(), "nobody is paid"
