"""What each provider last said is left of its rate limit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from otel_embed.headers import number, read

MAX_MODELS = 1000
_FAMILIES = (
    ("requests", "x-ratelimit-remaining-requests", "x-ratelimit-limit-requests"),
    ("requests", "x-ratelimit-remaining", "x-ratelimit-limit"),
    ("requests", "ratelimit-remaining", "ratelimit-limit"),
    ("requests", "x-ratelimit-remaining-req-minute", "x-ratelimit-limit-req-minute"),
    ("tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-limit-tokens"),
    ("tokens", "x-ratelimit-remaining-tokens-minute", "x-ratelimit-limit-tokens-minute"),
    ("tokens", "x-ratelimitbysize-remaining-minute", "x-ratelimitbysize-limit-minute"),
)
"""By kind of limit, the headers that belong together: what is left, and of how much. A proxy's may be beside the
provider's, and limit something else."""


class RateLimits:
    """The headers of the newest answer by provider and model; they are read when somebody looks."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.newest: dict[tuple[str, str | None], Any] = {}

    def headroom(self) -> Iterator[tuple[str, str | None, str, float]]:
        """Provider, model, the kind of limit and the part of it that is left, from 0 to 1."""
        for (provider, model), headers in list(self.newest.items()):
            parts: dict[str, float] = {}
            for kind, remaining, limit in _FAMILIES:
                left, most = number(headers, remaining), number(headers, limit)
                if left is not None and most:
                    parts.setdefault(kind, min(1.0, left / most))
            for kind, part in parts.items():
                yield provider, model, kind, part

    def now(self) -> Iterator[tuple[str, str | None, str, float]]:
        """Provider, model, the kind of limit (``requests`` or ``tokens``) and what is left of it."""
        for (provider, model), headers in list(self.newest.items()):
            for kind, left in zip(("requests", "tokens"), read(headers) or ()):
                if left is not None:
                    yield provider, model, kind, left
