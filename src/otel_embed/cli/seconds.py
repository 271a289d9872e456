"""How long a command may wait for something."""

from __future__ import annotations

from typing import Any

import click

MOST = 86_400


class Seconds(click.ParamType):  # type: ignore[type-arg]  # older click's has no arguments
    """More than 0, and not more than a day: click's own range takes what is not a number (NaN)."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            seconds = float(value)
        except ValueError:
            seconds = -1.0
        if not 0 < seconds <= MOST:
            self.fail(f"{value!r} is no number of seconds above 0, up to {MOST:,}", param, ctx)
        return seconds
