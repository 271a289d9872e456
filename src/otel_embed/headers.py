"""What a provider says in the headers of its answer: what is left of the rate limit, how long it took."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from otel_embed.record import RateLimit

Pairs = Iterable[tuple[bytes, bytes]]


class Answer(NamedTuple):
    """The facts of one answer's headers; None where the provider does not say."""

    rate_limit: RateLimit | None = None
    server_seconds: float | None = None
    body_bytes: int | None = None


_REQUESTS = frozenset({b"x-ratelimit-remaining-requests", b"x-ratelimit-remaining", b"ratelimit-remaining"})
_TOKENS = frozenset({b"x-ratelimit-remaining-tokens"})
_SERVER_MS = frozenset({b"openai-processing-ms", b"voyage-processing-ms", b"x-total-time", b"x-envoy-upstream-service-time"})
_NUMBER = re.compile(rb"\d{1,15}(?:\.\d{1,9})?")


def read(headers: Pairs) -> Answer:
    """Read one answer's headers, in one pass; names in any case, values that are no numbers ignored."""
    requests = tokens = milliseconds = size = None
    for name, value in headers:
        name = name.lower()
        if name in _REQUESTS:
            requests = _number(value)
        elif name in _TOKENS:
            tokens = _number(value)
        elif name in _SERVER_MS:
            milliseconds = _number(value)
        elif name == b"content-length":
            size = _number(value)
    return Answer(
        None if requests is None and tokens is None else RateLimit(_whole(requests), _whole(tokens)),
        None if milliseconds is None else milliseconds / 1e3,
        _whole(size),
    )


def _number(value: bytes) -> float | None:
    return float(value) if _NUMBER.fullmatch(value) else None


def _whole(number: float | None) -> int | None:
    return None if number is None else int(number)
