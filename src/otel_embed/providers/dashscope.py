"""Alibaba Cloud's Model Studio, through the dashscope client, which returns errors as it returns answers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from otel_embed.failure import refused
from otel_embed.provider import Arguments, Call, Provider
from otel_embed.reading import amount, count, dimensions, first, inputs, server, text, told
from otel_embed.record import InputKind, Reply, Request, Server

_Inputs = tuple["int | None", "InputKind | None"]


def _asked(call: Arguments, read: Callable[[Any], _Inputs]) -> Request:
    content = call.get("input", 1)
    how_many, kind = read(content)
    fused = call.kwargs.get("enable_fusion") is True  # into one vector
    return Request(
        text(call.get("model", 0)),
        1 if fused else how_many,
        kind,
        count(call.kwargs.get("dimension")),
        server=_server(call),
        content=content,
    )


def _server(call: Arguments) -> Server | None:
    library = sys.modules.get("dashscope")
    url = text(call.kwargs.get("base_address")) or text(getattr(library, "base_http_api_url", None))
    return None if url is None or "{" in url else server(url)


def _texts(call: Arguments) -> Request:
    return _asked(call, inputs)


def _media(call: Arguments) -> Request:
    return _asked(call, _elements)


def _elements(content: Any) -> _Inputs:
    if not isinstance(content, (list, tuple)):
        return None, None
    are_text = {isinstance(told(element, "text"), str) for element in content}
    return len(content), "text" if are_text == {True} else "image" if are_text == {False} else "mixed"


def _reply(answer: Any) -> Reply:
    status, code = count(told(answer, "status_code")), text(told(answer, "code"))
    if status is not None and status >= 400:
        return Reply(failure=refused(status, code or ""))
    embeddings, usage = told(told(answer, "output"), "embeddings"), told(answer, "usage")
    details = told(usage, "input_tokens_details")
    images = amount(told(details, "image_tokens"))
    whole = None if images else count(told(usage, "input_tokens")) or count(told(usage, "total_tokens"))
    return Reply(
        vectors=len(embeddings) if first(embeddings) is not None else None,
        dimensions=dimensions(told(first(embeddings), "embedding")),
        tokens=count(told(details, "text_tokens")) or whole,
        media=(("image_tokens", images),) if images else (),
    )


_MEDIA = "dashscope.embeddings.multimodal_embedding"

PROVIDER = Provider(
    name="dashscope",
    requires="dashscope>=1.14,<3",
    calls=(
        Call("dashscope.embeddings.text_embedding:TextEmbedding.call", _texts, _reply),
        Call(f"{_MEDIA}:MultiModalEmbedding.call", _media, _reply),
        Call(f"{_MEDIA}:AioMultiModalEmbedding.call", _media, _reply, versions=">=1.24.5"),
    ),
)
