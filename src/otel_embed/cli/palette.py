"""One colour and one letter a stage: letters where there is no colour, and for those who see few."""

from __future__ import annotations

from typing import NamedTuple


class Look(NamedTuple):
    letter: str
    colour: str
    meaning: str


LOOKS = {
    "cache_lookup": Look("l", "#6fb98f", "asking the cache"),
    "tokenize": Look("t", "#c39bd3", "counting and cutting tokens"),
    "serialize": Look("s", "#a58bd8", "building the request"),
    "acquire": Look("a", "#b9c4d6", "waiting for a free connection"),
    "connect": Look("c", "#93b5e1", "connecting"),
    "tls": Look("h", "#7b93c9", "TLS handshake"),
    "send": Look("u", "#58b4c4", "sending the request"),
    "wait": Look("w", "#4f86d6", "waiting for the first byte: network and server"),
    "receive": Look("r", "#3fae9f", "receiving the vectors"),
    "backoff": Look("b", "#e07a6c", "sleeping before a retry"),
    "deserialize": Look("d", "#8d73d0", "decoding the vectors"),
    "forward": Look("f", "#d98cb3", "running the local model"),
    "pool": Look("p", "#eab0c8", "pooling and normalising"),
    "cache_write": Look("k", "#a3cf8b", "writing to the cache"),
    "other": Look("o", "#9aa1ab", "everything else"),
}


def look(stage: str) -> Look:
    """Of a stage that this version does not know: a question mark and grey."""
    return LOOKS.get(stage, Look("?", "#9aa1ab", stage))
