"""Google's Gemini API and Vertex AI, through the google-genai client."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from otel_embed.provider import Arguments, Call, Provider
from otel_embed.reading import amount, count, dimensions, first, server, text, told
from otel_embed.record import InputKind, Reply, Request, Unit

_UNITS: dict[str, Unit] = {"TEXT": "tokens", "MODALITY_UNSPECIFIED": "tokens", "IMAGE": "image_tokens"}


def _request(call: Arguments) -> Request:
    client, config = told(call.instance, "_api_client"), call.kwargs.get("config")
    model, contents = text(call.kwargs.get("model")), call.kwargs.get("contents")
    texts = _texts(contents)
    options = told(config, "http_options")
    return Request(
        model,
        None if texts is None or _may_merge(model, contents) else len(_listed(contents)),
        _kind(texts),
        count(told(config, "output_dimensionality")),
        None,
        server(told(options, "base_url") or told(told(client, "_http_options"), "base_url")),
        "gcp.vertex_ai" if told(client, "vertexai") else "gcp.gemini",
        texts if texts is not None and None not in texts else None,
    )


def _texts(contents: Any) -> list[str | None] | None:
    """What the parts say that are texts, None for another one; nothing is known of what can be walked only once, or is
    no kind of list that the client documents."""
    strange = isinstance(contents, (Collection, Iterator)) and not isinstance(contents, (str, dict, list, tuple))
    if contents is None or strange:
        return None
    return [_text(part) for part in _parts(contents)]


def _may_merge(model: str | None, contents: Any) -> bool:
    """Some models make one vector of several texts: how many inputs those are, only the answer tells."""
    name = (model or "").rpartition("/")[2]
    several = isinstance(contents, (list, tuple)) and len(contents) > 1
    return several and ("maas" in name or ("gemini" in name and not name.startswith("gemini-embedding-001")))


def _listed(contents: Any) -> Any:
    return contents if isinstance(contents, (list, tuple)) else [contents]


def _parts(contents: Any) -> Iterator[Any]:
    for content in _listed(contents):
        parts = None if isinstance(content, str) else told(content, "parts")
        yield from parts if isinstance(parts, (list, tuple)) else [content]


def _text(part: Any) -> str | None:
    if isinstance(part, str):
        return part
    # An image has an attribute ``text`` too, and reads its whole file for it.
    return text(told(part, "text")) if isinstance(part, dict) or hasattr(part, "inline_data") else None


def _kind(texts: list[str | None] | None) -> InputKind | None:
    if texts is None:
        return None
    if None not in texts:
        return "text"
    return "mixed" if any(texts) else "image"


def _reply(response: Any) -> Reply:
    embeddings, usage = told(response, "embeddings"), told(response, "usage_metadata")
    vector = first(embeddings)
    billed = _by_unit(told(usage, "prompt_tokens_details") or told(told(vector, "statistics"), "tokens_details"))
    characters = amount(told(told(response, "metadata"), "billable_character_count"))
    tokens = billed.pop("tokens", None)
    if tokens is None and not billed:
        tokens = count(told(usage, "prompt_token_count")) or _counted(embeddings)
    return Reply(
        vectors=len(embeddings) if vector is not None else None,
        dimensions=dimensions(told(vector, "values")),
        tokens=count(tokens),
        media=(*billed.items(), *((("characters", characters),) if characters else ())),
    )


def _by_unit(details: Any) -> dict[Unit, float]:
    found: dict[Unit, float] = {}
    for detail in details if isinstance(details, list) else ():
        tokens, modality = amount(told(detail, "token_count")), told(detail, "modality")
        if tokens is not None:
            unit = _UNITS.get(modality, "other_tokens") if isinstance(modality, str) else "tokens"
            found[unit] = found.get(unit, 0) + tokens
    return found


def _counted(embeddings: Any) -> float | None:
    """The sum over all inputs, which Vertex AI counts one by one; None where it does not for one of them."""
    counts = [amount(told(told(each, "statistics"), "token_count")) for each in _listed(embeddings)]
    known = [each for each in counts if each is not None]
    return sum(known) if len(known) == len(counts) else None


PROVIDER = Provider(
    name="google_genai",
    requires="google-genai>=1.0,<4",
    calls=(
        Call("google.genai.models:Models.embed_content", _request, _reply),
        Call("google.genai.models:AsyncModels.embed_content", _request, _reply),
    ),
)
