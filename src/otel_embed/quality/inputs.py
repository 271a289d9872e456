"""Texts that should not have been sent: empty ones, repeated ones, and those that a model cuts short."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Hashable, Iterable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple, TypeVar

_SLOTS = 1 << 16
_MOST_CHARACTERS_A_TOKEN = 5
"""Prose in any language has fewer, so that a text of more than this many a token is certainly longer."""
_MOST_MEASURED = 4096
_CHARACTERS_A_TOKEN, _BYTES_A_TOKEN = 4, 8


T = TypeVar("T", bound=Hashable)


class Memory:
    """Which texts were embedded, in half a megabyte however many there were.

    Kept are 64 bits of Python's own hash of each, which has a key of its own in every process (PYTHONHASHSEED): it
    tells nothing of the text, and never leaves the process. A text takes the place of another, so that a repetition
    after very many others is not noticed; one that did not happen is never reported.
    """

    def __init__(self) -> None:
        self._seen = array("q")

    def known(self, texts: Iterable[T], model: object) -> list[T]:
        """Which of these texts were embedded with this model before; from now on all of them were."""
        seen = self._seen = self._seen or array("q", bytes(8 * _SLOTS))
        asked, found = hash(model), []
        for text in texts:
            mark = hash((text, asked))
            slot = mark % _SLOTS
            if seen[slot] == mark:
                found.append(text)
            else:
                seen[slot] = mark
        return found


class Looked(NamedTuple):
    """What the texts of one call were found to be: how many were looked at, and of how many characters they are. A list
    of token ids is a text of so many bytes."""

    inputs: int
    characters: int
    of_all: float
    """The characters of all texts of the call; an estimate where there are very many."""
    empty: int
    duplicate: int
    """Texts that stand in the same call before."""
    duplicate_characters: int
    repeated: int
    """Texts that an earlier call embedded with the same model."""
    repeated_characters: int
    lengths: list[int]
    """Of the texts, in characters."""
    a_token: int
    """How many characters a token has: about, for texts, and exactly for lists of token ids."""

    @property
    def are_tokens(self) -> bool:
        return self.a_token == _BYTES_A_TOKEN


def look(content: Any, model: object, memory: Memory | None, most_inputs: int, most_characters: int) -> Looked:
    """Look at texts, up to so many of them and so many characters; what is no text is passed over.

    Without a memory, no text counts as a repetition of one of another call.
    """
    texts, tokens = _texts(content)
    kinds = (list, tuple) if tokens else (str,)
    looked_at = [text for text in texts[:most_inputs] if type(text) in kinds]
    lengths = [_BYTES_A_TOKEN * len(text) for text in looked_at] if tokens else list(map(len, looked_at))
    if sum(lengths) > most_characters:
        many = bisect_right(list(accumulate(lengths)), most_characters) + 1
        looked_at, lengths = looked_at[:many], lengths[:many]
    if tokens:
        try:
            looked_at = [array("q", ids).tobytes() for ids in looked_at]  # whose hash, unlike a number's, has a key
        except (TypeError, OverflowError):  # no token ids
            looked_at, lengths = [], []
    written = [text for text in looked_at if text and not text.isspace()]
    different = dict.fromkeys(written)
    again = memory.known(different, model) if memory is not None else []
    characters, inputs = sum(lengths), len(looked_at)
    return Looked(
        inputs,
        characters,
        of_all=_characters(texts, kinds) * (_BYTES_A_TOKEN if tokens else 1) if inputs < len(texts) else characters,
        empty=inputs - len(written),
        duplicate=len(written) - len(different),
        duplicate_characters=sum(map(len, written)) - sum(map(len, different)),
        repeated=len(again),
        repeated_characters=sum(map(len, again)),
        lengths=lengths,
        a_token=_BYTES_A_TOKEN if tokens else _CHARACTERS_A_TOKEN,
    )


def _texts(content: Any) -> tuple[Sequence[Any], bool]:
    """What was sent, and whether that is lists of token ids, as LangChain's ``OpenAIEmbeddings`` makes them."""
    if isinstance(content, str):
        return (content,), False
    if not isinstance(content, (list, tuple)) or not content:
        return (), False
    if type(content[0]) is int:
        return (content,), True
    return content, isinstance(content[0], (list, tuple))


def _characters(texts: Sequence[Any], kinds: tuple[type, ...]) -> float:
    measured = sum(len(text) for text in texts[:_MOST_MEASURED] if type(text) in kinds)
    return measured * max(1.0, len(texts) / _MOST_MEASURED)


def too_long(looked: Looked, reported: int | None, most: int) -> int:
    """How many texts are at least as long as a model takes, in tokens: by their share of what the provider counted
    for all, and without doubt by their characters. Token ids are counted."""
    if looked.are_tokens:
        return sum(length > _BYTES_A_TOKEN * most for length in looked.lengths)
    if looked.inputs == 1 and looked.characters == looked.of_all and reported is not None:
        return int(reported >= most)
    a_character = reported / looked.of_all if reported is not None and looked.of_all else 0.0
    surely = _MOST_CHARACTERS_A_TOKEN * most
    return sum(length > surely or length * a_character >= most for length in looked.lengths)
