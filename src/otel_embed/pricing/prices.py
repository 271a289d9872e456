"""What embedding models cost: a table in the package, and the user's own file over it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from otel_embed.environment_variables import OTEL_EMBED_PRICES
from otel_embed.record import CostSource

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MOST_USD_PER_MILLION = 5.0
"""No embedding model costs more for a million tokens; a row that says so has its unit wrong."""
_UNIT_KEYS = {"usd_per_million_tokens": "tokens"}
_TEXT_KEYS = ("provider", "model", "source")
_KEYS = {*_UNIT_KEYS, *_TEXT_KEYS, "aliases", "checked"}
_MAX_FOUND = 2000
Warn = Callable[[str], None]


class Price(NamedTuple):
    """Dollars for a million of ``unit``, where that is said (``url``) and when it was ``checked``."""

    usd_per_million: float
    unit: str = "tokens"
    source: CostSource = "table"
    url: str = ""
    checked: str = ""


class Row(NamedTuple):
    provider: str
    model: str
    aliases: tuple[str, ...]
    price: Price


class Prices:
    """Prices by provider and model, names in any case."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = list(rows)
        self._by_name = {
            (row.provider, name.lower()): row.price for row in self._rows for name in (row.model, *row.aliases)
        }
        self._found: dict[tuple[str, tuple[str | None, ...]], Price | None] = {}

    @classmethod
    def load(cls, override: str | None, warn: Warn) -> Prices:
        """The package's table, with the rows of the file that OTEL_EMBED_PRICES names over it.

        What is wrong with that file gives one warning for each bad row; its good rows count.
        """
        table = resources.files("otel_embed.pricing").joinpath("prices.toml").read_text(encoding="utf-8")
        rows = list(_rows(tomllib.loads(table), "table", warn))
        return cls([*rows, *_user_rows(override, warn)] if override else rows)

    def rows(self) -> list[Row]:
        """Every row, the user's last."""
        return list(self._rows)

    def find(self, provider: str, *models: str | None) -> Price | None:
        """The price of the first of these models that this provider has one for; None, never 0, where none has."""
        key = (provider, models)
        if key in self._found:
            return self._found[key]
        prices = (self._price(provider, model) for model in models if model)
        price = next((price for price in prices if price is not None), None)
        if len(self._found) < _MAX_FOUND:
            self._found[key] = price
        return price

    def _price(self, provider: str, model: str) -> Price | None:
        names = [model.lower()]
        for separator in ("/", ":"):  # ``models/gemini-embedding-001``, ``nomic-embed-text:latest``
            names += [names[0].rpartition(separator)[2] if separator == "/" else names[0].partition(separator)[0]]
        return next((self._by_name[provider, name] for name in names if (provider, name) in self._by_name), None)


def _user_rows(path: str, warn: Warn) -> list[Row]:
    try:
        document = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        warn(f"{OTEL_EMBED_PRICES}={path!r} cannot be used: {reason}. It must name a TOML file of [[price]] rows.")
        return []
    return list(_rows(document, "user", lambda fault: warn(f"{OTEL_EMBED_PRICES}={path!r}: {fault}")))


def _rows(document: Mapping[str, Any], source: CostSource, warn: Warn) -> Iterable[Row]:
    rows = document.get("price")
    if not isinstance(rows, list):
        warn("there are no [[price]] rows")
        return
    for number, row in enumerate(rows, 1):
        fault = _fault(row)
        if fault is None:
            yield _row(row, source)
        else:
            warn(f"row {number} is left out: {fault}")


def _fault(row: Any) -> str | None:
    """What is wrong with a row, and what is allowed."""
    if not isinstance(row, dict):
        return "it must be a table"
    for key in ("provider", "model"):
        if not isinstance(row.get(key), str) or not row[key]:
            return f"{key}={row.get(key)!r} must be a name"
    if unknown := sorted(set(row) - _KEYS):
        return f"{', '.join(unknown)} is not among {', '.join(sorted(_KEYS))}"
    if not all(isinstance(alias, str) for alias in row.get("aliases", [])):
        return f"aliases={row['aliases']!r} must be names"
    usd = row.get("usd_per_million_tokens")
    if isinstance(usd, bool) or not isinstance(usd, (int, float)) or not 0 <= usd <= MOST_USD_PER_MILLION:
        return f"usd_per_million_tokens={usd!r} must be a number from 0 to {MOST_USD_PER_MILLION:g}"
    return None


def _row(row: Mapping[str, Any], source: CostSource) -> Row:
    price = Price(
        float(row["usd_per_million_tokens"]), "tokens", source, str(row.get("source", "")), str(row.get("checked", ""))
    )
    return Row(row["provider"], row["model"], tuple(row.get("aliases", ())), price)
