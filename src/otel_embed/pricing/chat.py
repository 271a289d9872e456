"""What a chat or completion call costs: the table of this package, under the user's own rows, then genai-prices."""

from __future__ import annotations

import os
import pkgutil
import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, NamedTuple

from otel_embed.pricing import import_aside
from otel_embed.pricing.documents import Refused, aliases, day, named, parsed, quoted, read_document, rows_of
from otel_embed.pricing.prices import FORM as EMBEDDING_FORM
from otel_embed.pricing.prices import Elsewhere, Prices, genai_name, inspect, warning
from otel_embed.record import Cost, CostSource
from otel_embed.run_record import ChatUsage

AMOUNTS = ("input", "cached_input", "cache_write", "cache_write_1h", "output")
_GENAI_AMOUNTS = ("input_mtok", "cache_read_mtok", "cache_write_mtok", "cache_write_1h_mtok", "output_mtok")
_LIMIT = "up_to_input_tokens"
_FIELDS = {"provider", "model", "aliases", *AMOUNTS, _LIMIT, "source", "checked"}
_HIGHEST = Decimal(1000)
"""Dollars for a million tokens. No price is higher: a misplaced decimal point is the likely mistake."""
FORM = (
    "A row is a [[chat]] with provider, model, input and output; "
    f"it may have cached_input, cache_write, cache_write_1h, aliases, {_LIMIT}, source and checked."
)
_DATED = re.compile(r"-(?:\d{8}|\d{4}-\d{2}-\d{2})$")
_REMEMBERED = 4096


class ChatPrice(NamedTuple):
    """US dollars for a million tokens; None where that is not known."""

    input: float
    output: float
    cached_input: float | None
    cache_write: float | None
    """What is put into the provider's cache, for five minutes where it says how long."""
    cache_write_1h: float | None
    """The same for an hour."""
    up_to_input_tokens: int | None
    """With more input than this, the price is another one and not known."""
    source: CostSource
    url: str
    checked: str

    def cost(self, usage: ChatUsage) -> Cost | None:
        """Of one call, rounded to a picodollar; None where a price that it takes is unknown."""
        read, written = usage.input_tokens, usage.output_tokens
        if read is None or written is None or (self.up_to_input_tokens is not None and read > self.up_to_input_tokens):
            return None
        cached, kept = usage.cached_tokens or 0, usage.cache_written_tokens or 0
        hour = min(usage.kept_for_an_hour_tokens or 0, kept)
        parts = (
            (max(0, read - cached - kept), self.input),
            (cached, self.cached_input),
            (kept - hour, self.cache_write),
            (hour, self.cache_write_1h),
            (written, self.output),
        )
        if any(tokens and price is None for tokens, price in parts):
            return None
        return Cost(sum(round(tokens * (price or 0.0) * 1e6) for tokens, price in parts) / 1e12, self.source)


class ChatRow(NamedTuple):
    provider: str
    names: tuple[str, ...]
    """The model's first, and then what else it is called."""
    price: ChatPrice


class ChatPrices:
    """The prices that are known. Looking one up never raises."""

    def __init__(self, rows: Iterable[ChatRow], names: Prices, *, extra: bool = False) -> None:
        """Later rows win. ``names`` knows how else providers and models are spelled."""
        self._names = names
        self._rows: dict[tuple[str, str], ChatRow] = {}
        for row in rows:
            self._add(row)
        self._found: dict[tuple[str, str | None, str | None], ChatPrice | None] = {}
        self._elsewhere: Elsewhere[ChatPrice] | None = Elsewhere(_from_genai_prices) if extra else None

    @classmethod
    def load(
        cls, override: str | None, warn: Callable[[str], None], names: Prices, *, extra: bool = False
    ) -> ChatPrices:
        """The package's table, then ``[[chat]]`` rows of the file ``override``; what is wrong there is said once."""
        table = parsed(pkgutil.get_data(__package__, "chat.toml") or b"")
        rows = [_row(entry, "table") for entry in table["chat"]]
        own, problems = user_rows(override) if override else ([], [])
        rows += own
        if override and problems:
            warn(warning(override, problems, FORM))
        return cls(rows, names, extra=extra)

    def find(self, provider: str, response_model: str | None, request_model: str | None) -> ChatPrice | None:
        """What ``provider`` bills for the first of these models that has a price; a user's price for either goes before
        all others. None means unknown: not free."""
        key = (provider, response_model, request_model)
        if key in self._found:
            return self._found[key]
        price, settled = self._search(self._names.provider(provider), (response_model, request_model))
        if settled and len(self._found) < _REMEMBERED:
            self._found[key] = price
        return price

    def rows(self, provider: str | None = None) -> tuple[ChatRow, ...]:
        """Every row in force, of one provider or of all, by provider and model."""
        wanted = None if provider is None else self._names.provider(provider)
        return tuple(sorted(row for row in set(self._rows.values()) if wanted in (None, row.provider)))

    def _add(self, row: ChatRow) -> None:
        """Put a row in force in place of the rows that it shares a name with, and under their names too: an answer may
        name the model otherwise than the request."""
        provider = self._names.provider(row.provider)
        row = row._replace(names=(*row.names, *self._names.unrouted(provider, row.names)))
        given = {name.lower() for name in row.names}
        replaced = {old for name in given if (old := self._rows.get((provider, name))) is not None}
        others = {name for old in replaced for name in old.names if name.lower() not in given}
        row = ChatRow(provider, (*row.names, *sorted(others)), row.price)
        for name in row.names:
            self._rows[provider, name.lower()] = row

    def _search(self, provider: str, models: tuple[str | None, ...]) -> tuple[ChatPrice | None, bool]:
        found = [row.price for model in filter(None, models) if (row := self._row(provider, model)) is not None]
        if found:
            return next((price for price in found if price.source == "user"), found[0]), True
        return (None, True) if self._elsewhere is None else self._elsewhere.find(provider, models)

    def _row(self, provider: str, model: str) -> ChatRow | None:
        plain = self._names.plain(provider, model)
        names = (model.strip().lower(), plain, undated(plain))
        return next((self._rows[provider, name] for name in names if (provider, name) in self._rows), None)


def load(override: str | None, warn: Callable[[str], None], *, extra: bool = False) -> tuple[Prices, ChatPrices]:
    """Prices of both kinds; what is wrong with the file ``override`` is said in one call of ``warn``."""
    said: list[str] = []
    prices = Prices.load(override, said.append, extra=extra)
    chat = ChatPrices.load(override, said.append, prices, extra=extra)
    if override and len(said) > 1:
        problems = [*inspect(override)[1], *user_rows(override)[1]]
        said = [warning(override, problems, f"{EMBEDDING_FORM} {FORM}")]
    for text in said:
        warn(text)
    return prices, chat


def undated(model: str) -> str:
    """``gpt-4o`` of ``gpt-4o-2024-08-06``: the versions of a model mostly cost the same."""
    return _DATED.sub("", model)


def user_rows(path: str) -> tuple[list[ChatRow], list[str]]:
    """The good rows of a file of one's own, and what is wrong with the others; the file itself is judged elsewhere."""
    try:
        entries = read_document(os.path.expanduser(path)).get("chat", [])
    except (OSError, ValueError, RecursionError):
        return [], []
    return rows_of(entries, lambda entry: _row(entry, "user"), "chat row")


def _row(entry: Any, source: CostSource) -> ChatRow:
    if not isinstance(entry, dict):
        raise Refused(f"{quoted(entry)} is no row")
    if unknown := sorted(set(entry) - _FIELDS):
        raise Refused(f"unknown key {quoted(unknown[0])}")
    provider, model, others = named(entry, "provider"), named(entry, "model"), aliases(entry)
    amounts = {field: _amount(field, entry[field]) for field in AMOUNTS if field in entry}
    if missing := {"input", "output"} - set(amounts):
        raise Refused(f"{quoted(model)} has no price for {sorted(missing)[0]}")
    limit = entry.get(_LIMIT)
    if limit is not None and (type(limit) is not int or limit <= 0):
        raise Refused(f"{_LIMIT} is {quoted(limit)}, not a count")
    price = ChatPrice(
        amounts["input"], amounts["output"], amounts.get("cached_input"), amounts.get("cache_write"),
        amounts.get("cache_write_1h"), limit, source, named(entry, "source", ""), day(entry.get("checked")),
    )  # fmt: skip
    return ChatRow(provider, (model, *others), price)


def _amount(field: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        raise Refused(f"{field} is {quoted(value)}, not a number")
    amount = Decimal(value)
    if not (amount.is_finite() and 0 <= amount <= _HIGHEST):
        raise Refused(f"{field} is {quoted(value)}; it must be from 0 to {_HIGHEST}")
    if amount != amount.quantize(Decimal("0.000001")):
        raise Refused(f"{field} is {quoted(value)}; it must be a multiple of 0.000001")
    return float(amount)


def _from_genai_prices(provider: str, model: str) -> ChatPrice | None:
    try:
        library: Any = import_aside("genai_prices")
        usage = library.Usage(input_tokens=1_000, output_tokens=1_000)
        answer = library.calc_price(usage, model, provider_id=genai_name(provider))
    except (ImportError, LookupError):
        return None
    if answer.provider.id != genai_name(provider):
        return None
    told = answer.model_price
    amounts: dict[str, float] = {}
    limits: list[int] = []
    for ours, theirs in zip(AMOUNTS, _GENAI_AMOUNTS):
        value = getattr(told, theirs, None)
        if value is None:
            continue
        limits += [tier.start for tier in getattr(value, "tiers", ())]
        amounts[ours] = float(getattr(value, "base", value))
    if not {"input", "output"} <= set(amounts):
        return None
    version = f"genai-prices {getattr(library, '__version__', '')}".strip()
    return ChatPrice(
        amounts["input"], amounts["output"], amounts.get("cached_input"), amounts.get("cache_write"),
        amounts.get("cache_write_1h"), min(limits, default=None),
        "table", "https://github.com/pydantic/genai-prices", version,
    )  # fmt: skip
