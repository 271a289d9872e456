"""OpenAI, Azure OpenAI and every endpoint that speaks their API, through the openai client."""

from __future__ import annotations

import json
import re
from typing import Any

from otel_embed.endpoints import provider_of
from otel_embed.provider import Arguments, Call, Provider
from otel_embed.record import InputKind, Reply, Request, Server


def _request(call: Arguments) -> Request:
    client = call.instance._client
    content = call.get("input")
    inputs, kind = _inputs(content)
    url = client.base_url
    given = call.get("encoding_format")
    return Request(
        model=_text(call.get("model")),
        inputs=inputs,
        kind=kind,
        dimensions=call.get("dimensions") or None,
        encoding_format=_text(given),
        server=Server(url.host, url.port or (80 if url.scheme == "http" else 443)),
        provider=_provider(type(client), url.host),
        content=content,
    )


def _provider(client: type, host: str) -> str:
    if any(base.__name__ == "BaseAzureClient" for base in client.__mro__):
        return "azure.ai.openai"
    return provider_of(host) or "openai"


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
    raw = getattr(response, "http_response", None)
    return _parsed(response) if raw is None else _unparsed(raw)


def _parsed(response: Any) -> Reply:
    data = getattr(response, "data", None) or ()
    usage = getattr(response, "usage", None)
    vector = getattr(data[0], "embedding", None) if data else None
    return Reply(
        model=_text(getattr(response, "model", None)),
        vectors=len(data),
        dimensions=_dimensions(vector),
        tokens=_tokens(getattr(usage, "prompt_tokens", None), getattr(usage, "total_tokens", None)),
    )


def _dimensions(vector: Any) -> int | None:
    if isinstance(vector, str):  # asked for as base64: four-byte floats, a third longer
        return len(vector.rstrip("=")) * 3 // 16 or None
    return len(vector) or None if vector is not None else None


def _tokens(*counts: Any) -> int | None:
    """The first count that is one: some servers report 0 and mean that they do not count."""
    return next((count for count in counts if isinstance(count, int) and count > 0), None)


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
        tokens=_tokens(counts.get("prompt_tokens"), counts.get("total_tokens")),
    )


PROVIDER = Provider(
    name="openai",
    requires="openai>=1.0,<4",
    calls=(
        Call("openai.resources.embeddings:Embeddings.create", _request, _reply),
        Call("openai.resources.embeddings:AsyncEmbeddings.create", _request, _reply),
    ),
)
