"""Voyage AI: texts, chunks in the context of their documents, and texts with images."""

from __future__ import annotations

import sys
from typing import Any

from otel_embed.provider import Arguments, Call, Provider
from otel_embed.reading import count, dimensions, first, inputs, mixed_inputs, server, text, told
from otel_embed.record import InputKind, Reply, Request

_Inputs = tuple[int | None, InputKind | None]


def _texts(call: Arguments) -> Request:
    texts = call.get("texts", 0)
    return _request(call, inputs(texts), texts, 4)


def _documents(call: Arguments) -> Request:
    documents, divided = call.get("inputs", 0), call.get("chunk_fn", 5) or call.get("enable_auto_chunking", 6)
    if divided or not isinstance(documents, list):  # into how many chunks, the reply tells
        return _request(call, (None, "text"), None, 3)
    chunks = [chunk for document in documents for chunk in (document if isinstance(document, list) else [document])]
    return _request(call, (len(chunks), "text"), chunks, 3)


def _mixed(call: Arguments) -> Request:
    return _request(call, mixed_inputs(call.get("inputs", 0)), None, 4)


def _request(call: Arguments, asked: _Inputs, content: Any, form: int) -> Request:
    """``form`` is the place of the argument that says what the vectors are made of."""
    package = sys.modules.get("voyageai")
    url = told(getattr(call.instance, "_params", None), "base_url") or told(package, "api_base")
    return Request(
        text(call.get("model", 1) or told(package, "VOYAGE_EMBED_DEFAULT_MODEL")),
        *asked,
        count(call.get("output_dimension", form + 1)),
        text(call.get("output_dtype", form)),
        server(url),
        None,
        content,
    )


def _is_remote(call: Arguments) -> bool:
    """False for a model that the client runs in this process, through sentence-transformers."""
    registry, model = told(sys.modules.get("voyageai.local.model_registry"), "SUPPORTED_MODELS"), call.get("model", 1)
    return not (isinstance(registry, dict) and isinstance(model, str) and model in registry)


def _embeddings(result: Any) -> Reply:
    vectors, tokens = told(result, "embeddings"), told(result, "total_tokens")
    return _reply(vectors, first(vectors), tokens)


def _chunks(result: Any) -> Reply:
    results = told(result, "results")
    documents = [told(each, "embeddings") for each in results] if isinstance(results, list) else []
    chunks = [len(vectors) for vectors in documents if isinstance(vectors, list)]
    return _reply([None] * sum(chunks), first(first(documents)), told(result, "total_tokens"))


def _pictured(result: Any) -> Reply:
    """Pixels are billed beside the tokens of texts alone; ``total_tokens`` has them as tokens too."""
    vectors = told(result, "embeddings")
    pixels = (count(told(result, "image_pixels")) or 0) + (count(told(result, "video_pixels")) or 0)
    reply = _reply(vectors, first(vectors), told(result, "text_tokens"))
    return reply._replace(media=(("pixels", pixels),)) if pixels else reply


def _reply(vectors: Any, vector: Any, tokens: Any) -> Reply:
    many = len(vectors) or None if isinstance(vectors, list) else None
    return Reply(None, many, dimensions(vector), count(tokens))


def _calls(client: str) -> tuple[Call, ...]:
    return (
        Call(f"{client}.embed", _texts, _embeddings, when=_is_remote),
        Call(f"{client}.contextualized_embed", _documents, _chunks, versions=">=0.3.4"),
        Call(f"{client}.multimodal_embed", _mixed, _pictured, versions=">=0.3"),
    )


PROVIDER = Provider(
    name="voyage",
    requires="voyageai>=0.1.7,<0.6",
    calls=(*_calls("voyageai.client:Client"), *_calls("voyageai.client_async:AsyncClient")),
)
