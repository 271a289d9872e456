"""What a provider says in the headers of its answer: what is left of the rate limit, how long it took."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from otel_embed.record import Answer

_ABSURD = 1e15
_answer: Callable[[list[float | None]], Answer] = partial(tuple.__new__, Answer)  # without a Python frame for it


_NAMES = {
    "x-ratelimit-remaining-requests": 0,
    "x-ratelimit-remaining": 0,
    "ratelimit-remaining": 0,
    "x-ratelimit-remaining-req-minute": 0,
    "x-trial-endpoint-call-remaining": 0,
    "x-ratelimit-remaining-tokens": 1,
    "x-ratelimit-remaining-tokens-minute": 1,
    "x-ratelimitbysize-remaining-minute": 1,
    "x-tokenlimit-remaining": 1,
    "openai-processing-ms": 2,
    "voyage-processing-ms": 2,
    "x-total-time": 2,
    "x-amzn-bedrock-invocation-latency": 2,
    "x-envoy-upstream-service-time": 2,
    "content-length": 3,
}
"""Which fact a header tells, by the fact's place in an ``Answer``."""
_seen: dict[str | bytes, int | None] = {}
"""The same for each spelling of a header that came by, as text or bytes; None for one that tells nothing."""
_MAX_SEEN = 2000
_UNSEEN = -1


def read(headers: Any, server_seconds: float | None = None) -> Answer | None:
    """Read one answer's headers, in one pass; names in any case, values that are no numbers ignored.

    ``headers`` are pairs, of text or bytes, or an object whose ``raw`` are such pairs; ``server_seconds`` is what the
    answer's body says, which no header overrides.
    """
    if headers is None:
        return None if server_seconds is None else Answer(server_ms=1e3 * server_seconds)
    facts: list[float | None] = [None, None, None, None]
    for name, value in getattr(headers, "raw", headers):
        fact = _seen.get(name, _UNSEEN)
        if fact is _UNSEEN:
            fact = _look_up(name)
        if fact is not None:
            facts[fact] = int(value) if value.isdigit() and len(value) < 15 else _number(value)
    if server_seconds is not None:
        facts[2] = 1e3 * server_seconds
    return _answer(facts)


def _look_up(name: str | bytes) -> int | None:
    fact = _NAMES.get((name.decode("latin-1") if isinstance(name, bytes) else name).lower())
    if len(_seen) < _MAX_SEEN:
        _seen[name] = fact
    return fact


def number(headers: Any, name: str) -> float | None:
    """What one header of an answer says, by its name in lower case; None where it is not there or no number."""
    for key, value in getattr(headers, "raw", headers) or ():
        if key.lower() in (name, name.encode()):
            return _number(value)
    return None


def _number(value: str | bytes) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if 0 <= number < _ABSURD else None
