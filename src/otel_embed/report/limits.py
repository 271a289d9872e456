"""What each provider last said is left of its rate limit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from otel_embed.headers import read

MAX_MODELS = 1000


class RateLimits:
    """The headers of the newest answer by provider and model; they are read when somebody looks."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.newest: dict[tuple[str, str | None], Any] = {}

    def now(self) -> Iterator[tuple[str, str | None, str, float]]:
        """Provider, model, the kind of limit (``requests`` or ``tokens``) and what is left of it."""
        for (provider, model), headers in list(self.newest.items()):
            for kind, left in zip(("requests", "tokens"), read(headers) or ()):
                if left is not None:
                    yield provider, model, kind, left
