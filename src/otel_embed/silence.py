"""Functions inside which nothing is observed."""

from __future__ import annotations

from contextvars import Token
from typing import Any

from opentelemetry import context
from opentelemetry.context import Context

from otel_embed.observe import SUPPRESSED


class SilentSite:
    """A wrapped function whose work another process counts."""

    always = True

    def open(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Silence:
        return Silence()


class Silence:
    def __init__(self) -> None:
        self.token: Token[Context] | None = context.attach(context.set_value(SUPPRESSED, True))

    def close(self, result: Any, error: BaseException | None) -> None:
        pass
