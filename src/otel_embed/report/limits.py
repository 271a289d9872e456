"""What each provider last said is left of its rate limit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from otel_embed.headers import number, read

MAX_MODELS = 1000
_LIMITS = {
    "requests": (
        "x-ratelimit-limit-requests",
        "x-ratelimit-limit",
        "ratelimit-limit",
        "x-ratelimit-limit-req-minute",
    ),
    "tokens": ("x-ratelimit-limit-tokens", "x-ratelimit-limit-tokens-minute", "x-ratelimitbysize-limit-minute"),
}
"""The headers that say how much there is of each kind, beside those that say what is left."""


class RateLimits:
    """The headers of the newest answer by provider and model; they are read when somebody looks."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.newest: dict[tuple[str, str | None], Any] = {}

    def headroom(self) -> Iterator[tuple[str, str | None, str, float]]:
        """Provider, model, the kind of limit and the part of it that is left, from 0 to 1."""
        for (provider, model), headers in list(self.newest.items()):
            for kind, left in zip(("requests", "tokens"), read(headers) or ()):
                most = next(filter(None, (number(headers, name) for name in _LIMITS[kind])), None)
                if left is not None and most is not None:
                    yield provider, model, kind, min(1.0, left / most)

    def now(self) -> Iterator[tuple[str, str | None, str, float]]:
        """Provider, model, the kind of limit (``requests`` or ``tokens``) and what is left of it."""
        for (provider, model), headers in list(self.newest.items()):
            for kind, left in zip(("requests", "tokens"), read(headers) or ()):
                if left is not None:
                    yield provider, model, kind, left
