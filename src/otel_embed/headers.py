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
"""Which fact a header tells, by the fact's place in an ``Answer``. Of two that tell the same one, that which stands
first here is taken, in whatever order they came: a proxy's may be beside the provider's."""
_SERVER_TIME = 2
_Name = str | bytes
_plans: dict[tuple[_Name, ...], tuple[tuple[int, int], ...]] = {}
"""For the names of an answer's headers, as they were spelled and in their order, where those are that tell something
and which fact that is: a provider's answers have nearly always the same ones."""
_MAX_PLANS = 200


def read(headers: Any, server_seconds: float | None = None) -> Answer | None:
    """Read one answer's headers; names in any case, values that are no numbers ignored.

    ``headers`` are pairs, of text or bytes, or an object whose ``raw`` are such pairs; ``server_seconds`` is what the
    answer's body says, which no header overrides.
    """
    if headers is None:
        return None if server_seconds is None else Answer(server_seconds=server_seconds)
    names, values = _columns(headers)
    plan = _plans.get(names)
    facts: list[float | None] = [None, None, None, None]
    for place, fact in _plan(names) if plan is None else plan:
        value = values[place]
        facts[fact] = int(value) if value.isdigit() and len(value) < 15 else _fact(fact, value)
    milliseconds = facts[_SERVER_TIME]
    if server_seconds is not None:
        facts[_SERVER_TIME] = server_seconds
    elif milliseconds is not None:
        facts[_SERVER_TIME] = milliseconds / 1e3
    return _answer(facts)


def _columns(headers: Any) -> tuple[tuple[_Name, ...], tuple[Any, ...]]:
    listed = getattr(headers, "_list", None)  # what httpx makes ``raw`` of, each time that it is asked
    if type(listed) is list and listed and len(listed[0]) == 3:
        names, _, values = zip(*listed)
        return names, values
    pairs = tuple(zip(*getattr(headers, "raw", headers)))
    return (pairs[0], pairs[1]) if pairs else ((), ())


def _plan(names: tuple[_Name, ...]) -> tuple[tuple[int, int], ...]:
    lower = [(name.decode("latin-1") if isinstance(name, bytes) else name).lower() for name in names]
    found = [(-list(_NAMES).index(name), place) for place, name in enumerate(lower) if name in _NAMES]
    plan = tuple((place, _NAMES[lower[place]]) for _, place in sorted(found))  # what is read last is taken
    if len(_plans) < _MAX_PLANS:
        _plans[names] = plan
    return plan


def _fact(fact: int, value: str | bytes) -> float | None:
    number = _number(value)
    return number if number is None or fact == _SERVER_TIME else int(number)


def number(headers: Any, name: str) -> float | None:
    """What one header of an answer says, by its name in lower case; None where it is not there or no number."""
    for key, value in getattr(headers, "raw", headers) or ():
        if (key.decode("latin-1") if isinstance(key, bytes) else key).lower() == name:  # never text with bytes: -bb
            return _number(value)
    return None


def _number(value: str | bytes) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if 0 <= number < _ABSURD else None
