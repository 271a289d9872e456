"""What an embedding model on Bedrock is asked: the body of a request, of another form for each family of models."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from otel_embed.reading import count, text
from otel_embed.record import InputKind, Media

PARSED = 1 << 20
"""A longer body, in bytes or characters, is not parsed: only what stands at its two ends is known."""
_EDGE = 2048
_FIRST_FIELD = re.compile(r'\s*\{\s*"(\w+)"')
_FIELDS = {
    *("inputText", "inputImage", "embeddingConfig", "dimensions", "normalize", "embeddingTypes"),  # Titan's
    *("texts", "images", "inputs", "input_type", "embedding_types", "output_dimension", "truncate"),  # Cohere's
    *("schemaVersion", "taskType", "singleEmbeddingParams"),  # Nova's
}
_IMAGE: Media = (("images", 1),)


class Asked(NamedTuple):
    """What is known of a request by its body: with the defaults, nothing."""

    inputs: int | None = None
    kind: InputKind | None = None
    content: Any = None
    dimensions: int | None = None
    encoding_format: tuple[str, ...] | None = None
    media: Media | None = None
    """What is billed beside text; None where that is not known."""


def read(body: Any) -> Asked:
    """Read a body of text or bytes; a file is left alone."""
    if not isinstance(body, (str, bytes, bytearray)):
        return Asked()
    if len(body) > PARSED:
        return _glimpsed(_plain(body[:_EDGE]) + _plain(body[-_EDGE:]))
    fields = _parsed(body)
    if "inputText" in fields or "inputImage" in fields:
        return _titan(fields)
    if "singleEmbeddingParams" in fields:
        return _nova(_object(fields["singleEmbeddingParams"]))
    return _cohere(fields)


def asks_for_vectors(body: Any) -> bool:
    """Whether that is what a body is for, where its model does not tell; most others show it by their first field."""
    if not isinstance(body, (str, bytes, bytearray)) or len(body) > PARSED:
        return False
    begins = _FIRST_FIELD.match(_plain(body[:100]))
    if begins is None or begins[1] not in _FIELDS:
        return False
    fields = _parsed(body)
    if "inputText" in fields:
        return "textGenerationConfig" not in fields
    return "singleEmbeddingParams" in fields or ("input_type" in fields and _cohere(fields).inputs is not None)


def _titan(fields: dict[str, Any]) -> Asked:
    content, image = fields.get("inputText"), fields.get("inputImage") is not None
    kind: InputKind = "text" if not image else "image" if content is None else "mixed"
    config = _object(fields.get("embeddingConfig"))
    asked = count(fields.get("dimensions")) or count(config.get("outputEmbeddingLength"))
    forms = _forms(fields.get("embeddingTypes"))
    return Asked(1, kind, text(content), asked, forms, _IMAGE if image else ())


def _nova(asked: dict[str, Any]) -> Asked:
    dimensions = count(asked.get("embeddingDimension"))
    if "text" in asked:
        return Asked(1, "text", text(_object(asked["text"]).get("value")), dimensions, media=())
    if "image" in asked:
        document = _object(asked["image"]).get("detailLevel") == "DOCUMENT_IMAGE"  # which has a price of its own
        return Asked(1, "image", None, dimensions, media=None if document else _IMAGE)
    return Asked(1, None, None, dimensions)  # audio or video, billed by the second


def _cohere(fields: dict[str, Any]) -> Asked:
    texts, images, inputs = (fields.get(name) for name in ("texts", "images", "inputs"))
    dimensions, forms = count(fields.get("output_dimension")), _forms(fields.get("embedding_types"))
    if isinstance(texts, list) and texts:
        return Asked(len(texts), "text", texts, dimensions, forms, ())
    if isinstance(images, list) and images:
        return Asked(len(images), "image", None, dimensions, forms, (("images", len(images)),))
    return _interleaved(inputs)._replace(dimensions=dimensions, encoding_format=forms)


def _interleaved(inputs: Any) -> Asked:
    """Inputs that are made of texts and images."""
    if not isinstance(inputs, list) or not inputs:
        return Asked()
    contents = [_object(each).get("content") for each in inputs]
    parts = [_object(part) for content in contents if isinstance(content, list) for part in content]
    if not parts:
        return Asked(len(inputs))
    texts = [part.get("text") for part in parts if part.get("type") == "text"]
    images = len(parts) - len(texts)
    if not images:
        return Asked(len(inputs), "text", texts, media=())
    return Asked(len(inputs), "mixed" if texts else "image", media=(("images", images),))


def _glimpsed(ends: str) -> Asked:
    """By the fields at the two ends of a body."""
    if '"texts"' in ends:
        return Asked(None, "text", media=())
    if '"images"' in ends:
        return Asked(None, "image")
    if '"inputImage"' in ends:
        return Asked(1, "mixed" if '"inputText"' in ends else "image", media=_IMAGE)
    if '"singleEmbeddingParams"' in ends:
        image = '"image"' in ends
        return Asked(1, "image" if image else None, media=_IMAGE if image and '"DOCUMENT_IMAGE"' not in ends else None)
    return Asked()


def _plain(part: str | bytes | bytearray) -> str:
    return part if isinstance(part, str) else part.decode("latin-1")


def _parsed(body: str | bytes | bytearray) -> dict[str, Any]:
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _forms(types: Any) -> tuple[str, ...] | None:
    return tuple(filter(text, types[:8])) or None if isinstance(types, list) else None
