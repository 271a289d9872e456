"""Prices as people read them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from rich.table import Table
from rich.text import Text

from otel_embed import __version__
from otel_embed.cli.terminal import printable
from otel_embed.environment_variables import OTEL_EMBED_PRICES
from otel_embed.pricing.prices import Price, Row


def table(rows: Iterable[Row]) -> Table:
    """A line for each price: a model may have one for texts and another for images."""
    shown = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    shown.add_column("model", overflow="fold")
    shown.add_column("$", justify="right", no_wrap=True)
    shown.add_column("for a million", no_wrap=True)
    shown.add_column("checked", style="dim", no_wrap=True)
    for row in rows:
        name = Text(printable(f"{row.provider} {row.model}"))
        name.stylize("dim", 0, len(row.provider))
        for price in row.prices:
            checked = " ".join(filter(None, (price.checked, "(your own)" if price.source == "user" else "")))
            shown.add_row(name, amount(price), units(price), checked)
    return shown


def amount(price: Price) -> str:
    """Dollars for a million: ``0.02``, ``0.000015``, ``100000``; nothing is rounded away."""
    return f"{price.usd_per_million:.6f}".rstrip("0").rstrip(".")


def units(price: Price) -> str:
    return price.unit.replace("_", " ")


def origin(price: Price) -> str:
    """``otel-embed 0.1.0, checked 2026-11-24``."""
    if price.source == "user":
        who = OTEL_EMBED_PRICES
    elif _checked(price) is None:
        return price.checked  # the name and version of a library
    else:
        who = f"otel-embed {__version__}"
    return f"{who}, checked {price.checked}" if price.checked else who


def days(price: Price, today: date) -> int | None:
    """How long ago the price was compared with its page; None where nobody says when."""
    checked = _checked(price)
    return None if checked is None else (today - checked).days


def _checked(price: Price) -> date | None:
    try:
        return date.fromisoformat(price.checked)
    except ValueError:
        return None
