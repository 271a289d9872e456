"""What a provider says in the headers of its answer: what is left of the rate limit, how long it took."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from otel_embed.record import RateLimit

_ABSURD = 1e15


class Answer(NamedTuple):
    """The facts of one answer's headers; None where the provider does not say."""

    rate_limit: RateLimit | None = None
    server_seconds: float | None = None
    body_bytes: int | None = None


_NO_ANSWER = Answer()
_REQUESTS, _TOKENS, _SERVER_MS, _SIZE = range(4)
_NAMES = {
    "x-ratelimit-remaining-requests": _REQUESTS,
    "x-ratelimit-remaining": _REQUESTS,
    "ratelimit-remaining": _REQUESTS,
    "x-ratelimit-remaining-tokens": _TOKENS,
    "openai-processing-ms": _SERVER_MS,
    "voyage-processing-ms": _SERVER_MS,
    "x-total-time": _SERVER_MS,
    "x-envoy-upstream-service-time": _SERVER_MS,
    "content-length": _SIZE,
}
_FACTS: dict[str | bytes, int] = {}
for _name, _fact in _NAMES.items():
    _FACTS[_name] = _FACTS[_name.encode()] = _fact


def read(headers: Iterable[tuple[Any, Any]] | None) -> Answer:
    """Read one answer's headers, in one pass; names in any case, values that are no numbers ignored."""
    if headers is None:
        return _NO_ANSWER
    facts: list[float | None] = [None] * 4
    for name, value in headers:
        fact = _FACTS.get(name.lower())
        if fact is not None:
            facts[fact] = _number(value)
    requests, tokens, milliseconds, size = facts
    return Answer(
        None if requests is None and tokens is None else RateLimit(_whole(requests), _whole(tokens)),
        None if milliseconds is None else milliseconds / 1e3,
        _whole(size),
    )


def _number(value: str | bytes) -> float | None:
    try:
        number = float(value)
    except (ValueError, TypeError):
        return None
    return number if 0 <= number < _ABSURD else None


def _whole(number: float | None) -> int | None:
    return None if number is None else int(number)
