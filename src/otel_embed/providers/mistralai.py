"""Mistral AI. Some versions of its client make a span of each request of their own accord: not in a call."""

from __future__ import annotations

import sys
from typing import Any

from otel_embed.provider import Arguments, Call, Muted, Provider
from otel_embed.reading import count, inputs, listed, server, text, told
from otel_embed.record import Request


def _request(call: Arguments) -> Request:
    asked = call.kwargs
    content = asked.get("inputs")
    how_many, kind = inputs(content)
    return Request(
        text(asked.get("model")),
        how_many,
        kind,
        count(asked.get("output_dimension")),
        text(asked.get("output_dtype")) or text(asked.get("encoding_format")),
        server(asked.get("server_url") or _url(getattr(call.instance, "sdk_configuration", None))),
        None,
        content,
    )


def _url(config: Any) -> Any:
    """Where a client sends its requests: its own URL, one of the library's by name, or the first of those."""
    url, name = told(config, "server_url"), told(config, "server")
    servers = told(sys.modules.get(type(config).__module__), "SERVERS")
    if url or not isinstance(servers, dict):
        return url
    return servers.get(name) if isinstance(name, str) and name else next(iter(servers.values()), None)


def _untraced(call: Arguments) -> tuple[Any, Any]:
    """What the function returns where tracing is off: the request as it came, and the span, which is none."""
    return call.get("request", 4), call.get("span", 2)


_TRACES = "_hooks.tracing:get_traced_request_and_span"

PROVIDER = Provider(
    name="mistral_ai",
    requires="mistralai>=1.0,<4",
    calls=(
        Call("mistralai.embeddings:Embeddings.create", _request, listed, versions="<2"),
        Call("mistralai.embeddings:Embeddings.create_async", _request, listed, versions="<2"),
        Call("mistralai.client.embeddings:Embeddings.create", _request, listed, versions=">=2"),
        Call("mistralai.client.embeddings:Embeddings.create_async", _request, listed, versions=">=2"),
    ),
    muted=(
        Muted(f"mistralai.{_TRACES}", _untraced, versions=">=1.10,<2"),
        Muted(f"mistralai.client.{_TRACES}", _untraced, versions=">=2,<2.4.8"),  # then only where the application asks
    ),
)
