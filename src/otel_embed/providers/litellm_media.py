"""What LiteLLM embeds and bills beside texts: images and files, which are strings or dictionaries among its inputs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from otel_embed.reading import amount, count, first, inputs, told
from otel_embed.record import InputKind, Media, Unit

_FILE = re.compile(r"gs://|data:(?:(?:image|audio|video|application)/|[^\s,]{0,99};base64,)")
"""How a file of any provider's begins that stands in the place of a text."""
_FILES = {
    "bedrock": ("s3://",),
    "gemini": ("files/", "https://generativelanguage.googleapis.com/v1beta/files/"),
}
"""How one of a single provider's begins."""
_BEGINNINGS = ("gs://", "data:")
_TYPES = ("image", "audio", "video")
"""Of ``input_type``: then also strings that nothing tells from a text are none."""
_GUESSED = "amazon.nova"
"""Models whose tokens LiteLLM makes up, from the dimensions of their vectors."""


class Billed(NamedTuple):
    """What is billed, as LiteLLM tells it."""

    tokens: int | None
    """Of texts; None when it does not say."""
    media: Media = ()
    whole: bool = True
    """False where the cost that LiteLLM tells leaves a part of that out."""


def inputs_of(content: Any, provider: str, input_type: Any = None) -> tuple[int | None, InputKind | None]:
    """How many inputs and of what kind; a file of any kind is taken for an image."""
    how_many, kind = inputs(content)
    elements = [content] if isinstance(content, str) else content
    if not how_many or isinstance(first(elements), int):
        return how_many, kind
    if isinstance(input_type, str) and input_type in _TYPES:
        return how_many, "image"
    begins = (*_BEGINNINGS, *_FILES.get(provider, ()))
    if not [each for each in elements if not isinstance(each, str) or each.startswith(begins)]:
        return how_many, kind
    are_texts = {is_text for element in elements for is_text in _parts(element, begins[len(_BEGINNINGS) :])}
    if False not in are_texts:
        return how_many, "text" if True in are_texts else kind
    return how_many, "mixed" if True in are_texts else "image"


def _parts(element: Any, begins: tuple[str, ...]) -> Iterator[bool]:
    """Of each part of an input whether it is a text; nothing of a list of token ids."""
    if isinstance(element, str):
        yield not (_FILE.match(element) or element.startswith(begins))
    elif isinstance(element, dict):
        parts = element.get("content")
        if isinstance(parts, list):
            yield from (isinstance(part, str) or told(part, "type") == "text" for part in parts)
        else:
            yield from (name == "text" for name in element if name != "type")
    elif isinstance(element, list) and not isinstance(first(element), int):
        for part in element:
            yield from _parts(part, begins) if isinstance(part, (str, dict)) else ()


def length(element: Any) -> int:
    """Of an input in characters or token ids; 0 for a file."""
    is_file = isinstance(element, str) and _FILE.match(element)
    return len(element) if isinstance(element, (str, list)) and not is_file else 0


def billed(model: str | None, tokens: int | None, details: Any) -> Billed:
    """``tokens`` are all that LiteLLM tells, ``details`` what it tells of them."""
    images, of_images = count(told(details, "image_count")), count(told(details, "image_tokens")) or 0
    of_others = sum(count(told(details, name)) or 0 for name in ("audio_tokens", "video_tokens"))
    of_texts, characters = count(told(details, "text_tokens")), amount(told(details, "character_count"))
    rest = of_texts or count((tokens or 0) - of_images - of_others)
    # It bills no texts beside images unless it knows their tokens or characters.
    whole = not images or not rest or of_texts is not None or characters is not None
    known = None if model is not None and _GUESSED in model else rest
    if amount(told(details, "video_length_seconds")) or amount(told(details, "audio_length_seconds")):
        return Billed(known, (), whole)  # what a second costs, no table of ours says
    of_images -= images or 0  # of Cohere, whose images LiteLLM adds to their tokens
    amounts: tuple[tuple[Unit, float | None], ...] = (
        ("image_tokens", of_images if of_images > 0 else None),
        ("images", None if of_images > 0 else images),  # an image is paid for once, by its tokens where those are told
        ("other_tokens", of_others or None),
        ("characters", characters),
    )
    return Billed(known, tuple((unit, many) for unit, many in amounts if many is not None), whole)
