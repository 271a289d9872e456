"""What readers of requests and replies share.

Each function takes a value of any kind at all and returns None for what it cannot read. None of them raises, walks a
vector or a text, or parses a body.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from os import PathLike
from typing import Any
from urllib.parse import urlsplit

from otel_embed.record import Batch, InputKind, Reply, Server

_ABSURD = 1e15
_EDGE = 600
_MOST_LOOKED_AT = 100
_USAGE = re.compile(rb'"usage"\s*:\s*(\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\})')
_CACHED = re.compile(r"models--([^/\\]+?)--([^/\\]+)")
_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w.-]+")
_SEPARATOR = re.compile(r"[/\\]")
_MODEL = re.compile(rb'"model"\s*:\s*"([^"\\]{1,200})"')


def told(value: Any, name: str) -> Any:
    """What a dictionary or an object has under a name."""
    return value.get(name) if isinstance(value, dict) else getattr(value, name, None)


def text(value: Any) -> str | None:
    """A text that says something, as exporters can write it; a member of an enumeration of texts is its value."""
    return encodable(str.__str__(value)) if isinstance(value, str) and value else None


def encodable(value: str) -> str:
    """Half of a surrogate pair is a question mark: with one in a label, an exporter gives up on all metrics."""
    return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")


def amount(value: Any) -> float | None:
    """A number above 0. Some servers report 0, others -1, and mean that they do not count."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < _ABSURD:
        return value
    return None


def count(value: Any) -> int | None:
    """A whole number above 0, which some servers send as a float."""
    number = amount(value)
    return None if number is None else round(number) or None


def first(values: Any) -> Any:
    """The first of a list."""
    return values[0] if isinstance(values, (list, tuple)) and values else None


def inputs(content: Any) -> tuple[int | None, InputKind | None]:
    """How many inputs and of what kind; an iterable that can be walked only once is left alone."""
    if isinstance(content, str):
        return 1, "text"
    if not isinstance(content, (list, tuple)):
        return None, None
    if not content:
        return 0, "text"
    if isinstance(content[0], int):
        return 1, "tokens"
    if isinstance(content[0], str):
        return len(content), "text"
    return len(content), "tokens" if isinstance(content[0], (list, tuple)) else None


def mixed_inputs(content: Any) -> tuple[int | None, InputKind | None]:
    """The same of inputs that are made of parts each, texts among them or not; a video is taken for an image."""
    if not isinstance(content, (list, tuple)):
        return None, None
    texts = {_is_text(part) for entry in content[:_MOST_LOOKED_AT] for part in _parts(entry)}
    return len(content), "text" if texts == {True} else "image" if texts == {False} else "mixed"


def _parts(entry: Any) -> list[Any]:
    parts = entry if isinstance(entry, list) else told(entry, "content")
    return parts[:_MOST_LOOKED_AT] if isinstance(parts, list) else []


def _is_text(part: Any) -> bool:
    return isinstance(part, str) or told(part, "type") == "text"


def dimensions(vector: Any) -> int | None:
    """The numbers in a vector; a base64 string holds four-byte floats, and is a third longer than they are."""
    if isinstance(vector, str):
        return len(vector.rstrip("=")) * 3 // 16 or None
    if isinstance(vector, (list, tuple)):
        return len(vector) or None
    shape = getattr(vector, "shape", None)  # an array of numpy's or torch's
    return count(shape[-1]) if isinstance(shape, tuple) and shape else None


def stacked(vectors: Any) -> Reply:
    """The reply of a local model: vectors as the rows of an array, or one alone."""
    shape = getattr(vectors, "shape", None)
    if not isinstance(shape, tuple) or not shape:
        return Reply()
    return Reply(vectors=shape[0] if len(shape) > 1 else 1, dimensions=count(shape[-1]))


def model_name(path: Any) -> str | None:
    """What a local model is called: ``org/name`` as it is, of a path the folder or file alone.

    A path into the hub's own cache (``models--org--name/snapshots/...``) is the model of that name.
    """
    if not isinstance(path, (str, PathLike)):
        return None
    whole = str(path).rstrip("/\\")
    cached = _CACHED.search(whole)
    if cached:
        return f"{cached[1]}/{cached[2]}"
    return whole if _HUB_NAME.fullmatch(whole) else _SEPARATOR.split(whole)[-1] or None


def padded(features: Any, longest: Any = None) -> Batch | None:
    """A batch by its attention mask; None where that is on a device already, which is not waited for."""
    mask: Any = features.get("attention_mask") if isinstance(features, Mapping) else None
    if getattr(getattr(mask, "device", None), "type", None) != "cpu" or mask.dim() != 2:
        return None
    inputs, length = mask.shape
    tokens = int(mask.sum())
    full = isinstance(longest, int) and 0 < longest <= length
    return Batch(inputs, tokens, inputs * length - tokens, int((mask.sum(1) >= longest).sum()) if full else 0)


def server(url: Any) -> Server | None:
    """Where a URL leads: a string, or a library's own object with ``host``, ``port`` and ``scheme``."""
    if isinstance(url, str):
        return _parsed(url)
    host = getattr(url, "host", None)
    if not isinstance(host, str) or not host:
        return None
    return Server(host, count(url.port) or _default_port(url.scheme))


@lru_cache(maxsize=256)
def _parsed(url: str) -> Server | None:
    try:
        parts = urlsplit(url)
        return Server(parts.hostname, parts.port or _default_port(parts.scheme)) if parts.hostname else None
    except ValueError:
        return None


def _default_port(scheme: Any) -> int:
    return 80 if scheme == "http" else 443


def listed(response: Any) -> Reply:
    """The reply of an API that answers as OpenAI's does; what a server leaves out, the client's object lacks."""
    try:  # the usual kinds at once: each function that is called costs as much as all of this
        data, tokens, model = response.data, response.usage.prompt_tokens, response.model
        vector = data[0].embedding
        usual = type(vector) is list and vector and type(model) is str and model.isascii()
        if usual and type(tokens) is int and 0 < tokens < _ABSURD:
            return Reply(model or None, len(data), len(vector), tokens)
    except (AttributeError, LookupError, TypeError):
        pass
    return _listed(response)


def _listed(response: Any) -> Reply:
    """The same where something is missing or of another kind."""
    data, usage = getattr(response, "data", None), getattr(response, "usage", None)
    if isinstance(usage, dict):  # a field that the client has no class for
        tokens = usage.get("prompt_tokens") or usage.get("total_tokens")
    else:
        tokens = getattr(usage, "prompt_tokens", None) or getattr(usage, "total_tokens", None)
    listed = data if isinstance(data, (list, tuple)) and data else None
    vector = None if listed is None else getattr(listed[0], "embedding", None)
    model = getattr(response, "model", None)
    return Reply(text(model), None if listed is None else len(listed), dimensions(vector), count(tokens))


def unparsed(raw: Any) -> Reply:
    """What the ends of an answer of that form say that the application reads itself, without decoding its vectors."""
    body = getattr(raw, "_content", None)  # only there once the application, or the client for it, has read it
    if not isinstance(body, bytes):
        extensions = getattr(raw, "extensions", None)
        body = extensions.get("otel_embed.tail") if isinstance(extensions, dict) else None
    if not isinstance(body, bytes):
        return Reply()
    ends = body if len(body) <= 2 * _EDGE else body[:_EDGE] + b" " + body[-_EDGE:]
    usage, model = _USAGE.search(ends), _MODEL.search(ends)
    counts = _counts(usage[1]) if usage else {}
    return Reply(
        model=model[1].decode(errors="replace") if model else None,
        tokens=count(counts.get("prompt_tokens")) or count(counts.get("total_tokens")),
    )


def _counts(usage: bytes) -> dict[str, Any]:
    try:
        counts: dict[str, Any] = json.loads(usage)
    except ValueError:
        return {}
    return counts
