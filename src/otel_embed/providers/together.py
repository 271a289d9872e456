"""Together AI."""

from __future__ import annotations

from typing import Any

from otel_embed.endpoints import provider_of
from otel_embed.provider import Arguments, Call, Provider
from otel_embed.reading import inputs, listed, server, text, unparsed
from otel_embed.record import Reply, Request


def _request(call: Arguments) -> Request:
    content = call.get("input")
    how_many, kind = inputs(content)
    client = getattr(call.instance, "_client", None)
    place = server(getattr(client, "_base_url", None) or getattr(client, "base_url", None))
    return Request(
        text(call.get("model")),
        how_many,
        kind,
        server=place,
        provider=place and provider_of(place.address),
        content=content,
    )


def _reply(response: Any) -> Reply:
    raw = getattr(response, "http_response", None)  # asked for by with_raw_response or with_streaming_response
    return listed(response) if raw is None else unparsed(raw)


PROVIDER = Provider(
    name="together",
    requires="together>=1.2,<4",
    calls=(
        Call("together.resources.embeddings:Embeddings.create", _request, _reply, versions="<2"),
        Call("together.resources.embeddings:AsyncEmbeddings.create", _request, _reply, versions="<2"),
        Call("together.resources.embeddings:EmbeddingsResource.create", _request, _reply, versions=">=2"),
        Call("together.resources.embeddings:AsyncEmbeddingsResource.create", _request, _reply, versions=">=2"),
    ),
)
