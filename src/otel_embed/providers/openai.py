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
    content = asked.get("input")
    inputs, kind = _inputs(content)
    server, provider = _endpoint(call.instance._client)
    return Request(
        _text(asked.get("model")),
        inputs,
        kind,
        _number(asked.get("dimensions")),
        _text(asked.get("encoding_format")),
        server,
        provider,
        content,
    )


_Endpoint = tuple[Any, Server, str]
_endpoints: dict[tuple[int, type], _Endpoint] = {}


def _endpoint(client: Any) -> tuple[Server, str]:
    """Where a client sends its requests, and whose endpoint that is. Its URL is parsed once, not once a call."""
    url = client.base_url
    key = (id(url), type(client))
    known = _endpoints.get(key)
    if known is None or known[0] is not url:
        if len(_endpoints) > 256:
            _endpoints.clear()
        server = Server(url.host, url.port or (80 if url.scheme == "http" else 443))
        known = _endpoints[key] = (url, server, _provider(type(client), url.host))
    return known[1], known[2]


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
    if isinstance(content, str):
        return 1, "text"
    if not isinstance(content, (list, tuple)):
        return None, None
    if not content:
        return 0, "text"
    if isinstance(content[0], int):
        return 1, "tokens"
    return len(content), "text" if isinstance(content[0], str) else "tokens"


def _reply(response: Any) -> Reply:
    if type(response).__name__.endswith("APIResponse"):  # asked for by with_raw_response or with_streaming_response
        return _unparsed(response.http_response)
    # What a server leaves out, the client's objects lack.
    data, usage, model = response.data, getattr(response, "usage", None), _text(getattr(response, "model", None))
    tokens = None if usage is None else _tokens(usage.prompt_tokens) or _tokens(getattr(usage, "total_tokens", None))
    if not data:
        return Reply(model, None, None, tokens)
    return Reply(model, len(data), _dimensions(data[0].embedding), tokens)


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
