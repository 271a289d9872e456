"""LangChain embedders, the application's own included, and the cache that can stand before them; and its chains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from otel_embed.endpoints import provider_of
from otel_embed.frameworks.langchain_chat import CACHED, HOOKS
from otel_embed.identity import identity
from otel_embed.provider import Arguments, Call, Lookup, Provider, Timed
from otel_embed.reading import dimensions, first, text
from otel_embed.record import Component, Reply, Request

_BY_PACKAGE = {
    "langchain_aws": "aws.bedrock",
    "langchain_cohere": "cohere",
    "langchain_fireworks": "fireworks",
    "langchain_google_genai": "gcp.gemini",
    "langchain_google_vertexai": "gcp.vertex_ai",
    "langchain_huggingface": "huggingface",
    "langchain_mistralai": "mistral_ai",
    "langchain_nomic": "nomic",
    "langchain_ollama": "ollama",
    "langchain_openai": "openai",
    "langchain_together": "together",
    "langchain_voyageai": "voyage",
}
_MODEL_NAMES = ("model", "model_name", "model_id", "model_uri", "deployment")


def _component(method: str) -> Callable[[Arguments], Component]:
    return lambda call: Component("langchain", type(call.instance).__name__, method)


def _documents(call: Arguments) -> Request:
    texts = call.get("texts", 0)
    return _request(call.instance, len(texts) if isinstance(texts, (list, tuple)) else None, texts)


def _query(call: Arguments) -> Request:
    return _request(call.instance, 1, call.get("text", 0))


def _request(embedder: Any, inputs: int | None, content: Any) -> Request:
    embedder = getattr(embedder, "underlying_embeddings", embedder)
    return Request(model=_model(embedder), inputs=inputs, kind="text", provider=_provider(embedder), content=content)


def _model(embedder: Any) -> str | None:
    names = (getattr(embedder, name, None) for name in _MODEL_NAMES)
    return next(filter(None, map(text, names)), None)


def _provider(embedder: Any) -> str | None:
    """Who does an embedder's work, as far as its class tells; the call below, where one is seen, knows better."""
    kind = type(embedder)
    if kind.__name__.startswith("Azure"):
        return "azure.ai.openai"
    client = getattr(getattr(embedder, "client", None), "_client", None)
    host = getattr(getattr(client, "_base_url", None), "host", None)
    return (provider_of(host) if isinstance(host, str) else None) or _BY_PACKAGE.get(kind.__module__.partition(".")[0])


def _vectors(vectors: Any) -> Reply:
    return Reply(
        vectors=len(vectors) if isinstance(vectors, (list, tuple)) else None, dimensions=dimensions(first(vectors))
    )


def _vector(vector: Any) -> Reply:
    return Reply(vectors=1, dimensions=dimensions(vector))


def _lookup(call: Arguments, values: Any, embedder: Any) -> Lookup | None:
    """What an embedder's own cache knew of each text; None for a store that is not its cache."""
    store = call.instance
    if store is not getattr(embedder, "document_embedding_store", None) and store is not getattr(
        embedder, "query_embedding_store", None
    ):
        return None
    hits: list[tuple[int, int]] = []
    misses: list[tuple[int, int]] = []
    for key, value in zip(call.get("keys", 0), values):
        (misses if value is None else hits).append((hash(key), len(key)))
    known, unknown = (sum(length for _, length in texts) for texts in (hits, misses))
    who = identity(getattr(embedder, "underlying_embeddings", embedder))
    return Lookup(_store_name(store), len(hits), len(misses), known, unknown, tuple(hits), tuple(misses), who)


def _store_name(store: Any) -> str:
    inner = getattr(store, "store", store) if type(store).__name__ == "EncoderBackedStore" else store
    return type(inner).__name__


_EMBEDDINGS = "langchain_core.embeddings.embeddings:Embeddings"
_STORE = "langchain_core.stores:BaseStore"

CORE = Provider(
    name="langchain",
    requires="langchain-core>=0.3,<2",
    calls=(
        Call(f"{_EMBEDDINGS}.embed_documents", _documents, _vectors, _component("embed_documents"), subclasses=True),
        Call(f"{_EMBEDDINGS}.aembed_documents", _documents, _vectors, _component("aembed_documents"), subclasses=True),
        Call(f"{_EMBEDDINGS}.embed_query", _query, _vector, _component("embed_query"), subclasses=True),
        Call(f"{_EMBEDDINGS}.aembed_query", _query, _vector, _component("aembed_query"), subclasses=True),
    ),
    timed=(
        Timed(f"{_STORE}.mget", "cache_lookup", _lookup, subclasses=True),
        Timed(f"{_STORE}.amget", "cache_lookup", _lookup, subclasses=True),
        Timed(f"{_STORE}.mset", "cache_write", subclasses=True),
        Timed(f"{_STORE}.amset", "cache_write", subclasses=True),
    ),
    cached=CACHED,
    hooks=HOOKS,
)
OPENAI = Provider(
    name="langchain",
    requires="langchain-openai>=0.2,<2",
    timed=(Timed("langchain_openai.embeddings.base:OpenAIEmbeddings._tokenize", "tokenize"),),
)
PROVIDERS: tuple[Provider, ...] = (CORE, OPENAI)
