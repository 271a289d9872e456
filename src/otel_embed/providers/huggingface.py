"""Hugging Face's inference client: its hub's own service, the providers behind it, and Text Embeddings Inference."""

from __future__ import annotations

from typing import Any

from otel_embed.endpoints import provider_of
from otel_embed.provider import Arguments, Call, Provider
from otel_embed.reading import count, dimensions, inputs, server, text, told
from otel_embed.record import Reply, Request

_NAMES = {"auto": "huggingface", "hf-inference": "huggingface", "fireworks-ai": "fireworks"}


def _request(call: Arguments) -> Request:
    client, content = call.instance, call.get("text", 0)
    model = text(call.kwargs.get("model")) or text(told(client, "model")) or text(told(client, "base_url"))
    address = server(model) if model is not None and model.startswith(("http://", "https://")) else None
    upstream = provider_of(address.address) if address else text(told(client, "provider"))
    how_many, kind = inputs(content)
    return Request(
        None if address else model,
        how_many,
        kind,
        count(call.kwargs.get("dimensions")),
        text(call.kwargs.get("encoding_format")),
        address,
        _NAMES.get(upstream, upstream) if upstream else "huggingface",
        content,
        metered=address is None or upstream is not None,
    )


def _reply(vectors: Any) -> Reply:
    """What an array tells: one vector, or one for each text; a model without pooling gives one for each token."""
    shape = told(vectors, "shape")
    return Reply(
        vectors=count(shape[0]) if isinstance(shape, tuple) and len(shape) > 1 else None,
        dimensions=dimensions(vectors),
    )


def _call(target: str) -> Call:
    return Call(target, _request, _reply, tokens_header="x-compute-tokens")


PROVIDER = Provider(
    name="huggingface",
    requires="huggingface_hub>=0.25,<3",
    calls=(
        _call("huggingface_hub.inference._client:InferenceClient.feature_extraction"),
        _call("huggingface_hub.inference._generated._async_client:AsyncInferenceClient.feature_extraction"),
    ),
)
