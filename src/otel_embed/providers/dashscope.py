"""Alibaba Cloud's Model Studio, through the functions of dashscope, which return errors, and its clients of 2.0."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from otel_embed.failure import refused
from otel_embed.provider import Arguments, Call, Provider
from otel_embed.reading import amount, count, dimensions, first, inputs, server, text, told
from otel_embed.record import InputKind, Media, Reply, Request, Server

_Inputs = tuple["int | None", "InputKind | None"]
_ONE_PEACE = "one-peace"
"""Of a model that makes one vector of all that it is given."""


def _asked(call: Arguments, read: Callable[[Any], _Inputs]) -> Request:
    model, content = text(call.get("model", 0)), call.get("input", 1)
    how_many, kind = read(content)
    fused = _option(call, "enable_fusion") is True or _ONE_PEACE in (model or "")  # into one vector
    return Request(
        model,
        1 if fused else how_many,
        kind,
        count(_option(call, "dimension")),
        server=_server(call),
        content=content,
    )


def _option(call: Arguments, name: str) -> Any:
    """An option of its own, or one of ``parameters``, by which a client of 2.0 goes first."""
    given = told(call.kwargs.get("parameters"), name)
    return call.kwargs.get(name) if given is None else given


def _server(call: Arguments) -> Server | None:
    transport = told(told(call.instance, "_client"), "transport")
    if transport is not None:  # of a client of 2.0
        return server(told(told(transport, "http_client"), "base_url"))
    library = sys.modules.get("dashscope")
    url = text(call.kwargs.get("base_address")) or text(getattr(library, "base_http_api_url", None))
    return None if url is None or "{" in url else server(url)


def _texts(call: Arguments) -> Request:
    return _asked(call, inputs)


def _media(call: Arguments) -> Request:
    return _asked(call, _elements)


def _elements(content: Any) -> _Inputs:
    elements = [content] if isinstance(content, dict) or hasattr(content, "text") else content  # 2.0 takes one alone
    if not isinstance(elements, (list, tuple)):
        return None, None
    are_text = {isinstance(told(element, "text"), str) for element in elements}
    return len(elements), "text" if are_text == {True} else "image" if are_text == {False} else "mixed"


def _reply(answer: Any) -> Reply:
    status, code = count(told(answer, "status_code")), text(told(answer, "code"))
    if code is not None or (status is not None and status >= 400):
        return Reply(failure=refused(status, code or ""))
    output, (tokens, media) = told(answer, "output"), _billed(told(answer, "usage"))
    embeddings = told(answer if output is None else output, "embeddings")  # 2.0 lifts it out
    one = told(output, "embedding")
    return Reply(
        vectors=len(embeddings) if first(embeddings) is not None else 1 if one else None,
        dimensions=dimensions(told(first(embeddings), "embedding")) or dimensions(one),
        tokens=tokens,
        media=media,
    )


def _billed(usage: Any) -> tuple[int | None, Media]:
    """Tokens of texts, and those of images: some models tell them as parts of ``input_tokens``, others beside it."""
    details = told(usage, "input_tokens_details")
    part, beside = amount(told(details, "image_tokens")), amount(told(usage, "image_tokens"))
    if part is not None or told(details, "text_tokens"):
        tokens = count(told(details, "text_tokens"))
    else:
        tokens = count(told(usage, "input_tokens")) or (count(told(usage, "total_tokens")) if beside is None else None)
    images = beside if part is None else part
    return tokens, () if images is None else (("image_tokens", images),)


_MEDIA = "dashscope.embeddings.multimodal_embedding"
_V2 = "dashscope.v2.resources"

PROVIDER = Provider(
    name="dashscope",
    requires="dashscope>=1.14,<3",
    calls=(
        Call("dashscope.embeddings.text_embedding:TextEmbedding.call", _texts, _reply),
        Call(f"{_MEDIA}:MultiModalEmbedding.call", _media, _reply),
        Call(f"{_MEDIA}:AioMultiModalEmbedding.call", _media, _reply, versions=">=1.24.5"),
        Call(f"{_V2}.embeddings:Embeddings.create", _texts, _reply, versions=">=2"),
        Call(f"{_V2}.embeddings:AsyncEmbeddings.create", _texts, _reply, versions=">=2"),
        Call(f"{_V2}.multimodal.embeddings:MultimodalEmbeddings.create", _media, _reply, versions=">=2"),
        Call(f"{_V2}.multimodal.embeddings:AsyncMultimodalEmbeddings.create", _media, _reply, versions=">=2"),
    ),
)
