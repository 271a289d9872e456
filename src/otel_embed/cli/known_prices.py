"""Prices of embedding and of chat models in one form, for those who read them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Literal, NamedTuple, get_args

from otel_embed.pricing.chat import AMOUNTS, ChatPrice, ChatRow, load, undated
from otel_embed.pricing.prices import Price, Row
from otel_embed.record import Unit

_ANSWER_SECONDS = 30.0


class Amount(NamedTuple):
    usd_per_million: float
    unit: str
    """``tokens``, ``images``; of a chat model ``input``, ``cached input``, ``cache write``, ``cache write 1h`` and ``output``
    tokens."""
    source: str
    """``table`` or ``user``."""
    url: str
    checked: str
    """A day (ISO 8601), the name and version of a library, or empty."""


@dataclass(frozen=True)
class Known:
    """What one model costs at one provider."""

    kind: Literal["embedding", "chat"]
    provider: str
    model: str
    aliases: tuple[str, ...]
    prices: tuple[Amount, ...]
    up_to_input_tokens: int | None = None

    @property
    def names(self) -> set[str]:
        return {name.lower() for name in (self.model, *self.aliases)}

    def to_dict(self) -> dict[str, Any]:
        prices = [{**amount._asdict(), "days": days(amount.checked)} for amount in self.prices]
        return {**asdict(self), "aliases": list(self.aliases), "prices": prices}


class KnownPrices:
    """The package's tables under the rows of a file of one's own."""

    def __init__(self, own: str | None, warnings: list[str], *, extra: bool = False) -> None:
        self._prices, self._chat = load(own, warnings.append, extra=extra)

    def rows(self, provider: str | None = None) -> list[Known]:
        """Embedding models first; all of one provider or of every one."""
        return [*map(_embedding, self._prices.rows(provider)), *map(_chat, self._chat.rows(provider))]

    def providers(self) -> list[str]:
        return sorted({row.provider for row in self.rows()})

    def named(self, model: str, provider: str | None = None) -> list[Known]:
        """Whose name that is, at one provider or at any, as clients, routers and clouds may write it."""
        best: dict[tuple[str, str], tuple[int, Known]] = {}
        for row in self.rows(provider):
            closeness = next((n for n, name in enumerate(self._spellings(row, model)) if name in row.names), None)
            place = (row.kind, row.provider)
            if closeness is not None and closeness < best.get(place, (9, row))[0]:
                best[place] = closeness, row
        found = [row for _, row in best.values()]
        return found or (list(self._elsewhere(provider, model)) if provider else [])

    def _spellings(self, row: Known, model: str) -> list[str]:
        """The closest first, as they are looked up for a call."""
        plain = self._prices.plain(row.provider, model)
        return [model.strip().lower(), plain, *([undated(plain)] if row.kind == "chat" else [])]

    def _elsewhere(self, provider: str, model: str) -> Iterator[Known]:
        """What genai-prices knows, which comes from a thread."""
        self._prices.find(provider, model)
        self._chat.find(provider, None, model)
        for thread in threading.enumerate():
            if thread.name == "otel-embed-prices":
                thread.join(_ANSWER_SECONDS)
        name = self._prices.provider(provider)
        media = (self._prices.find_media(unit, provider, model) for unit in get_args(Unit))
        found = [price for price in dict.fromkeys([self._prices.find(provider, model), *media]) if price is not None]
        if found:
            yield _embedding(Row(name, model, (), tuple(found)))
        elif (chat := self._chat.find(provider, None, model)) is not None:
            yield _chat(ChatRow(name, (model,), chat))


def days(checked: str) -> int | None:
    """How long ago that day was; None of what is no day."""
    try:
        return (date.today() - date.fromisoformat(checked)).days
    except ValueError:
        return None


def older(rows: Iterable[Known], max_age: int) -> Iterator[tuple[Known, Amount]]:
    for row in rows:
        for amount in row.prices:
            age = days(amount.checked)
            if age is not None and age > max_age:
                yield row, amount


def _embedding(row: Row) -> Known:
    return Known("embedding", row.provider, row.model, row.aliases, tuple(map(_amount, row.prices)))


def _amount(price: Price) -> Amount:
    return Amount(price.usd_per_million, price.unit.replace("_", " "), price.source, price.url, price.checked)


def _chat(row: ChatRow) -> Known:
    model, *aliases = row.names
    prices = tuple(_chat_amounts(row.price))
    return Known("chat", row.provider, model, tuple(aliases), prices, row.price.up_to_input_tokens)


def _chat_amounts(price: ChatPrice) -> Iterator[Amount]:
    for unit in AMOUNTS:
        usd = getattr(price, unit)
        if usd is not None:
            yield Amount(usd, f"{unit.replace('_', ' ')} tokens", price.source, price.url, price.checked)
