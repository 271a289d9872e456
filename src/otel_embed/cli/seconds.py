"""How long a command may wait for something."""

from __future__ import annotations

from typing import Any

import click

from otel_embed.options import SECONDS


class Seconds(click.ParamType):  # type: ignore[type-arg]  # older click's has no arguments
    """More than 0, and not more than a day: click's own range takes what is not a number (NaN)."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            seconds = float(value)
        except ValueError:
            seconds = -1.0
        if not (seconds > 0 and SECONDS.has(seconds)):
            self.fail(f"{value!r} is no number of seconds above 0, up to {SECONDS.most:,}", param, ctx)
        return seconds
