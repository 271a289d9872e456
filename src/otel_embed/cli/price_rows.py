"""Prices as people read them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.table import Table
from rich.text import Text

from otel_embed import __version__
from otel_embed.cli.known_prices import Amount, Known, days
from otel_embed.cli.terminal import printable
from otel_embed.cli.units import dollars, plural
from otel_embed.environment_variables import OTEL_EMBED_PRICES


def table(rows: Iterable[Known]) -> Table:
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
            shown.add_row(name, amount(price), price.unit, checked)
    return shown


def explained(row: Known, own: str | None, instead: Known | None) -> Iterator[str]:
    """Which row it is, what it says and who says so. ``instead`` is the package's row that one of the user's replaces."""
    yield f"{row.provider} {row.model}{', a chat model' if row.kind == 'chat' else ''}"
    if row.aliases:
        yield f"  also {', '.join(row.aliases)}"
    for price in row.prices:
        yield f"  ${amount(price)} for a million {price.unit}, says {origin(price, own)}"
    for url in dict.fromkeys(price.url for price in row.prices if price.url):
        yield f"  {url}"
    if instead is not None:
        yield f"  instead of {_amounts(instead.prices)} in otel-embed {__version__}"
    yield from _costs(row)


def _costs(row: Known) -> Iterator[str]:
    costs = {price.unit: price.usd_per_million for price in row.prices}
    if row.kind == "chat":
        both = dollars(costs["input tokens"] + costs["output tokens"])
        yield f"  A million tokens in and a million out cost {both}."
        if row.up_to_input_tokens is not None:
            yield f"  With more than {plural(row.up_to_input_tokens, 'input token')} in a call, the cost is unknown."
    elif "tokens" in costs:
        yield f"  A million tokens cost {dollars(costs['tokens'])}."
    else:
        yield "  Its calls have no cost: otel-embed counts tokens, and this model is not billed by them."


def amount(price: Amount) -> str:
    """Dollars for a million: ``0.02``, ``0.000015``, ``100000``; nothing is rounded away."""
    return f"{price.usd_per_million:.6f}".rstrip("0").rstrip(".")


def _amounts(prices: Sequence[Amount]) -> str:
    return ", ".join(f"${amount(price)} ({price.unit})" for price in prices)


def origin(price: Amount, own: str | None) -> str:
    """``otel-embed 0.1.0, checked 2026-11-24, 12 days ago``."""
    age = days(price.checked)
    if price.source == "user":
        who = f"{OTEL_EMBED_PRICES}, {own}" if own else OTEL_EMBED_PRICES
    elif age is None:
        return price.checked  # the name and version of a library
    else:
        who = f"otel-embed {__version__}"
    when = "today" if age == 0 else f"{plural(age, 'day')} ago" if age is not None else ""
    return ", ".join(filter(None, (who, price.checked and f"checked {price.checked}", when)))
