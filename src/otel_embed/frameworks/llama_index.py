"""LlamaIndex's embedders, the application's own included, and the caches: an embedder's own, and that of ingestion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from otel_embed.endpoints import provider_of
from otel_embed.identity import identity
from otel_embed.provider import Arguments, Call, Lookup, Provider, Timed
from otel_embed.reading import dimensions, first, server, text
from otel_embed.record import Component, InputKind, Reply, Request, Stage

_BY_PACKAGE = {
    "azure_openai": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "cohere": "cohere",
    "dashscope": "dashscope",
    "fireworks": "fireworks",
    "gemini": "gcp.gemini",
    "google_genai": "gcp.gemini",
    "jinaai": "jina",
    "mistralai": "mistral_ai",
    "nomic": "nomic",
    "ollama": "ollama",
    "openai": "openai",
    "together": "together",
    "vertex": "gcp.vertex_ai",
    "voyageai": "voyage",
}


def _component(method: str) -> Callable[[Arguments], Component]:
    return lambda call: Component("llama_index", type(call.instance).__name__, method)


def _one(name: str, kind: InputKind) -> Callable[[Arguments], Request]:
    return lambda call: _request(call.instance, 1, kind, call.get(name, 0))


def _many(name: str, kind: InputKind) -> Callable[[Arguments], Request]:
    def request(call: Arguments) -> Request:
        content = call.get(name, 0)
        return _request(call.instance, len(content) if isinstance(content, (list, tuple)) else None, kind, content)

    return request


def _request(embedder: Any, inputs: int | None, kind: InputKind, content: Any) -> Request:
    model = text(getattr(embedder, "model_name", None))
    return Request(
        model=None if model == "unknown" else model,  # what it is where nobody said
        inputs=inputs, kind=kind, provider=_provider(embedder), content=content if kind == "text" else None,
    )  # fmt: skip


def _provider(embedder: Any) -> str | None:
    """Who does an embedder's work, as far as it tells; the call below, where one is seen, knows better."""
    where = server(getattr(embedder, "api_base", None))
    package = type(embedder).__module__.removeprefix("llama_index.embeddings.").partition(".")[0]
    return (provider_of(where.address) if where is not None else None) or _BY_PACKAGE.get(package)


def _vector(vector: Any) -> Reply:
    return Reply(vectors=1, dimensions=dimensions(vector))


def _vectors(vectors: Any) -> Reply:
    several = isinstance(vectors, (list, tuple))
    return Reply(vectors=len(vectors) if several else None, dimensions=dimensions(first(vectors)))


def _lookup(call: Arguments, value: Any, embedder: Any) -> Lookup | None:
    """What an embedder's own cache knew of a text; None for a store that is not its cache."""
    store, key = call.instance, call.get("key", 0)
    if store is not getattr(embedder, "embeddings_cache", None) or not isinstance(key, str):
        return None
    name, who = type(store).__name__, identity(embedder)
    if value is None:
        return Lookup(name, 0, 1, 0, len(key), embedder=who)
    return Lookup(name, 1, 0, len(key), 0, embedder=who)


def _nodes(call: Arguments) -> Request:
    return Request()


def _returned(call: Arguments, nodes: Any, _: Any) -> Lookup | None:
    """The nodes that a cache of transformations gave back with their embeddings: none of them is embedded again."""
    count, characters = _embedded(nodes)
    return Lookup(type(call.instance).__name__, count, 0, characters, 0) if count else None


def _kept(call: Arguments, result: Any, _: Any) -> Lookup | None:
    """The nodes that it is given with their embeddings: it did not have them. Before, their number is not known."""
    count, characters = _embedded(call.get("nodes", 1))
    return Lookup(type(call.instance).__name__, 0, count, 0, characters) if count else None


def _embedded(nodes: Any) -> tuple[int, int]:
    """How many nodes have embeddings, and how many characters those are of."""
    several = nodes if isinstance(nodes, (list, tuple)) else ()
    embedded = [node for node in several if getattr(node, "embedding", None) is not None]
    return len(embedded), sum(len(node.get_content(metadata_mode="embed")) for node in embedded)


def _ingestion(method: str, stage: Stage, lookup: Callable[[Arguments, Any, Any], Lookup | None]) -> Timed:
    target = f"llama_index.core.ingestion.cache:IngestionCache.{method}"
    return Timed(target, stage, lookup, alone=Call(target, _nodes, component=_component(method)))


_KIND = "llama_index.core.base.embeddings.base:BaseEmbedding"
_IMAGES = "llama_index.core.embeddings.multi_modal_base:MultiModalEmbedding"
_STORE = "llama_index.core.storage.kvstore.types:BaseKVStore"
_METHODS: tuple[tuple[str, str, InputKind, str], ...] = (
    (_KIND, "get_query_embedding", "text", "query"),
    (_KIND, "get_text_embedding", "text", "text"),
    (_KIND, "get_text_embedding_batch", "text", "texts"),
    (_IMAGES, "get_image_embedding", "image", "img_file_path"),
    (_IMAGES, "get_image_embedding_batch", "image", "img_file_paths"),
)
"""Each has an asynchronous twin, is concrete on its class, and may be overridden."""


def _call(owner: str, method: str, kind: InputKind, argument: str) -> Call:
    many = method.endswith("_batch")
    request, reply = (_many, _vectors) if many else (_one, _vector)
    return Call(f"{owner}.{method}", request(argument, kind), reply, _component(method), subclasses=True, base=True)


CORE = Provider(
    name="llama_index",
    requires="llama-index-core>=0.10.1,<0.15",
    calls=tuple(
        _call(owner, name, kind, argument)
        for owner, method, kind, argument in _METHODS
        for name in (method, f"a{method}")
    ),
    timed=(
        Timed(f"{_STORE}.get", "cache_lookup", _lookup, subclasses=True),
        Timed(f"{_STORE}.aget", "cache_lookup", _lookup, subclasses=True),
        Timed(f"{_STORE}.put", "cache_write", subclasses=True),
        Timed(f"{_STORE}.aput", "cache_write", subclasses=True),
        _ingestion("get", "cache_lookup", _returned),
        _ingestion("put", "cache_write", _kept),
    ),
)
PROVIDERS: tuple[Provider, ...] = (CORE,)
