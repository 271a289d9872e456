"""``otel-embed prices``: what embeddings and chat models cost, and who says so."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from difflib import get_close_matches
from importlib.util import find_spec
from typing import Any

import click

from otel_embed.cli.known_prices import KnownPrices
from otel_embed.cli.price_check import check
from otel_embed.cli.price_rows import explained, table
from otel_embed.cli.terminal import printable, put, say
from otel_embed.environment_variables import OTEL_EMBED_PRICES

MAX_AGE = 180


class _Prices(click.Group):
    """Without the name of a command: ``list``, or ``explain`` for a provider and a model."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        names = [argument for argument in args if not argument.startswith("-")]
        helps = not names and not {"-h", "--help"}.isdisjoint(args)
        if not helps and (not names or names[0] not in self.commands):
            args = ["explain" if len(names) > 1 else "list", *args]
        return super().parse_args(ctx, args)


@click.group("prices", cls=_Prices)
def command() -> None:
    """List, explain and check prices.

    Your own, from the file that OTEL_EMBED_PRICES names, are among them. `otel-embed prices openai` lists one
    provider's, `otel-embed prices openai text-embedding-3-small` explains one.
    """


_as_json = click.option("--json", "as_json", is_flag=True, help="Print data.")


@command.command("list")
@click.argument("provider", required=False)
@_as_json
@click.pass_context
def listed(ctx: click.Context, provider: str | None, as_json: bool) -> None:
    """Every price in force, of one provider or of all."""
    known = _known(_own())
    rows = known.rows(provider)
    if as_json:
        _print({"rows": [row.to_dict() for row in rows]})
    elif rows:
        put(table(rows), sys.stdout)
    else:
        providers = ", ".join(known.providers())
        say(printable(f"{provider}: no price of this provider is known; there are prices of {providers}"))
    ctx.exit(0 if rows else 1)


@command.command("explain")
@click.argument("names", nargs=-1, required=True, metavar="[PROVIDER] MODEL")
@_as_json
@click.pass_context
def explain(ctx: click.Context, names: tuple[str, ...], as_json: bool) -> None:
    """Which row is used for a model, who says so and since when.

    Without a provider, at every provider that has it. The exit code is 1 where no price is known.
    """
    if len(names) > 2:
        raise click.UsageError("one provider and one model")
    provider, model = (None, *names) if len(names) == 1 else names
    own = _own()
    known, ours = _known(own), KnownPrices(None, [])
    found = known.named(model, provider)
    if as_json:
        _print({"provider": provider, "model": model, "own_file": own, "found": [row.to_dict() for row in found]})
    for row in found if not as_json else ():
        mine = any(price.source == "user" for price in row.prices)
        before = [each for each in ours.named(row.model, row.provider) if mine and each.kind == row.kind]
        for line in explained(row, own, before[0] if before else None):
            say(printable(line))
    if not (found or as_json):
        for line in _unexplained(known, provider, model):
            say(printable(line))
    ctx.exit(0 if found else 1)


@command.command("check")
@click.argument("file", required=False)
@click.option("--max-age", type=click.IntRange(0), default=MAX_AGE, show_default=True, metavar="DAYS")
@_as_json
@click.pass_context
def checked(ctx: click.Context, file: str | None, max_age: int, as_json: bool) -> None:
    """Look for old prices, and for mistakes in a file of your own.

    Without FILE, in all prices in force and in the file that OTEL_EMBED_PRICES names. The exit code is 1 where a row is
    malformed, beyond what any price is, or older than --max-age.
    """
    found = check(file or _own(), max_age, alone=file is not None)
    if as_json:
        _print(found.to_dict())
    else:
        for line in found.lines():
            say(printable(line))
    ctx.exit(0 if found.is_good else 1)


def _own() -> str | None:
    return os.environ.get(OTEL_EMBED_PRICES, "").strip() or None


def _known(own: str | None) -> KnownPrices:
    warnings: list[str] = []
    known = KnownPrices(own, warnings, extra=True)
    for warning in warnings:
        click.echo(f"otel-embed: {printable(warning)}", err=True)
    return known


def _unexplained(known: KnownPrices, provider: str | None, model: str) -> Iterator[str]:
    who = f"{provider} {model}" if provider else model
    rows = known.rows(provider)
    if not rows:
        yield f"{who}: unknown; no price of this provider is known; add one with {OTEL_EMBED_PRICES}"
    else:
        names = list(dict.fromkeys(row.model for row in rows))
        near = get_close_matches(model, names, 3) or names[:3]
        has = "this provider has" if provider else "there are"
        yield f"{who}: unknown; {has} {', '.join(near)} …; add one with {OTEL_EMBED_PRICES}"
    if find_spec("genai_prices") is None:
        yield "  genai-prices may know it: pip install 'otel-embed[prices]'"


def _print(document: dict[str, Any]) -> None:
    click.echo(json.dumps(document, indent=2))
