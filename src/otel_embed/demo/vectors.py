"""Deterministic stand-ins for a model: the tokens of a text, and a vector by which similar texts are found."""

from __future__ import annotations

import random
import re
from array import array
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from math import hypot, sqrt
from zlib import crc32

TOKEN = re.compile(r"\w+|[^\w\s]")
COMMON_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be by can do does for from has have how i if in into is it its me my not of on or so that "
        "the their then there this to was what when where which who why will with you your",
    )
)


def tokenize(text: str | Sequence[int]) -> list[str]:
    """Split a text into words and punctuation marks, in lower case; token ids stand for themselves.

    A text has at least one token.
    """
    if isinstance(text, str):
        return TOKEN.findall(text.lower()) or [""]
    return [str(token) for token in text]


def embed(tokens: Sequence[str], dimensions: int) -> array[float]:
    """A unit vector: hashed words and pairs of neighbouring words, around a direction that all texts share."""
    weights = _features(tokens)
    scale = 1 / sqrt(sum(weights.values()) or 1)
    vector = array("f", _shared_direction(dimensions))
    for feature, weight in weights.items():
        size = sqrt(weight) * scale
        vector[feature % dimensions] += size if feature & 0x8000_0000 else -size
    norm = hypot(*vector)
    return array("f", [value / norm for value in vector])


def _features(tokens: Sequence[str]) -> dict[int, float]:
    weights: dict[int, float] = defaultdict(float)
    previous = 0
    for token in tokens:
        if token in COMMON_WORDS or not token[:1].isalnum():
            continue
        word = token.removesuffix("s").encode()
        feature = crc32(word)
        weights[feature] += 1.0
        weights[crc32(word, previous)] += 0.5
        previous = feature
    return weights


@lru_cache(maxsize=32)
def _shared_direction(dimensions: int) -> array[float]:
    """Real embeddings are dense, and unrelated texts are not orthogonal: half a unit vector in every one of them."""
    source = random.Random(dimensions)
    values = [source.gauss(0, 1) for _ in range(dimensions)]
    norm = hypot(*values) * 2
    return array("f", [value / norm for value in values])
