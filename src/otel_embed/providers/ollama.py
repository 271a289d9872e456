"""Ollama, through its own client.

What is observed lies below the functions that an application calls, because some of those are bound to a client before
anybody can wrap them: ``ollama.embed``, and whatever took a reference to it.
"""

from __future__ import annotations

from typing import Any

from otel_embed.provider import Arguments, Call, Provider
from otel_embed.reading import amount, count, dimensions, first, inputs, server, text, told
from otel_embed.record import Reply, Request


def _is_embedding(call: Arguments) -> bool:
    return call.get("url", 2) in ("/api/embed", "/api/embeddings")


def _sent(call: Arguments) -> Request:
    return _asked(call, call.kwargs.get("json"))


def _called(call: Arguments) -> Request:
    return _asked(call, {**dict(zip(("model", "input"), call.args)), **call.kwargs})


def _asked(call: Arguments, asked: Any) -> Request:
    content = told(asked, "input")
    if content is None:
        content = told(asked, "prompt")
    how_many, kind = inputs(content)
    return Request(
        text(told(asked, "model")),
        how_many,
        kind,
        count(told(asked, "dimensions")),
        server=server(told(told(call.instance, "_client"), "base_url")),
        content=content,
        metered=False,
    )


def _reply(answer: Any) -> Reply:
    vectors = told(answer, "embeddings")
    if not isinstance(vectors, (list, tuple)):
        vector = told(answer, "embedding")
        vectors = [vector] if vector else ()
    nanoseconds = amount(told(answer, "total_duration"))
    return Reply(
        text(told(answer, "model")),
        len(vectors) or None,
        dimensions(first(vectors)),
        count(told(answer, "prompt_eval_count")),
        server_seconds=None if nanoseconds is None else nanoseconds / 1e9,
    )


def _calls(client: str) -> tuple[Call, ...]:
    return (
        Call(f"ollama._client:{client}._request", _sent, _reply, when=_is_embedding, versions=">=0.4"),
        # Before that, it gives an answer that is not read yet.
        Call(f"ollama._client:{client}.embed", _called, _reply, versions="<0.4"),
        Call(f"ollama._client:{client}.embeddings", _called, _reply, versions="<0.4"),
    )


PROVIDER = Provider(name="ollama", requires="ollama>=0.3,<1", calls=(*_calls("Client"), *_calls("AsyncClient")))
