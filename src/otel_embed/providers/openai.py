"""OpenAI, Azure OpenAI and every endpoint that speaks their API, through the openai client."""

from __future__ import annotations

from typing import Any

from otel_embed.endpoints import provider_of
from otel_embed.provider import Arguments, Call, Provider
from otel_embed.reading import count, inputs, listed, server, text, unparsed
from otel_embed.record import Reply, Request, Server


def _request(call: Arguments) -> Request:
    asked = call.kwargs
    content, model = asked.get("input"), asked.get("model")
    how_many, kind = inputs(content)
    client = getattr(call.instance, "_client", None)
    url = getattr(client, "_base_url", None)  # its property imports, each time, in openai 3
    endpoint = _endpoints.get(id(url))
    if endpoint is None or endpoint[0] is not url:
        endpoint = _endpoint(client, url)
    return Request(
        model if type(model) is str and model.isascii() else text(model),
        how_many,
        kind,
        count(asked["dimensions"]) if "dimensions" in asked else None,
        text(asked["encoding_format"]) if "encoding_format" in asked else None,
        endpoint[1],
        endpoint[2],
        content,
    )


_Endpoint = tuple[Any, "Server | None", str]
_endpoints: dict[int, _Endpoint] = {}


def _endpoint(client: Any, url: Any) -> _Endpoint:
    """Where a client sends its requests, and whose endpoint that is. Its URL is parsed once, not once a call."""
    if len(_endpoints) > 256:
        _endpoints.clear()
    where = server(url)
    endpoint = _endpoints[id(url)] = (url, where, _provider(type(client), where))
    return endpoint


def _provider(client: type, server: Server | None) -> str:
    known = None if server is None else provider_of(server.address)
    if any(base.__name__ == "BaseAzureClient" for base in client.__mro__):
        return known if known is not None and known.startswith("azure.") else "azure.ai.openai"
    return known or "openai"


def _reply(response: Any) -> Reply:
    if not hasattr(response, "data"):  # asked for by with_raw_response or with_streaming_response
        return unparsed(getattr(response, "http_response", None))
    return listed(response)


PROVIDER = Provider(
    name="openai",
    requires="openai>=1.0,<4",
    calls=(
        Call("openai.resources.embeddings:Embeddings.create", _request, _reply),
        Call("openai.resources.embeddings:AsyncEmbeddings.create", _request, _reply),
    ),
)
