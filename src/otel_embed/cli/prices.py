"""``otel-embed prices``: what embeddings cost, and who says so."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from datetime import date
from importlib.util import find_spec
from typing import Any, get_args

import click

from otel_embed.cli import output
from otel_embed.cli.price_rows import amount, days, origin, table, units
from otel_embed.cli.terminal import printable, put
from otel_embed.cli.units import plural
from otel_embed.environment_variables import OTEL_EMBED_PRICES
from otel_embed.pricing.chat import user_rows
from otel_embed.pricing.prices import Price, Prices, inspect
from otel_embed.record import Unit

MAX_AGE = 180
_ANSWER_SECONDS = 30.0


@click.command("prices")
@click.argument("provider", required=False)
@click.argument("model", required=False)
@click.option("--check", "checks", is_flag=True, help="Look for old prices, and for mistakes in your own file.")
@click.option(
    "--max-age", type=click.IntRange(0), default=MAX_AGE, show_default=True, metavar="DAYS", help="For --check."
)
@click.option("--json", "as_json", is_flag=True, help="Print data.")
@click.pass_context
def command(
    ctx: click.Context, provider: str | None, model: str | None, checks: bool, max_age: int, as_json: bool
) -> None:
    """List prices, or explain the one of a model.

    Your own, from the file that OTEL_EMBED_PRICES names, are among them. The exit code is 1 where a price is unknown,
    and where --check finds something.
    """
    own = os.environ.get(OTEL_EMBED_PRICES, "").strip() or None
    warnings: list[str] = []
    prices = Prices.load(own, warnings.append, extra=True)
    if checks:
        if provider:
            raise output.Refused("--check looks at all prices: leave PROVIDER and MODEL out")
        ctx.exit(_check(prices, own, max_age, as_json))
    for warning in warnings:
        click.echo(f"otel-embed: {warning}", err=True)
    if provider and model:
        ctx.exit(_explain(prices, provider, model, as_json))
    ctx.exit(_list(prices, provider, as_json))


def _list(prices: Prices, provider: str | None, as_json: bool) -> int:
    rows = prices.rows(provider)
    if as_json:
        _print({"rows": [{**row._asdict(), "prices": _data(row.prices)} for row in rows]})
    elif rows:
        put(table(rows), sys.stdout)
    else:
        known = ", ".join(dict.fromkeys(row.provider for row in prices.rows()))
        click.echo(f"{provider}: no price of this provider is known; there are prices of {known}")
    return 0 if rows else 1


def _explain(prices: Prices, provider: str, model: str, as_json: bool) -> int:
    found = _find(prices, provider, model)
    if as_json:
        _print({"provider": provider, "model": model, "prices": _data(found)})
    else:
        for line in _explained(provider, model, found) if found else _unexplained(prices, provider, model):
            _say(line)
    return 0 if found else 1


def _explained(provider: str, model: str, found: Sequence[Price]) -> Iterator[str]:
    yield f"{provider} {model}"
    for price in found:
        yield f"  ${amount(price)} for a million {units(price)}, says {origin(price)}"
        if price.url:
            yield f"  {price.url}"
    if all(price.unit != "tokens" for price in found):
        yield "  Its calls have no cost: otel-embed counts tokens, and this model is not billed by them."


def _unexplained(prices: Prices, provider: str, model: str) -> Iterator[str]:
    yield prices.explain(provider, model)
    if find_spec("genai_prices") is None:
        yield "  genai-prices may know it: pip install 'otel-embed[prices]'"


def _find(prices: Prices, provider: str, model: str) -> list[Price]:
    """Every price of a model; what genai-prices knows of it comes from a thread."""
    prices.find(provider, model)
    for thread in threading.enumerate():
        if thread.name == "otel-embed-prices":
            thread.join(_ANSWER_SECONDS)
    media = (prices.find_media(unit, provider, model) for unit in get_args(Unit))
    return list(dict.fromkeys(price for price in (prices.find(provider, model), *media) if price is not None))


def _check(prices: Prices, own: str | None, max_age: int, as_json: bool) -> int:
    old = list(_older(prices, max_age))
    rows, mistakes = inspect(own) if own else (0, [])
    if own:
        chat, wrong = user_rows(own)
        rows, mistakes = rows + len(chat), mistakes + wrong
    if as_json:
        _print({"old": old, "own_file": own, "own_rows": rows, "mistakes": mistakes})
        return 1 if old or mistakes else 0
    models = plural(len(prices.rows()), "model")
    click.echo(f"{models}: {plural(len(old), 'price')} not checked for more than {plural(max_age, 'day')}")
    for price in old:
        _say("  {provider} {model}, {unit}: checked {checked} {url}".format(**price).rstrip())
    if own:
        _say(f"{own}: {plural(rows, 'row')}, {plural(len(mistakes), 'mistake')}")
    for mistake in mistakes:
        _say(f"  {mistake}")
    return 1 if old or mistakes else 0


def _older(prices: Prices, max_age: int) -> Iterator[dict[str, Any]]:
    today = date.today()
    for row in prices.rows():
        for price in row.prices:
            age = days(price, today)
            if age is not None and age > max_age:
                yield {"provider": row.provider, "model": row.model, **price._asdict(), "days": age}


def _data(prices: Sequence[Price]) -> list[dict[str, Any]]:
    return [price._asdict() for price in prices]


def _say(line: str) -> None:
    click.echo(printable(line))


def _print(document: dict[str, Any]) -> None:
    click.echo(json.dumps(document, indent=2))
