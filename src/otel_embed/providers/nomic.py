"""Nomic Atlas. Its functions divide texts and images among requests, several at once, and each of those is a call."""

from __future__ import annotations

import inspect
import sys
from typing import Any

from otel_embed.provider import Arguments, Call, Provider
from otel_embed.reading import count, dimensions, first, inputs, server, text, told
from otel_embed.record import Reply, Request


def _texts(call: Arguments) -> Request:
    texts = call.get("texts", 0)
    how_many, kind = inputs(texts)
    asked = call.get("dimensionality", 3)
    return Request(_model(call, "text"), how_many, kind, count(asked), server=_server(), content=texts)


def _images(call: Arguments) -> Request:
    images = call.get("images", 0) or call.get("urls", 1)
    how_many = len(images) if isinstance(images, (list, tuple)) else None
    return Request(_model(call, "image"), how_many, "image", server=_server())


def _model(call: Arguments, function: str) -> str | None:
    # The second argument, or the third, depending on the function and on the version.
    return text(call.get("model", 1)) or text(call.get("model", 2)) or _default(told(_module(), function))


def _module() -> Any:
    return sys.modules.get("nomic.embed")


def _default(function: Any) -> str | None:
    """The model of a call that names none."""
    asked = inspect.signature(function).parameters if inspect.isfunction(function) else {}
    return text(getattr(asked.get("model"), "default", None))


def _server() -> Any:
    return server(told(told(_module(), "atlas_class"), "atlas_api_path"))


def _is_remote(call: Arguments) -> bool:
    """False where a model in this process does the work, or may do it."""
    return call.get("inference_mode") in (None, "remote")


def _is_divided(call: Arguments) -> bool:
    entries = call.get("texts", 0) or call.get("images", 0)
    return isinstance(entries, (list, tuple)) and len(entries) > 1


def _reply(result: Any) -> Reply:
    vectors, usage = told(result, "embeddings"), told(result, "usage")
    return Reply(
        text(told(result, "model")),
        len(vectors) or None if isinstance(vectors, list) else None,
        dimensions(first(vectors)),
        count(told(usage, "prompt_tokens")) or count(told(usage, "total_tokens")),
    )


PROVIDER = Provider(
    name="nomic",
    requires="nomic>=3.0.30,<4",
    calls=(
        Call("nomic.embed:text", _texts, _reply, when=_is_remote, divides=_is_divided),
        Call("nomic.embed:text_api_request", _texts, _reply),
        Call("nomic.embed:image", _images, _reply, divides=_is_divided),
        Call("nomic.embed:image_api_request", _images, _reply),
    ),
)
