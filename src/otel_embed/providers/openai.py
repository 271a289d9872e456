"""OpenAI, Azure OpenAI and every endpoint that speaks their API, through the openai client."""

from __future__ import annotations

import json
import re
from typing import Any

from otel_embed.endpoints import provider_of
from otel_embed.provider import Arguments, Call, Provider
from otel_embed.record import InputKind, Reply, Request, Server


def _request(call: Arguments) -> Request:
    asked = call.kwargs
    content, model = asked.get("input"), asked.get("model")
    inputs, kind = (1, "text") if isinstance(content, str) else _inputs(content)
    client = call.instance._client
    url = getattr(client, "_base_url", None) or client.base_url  # the property of openai 3 imports, each time
    endpoint = _endpoints.get(id(url))
    if endpoint is None or endpoint[0] is not url:
        endpoint = _endpoint(client, url)
    return Request(
        model if isinstance(model, str) else None,
        inputs,
        kind,
        _number(asked["dimensions"]) if "dimensions" in asked else None,
        _text(asked["encoding_format"]) if "encoding_format" in asked else None,
        endpoint[1],
        endpoint[2],
        content,
    )


_Endpoint = tuple[Any, Server, str]
_endpoints: dict[int, _Endpoint] = {}


def _endpoint(client: Any, url: Any) -> _Endpoint:
    """Where a client sends its requests, and whose endpoint that is. Its URL is parsed once, not once a call."""
    if len(_endpoints) > 256:
        _endpoints.clear()
    server = Server(url.host, url.port or (80 if url.scheme == "http" else 443))
    endpoint = _endpoints[id(url)] = (url, server, _provider(type(client), url.host))
    return endpoint


def _provider(client: type, host: str) -> str:
    if any(base.__name__ == "BaseAzureClient" for base in client.__mro__):
        return "azure.ai.openai"
    return provider_of(host) or "openai"


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and value > 0 else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _inputs(content: Any) -> tuple[int | None, InputKind | None]:
    """How many inputs and of what kind; an iterable that can be walked only once is left alone."""
    if not isinstance(content, (list, tuple)):
        return None, None
    if not content:
        return 0, "text"
    if isinstance(content[0], int):
        return 1, "tokens"
    return len(content), "text" if isinstance(content[0], str) else "tokens"


def _reply(response: Any) -> Reply:
    if not hasattr(response, "data"):  # asked for by with_raw_response or with_streaming_response
        return _unparsed(response.http_response)
    # What a server leaves out, the client's objects lack.
    data, usage, model = response.data, getattr(response, "usage", None), getattr(response, "model", None)
    tokens = getattr(usage, "prompt_tokens", None) or getattr(usage, "total_tokens", None)
    vector = data[0].embedding if data else None
    return Reply(
        model if isinstance(model, str) else None,
        len(data) if data else None,
        len(vector) if isinstance(vector, list) else _dimensions(vector),
        # Some servers report 0 and mean that they do not count.
        tokens if isinstance(tokens, int) and tokens > 0 else None,
    )


def _dimensions(vector: Any) -> int | None:
    if isinstance(vector, str):  # asked for as base64: four-byte floats, a third longer
        return len(vector.rstrip("=")) * 3 // 16 or None
    return len(vector) or None if vector is not None else None


def _tokens(count: Any) -> int | None:
    """A count that is one: some servers report 0 and mean that they do not count."""
    return count if isinstance(count, int) and count > 0 else None


_USAGE = re.compile(rb'"usage"\s*:\s*(\{[^{}]*\})')
_MODEL = re.compile(rb'"model"\s*:\s*"([^"\\]{1,200})"')
_EDGE = 600


def _unparsed(raw: Any) -> Reply:
    """What the ends of an answer say that the application reads itself, without decoding its vectors."""
    body = getattr(raw, "_content", None)  # only there once the application, or the client for it, has read it
    if not isinstance(body, bytes):
        body = getattr(raw, "extensions", {}).get("otel_embed.tail", b"")
    ends = body if len(body) <= 2 * _EDGE else body[:_EDGE] + b" " + body[-_EDGE:]
    usage, model = _USAGE.search(ends), _MODEL.search(ends)
    counts = json.loads(usage[1]) if usage else {}
    return Reply(
        model=model[1].decode() if model else None,
        tokens=_tokens(counts.get("prompt_tokens")) or _tokens(counts.get("total_tokens")),
    )


PROVIDER = Provider(
    name="openai",
    requires="openai>=1.0,<4",
    calls=(
        Call("openai.resources.embeddings:Embeddings.create", _request, _reply),
        Call("openai.resources.embeddings:AsyncEmbeddings.create", _request, _reply),
    ),
)
