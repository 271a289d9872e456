"""Haystack's embedders. An embedder of another package is declared with ``embedders``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from otel_embed.endpoints import provider_of
from otel_embed.provider import Arguments, Call, Provider
from otel_embed.reading import count, dimensions, first, server, text
from otel_embed.record import Component, Reply, Request

_BY_NAME = {"Azure": "azure.ai.openai", "HuggingFaceAPI": "huggingface", "OpenAI": "openai"}


def embedders(*classes: str, versions: str = "", asynchronous: str = "") -> tuple[Call, ...]:
    """The calls of component classes, each written ``package.module:Class``: ``run``, and ``run_async`` in the
    versions of the library named by ``asynchronous``."""
    return tuple(
        Call(f"{target}.{method}", _request, _reply, _component(method), versions=which)
        for target in classes
        for method, which in (("run", versions), ("run_async", asynchronous))
        if which or method == "run"
    )


def _component(method: str) -> Callable[[Arguments], Component]:
    return lambda call: Component("haystack", type(call.instance).__name__, method)


def _request(call: Arguments) -> Request:
    embedder = call.instance
    documents, asked = call.get("documents", 0), call.get("text", 0)
    many = isinstance(documents, (list, tuple))
    return Request(
        model=text(getattr(embedder, "model", None)) or text(getattr(embedder, "azure_deployment", None)),
        inputs=len(documents) if many else 1,
        kind="text",
        provider=_provider(embedder),
        content=asked if isinstance(asked, str) else None,
    )


def _provider(embedder: Any) -> str | None:
    """Who does an embedder's work, as far as it tells; the call below, where one is seen, knows better."""
    where, name = server(getattr(embedder, "api_base_url", None)), type(embedder).__name__
    by_name = (provider for start, provider in _BY_NAME.items() if name.startswith(start))
    return (provider_of(where.address) if where is not None else None) or next(by_name, None)


def _reply(result: Any) -> Reply:
    """What a component returns: ``embedding`` or ``documents``, and in ``meta`` what the provider said."""
    if not isinstance(result, dict):
        return Reply()
    documents = result.get("documents")
    vectors, vector = 1, result.get("embedding")
    if isinstance(documents, (list, tuple)):
        vectors, vector = len(documents), getattr(first(documents), "embedding", None)
    meta = result["meta"] if isinstance(result.get("meta"), dict) else {}
    told = meta["usage"] if isinstance(meta.get("usage"), dict) else {}
    return Reply(
        model=text(meta.get("model")),
        vectors=vectors,
        dimensions=dimensions(vector),
        tokens=count(told.get("prompt_tokens")) or count(told.get("total_tokens")),
    )


def _classes(module: str, name: str) -> tuple[str, str]:
    where = f"haystack.components.embedders.{module}"
    return f"{where}_text_embedder:{name}TextEmbedder", f"{where}_document_embedder:{name}DocumentEmbedder"


CORE = Provider(
    name="haystack",
    requires="haystack-ai>=2.0,<4",
    calls=(
        *embedders(*_classes("openai", "OpenAI"), asynchronous=">=2.13"),
        *embedders(*_classes("azure", "AzureOpenAI"), versions="<2.13"),  # since then they are the ones above
        *embedders(*_classes("hugging_face_api", "HuggingFaceAPI"), versions=">=2.1,<3", asynchronous=">=2.13,<3"),
        *embedders(*_classes("sentence_transformers", "SentenceTransformers"), versions="<3"),
    ),
)
PROVIDERS: tuple[Provider, ...] = (CORE,)
