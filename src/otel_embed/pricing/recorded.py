"""What inputs were billed as when they were embedded, so that a cache's hit is worth what it would have cost."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

MOST = 20_000
Text = tuple[int, int]
"""A text's hash in this process, and its length in characters: never the text."""


class RecordedTokens:
    """The tokens of inputs that this process saw being embedded behind a cache, the newest ``MOST`` of them."""

    def __init__(self) -> None:
        self._tokens: dict[int, int] = {}

    def learn(self, whose: Hashable, tokens: int, texts: Iterable[Text]) -> None:
        """Divide what a request billed among its texts, by their length; the parts add up to the whole."""
        texts = list(texts)
        characters = sum(length for _, length in texts)
        if not characters:
            return
        so_far = given = 0
        for text, length in texts:
            so_far += length
            share = round(tokens * so_far / characters) - given
            given += share
            if len(self._tokens) >= MOST:
                self._tokens.pop(next(iter(self._tokens)), None)
            self._tokens[hash((whose, text))] = share

    def of(self, whose: Hashable, texts: Iterable[Text]) -> tuple[int, int]:
        """The tokens of the texts that are known, and the characters of the others."""
        tokens = unknown = 0
        for text, length in texts:
            known = self._tokens.get(hash((whose, text)))
            if known is None:
                unknown += length
            else:
                tokens += known
        return tokens, unknown
