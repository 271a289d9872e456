"""What is wrong with prices: mistakes in a file of one's own, rows that are old, and rows that look wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from otel_embed.cli.known_prices import Amount, Known, KnownPrices, days, older
from otel_embed.cli.price_rows import amount
from otel_embed.cli.units import plural
from otel_embed.pricing.chat import user_rows
from otel_embed.pricing.prices import inspect

FAR_OFF = 5.0
"""A price of one's own that is so many times the package's, or so many times less, may have its decimal point misplaced."""


class Check(NamedTuple):
    models: int
    max_age: int
    old: list[tuple[Known, Amount]]
    own: str | None
    own_rows: int
    mistakes: list[str]
    doubts: list[str]

    @property
    def is_good(self) -> bool:
        return not (self.old or self.mistakes)

    def lines(self) -> Iterator[str]:
        yield (
            f"{plural(self.models, 'model')}: {plural(len(self.old), 'price')} not checked for more than "
            f"{plural(self.max_age, 'day')}"
        )
        for row, price in self.old:
            name = f"{row.provider} {row.model}, {price.unit}"
            yield f"  {name}: checked {price.checked} {price.url}".rstrip()
        if self.own:
            yield f"{self.own}: {plural(self.own_rows, 'row')}, {plural(len(self.mistakes), 'mistake')}"
        yield from (f"  {said}" for said in (*self.mistakes, *self.doubts))

    def to_dict(self) -> dict[str, Any]:
        named = ({"kind": row.kind, "provider": row.provider, "model": row.model} for row, _ in self.old)
        old = [{**who, **price._asdict(), "days": days(price.checked)} for who, (_, price) in zip(named, self.old)]
        return {
            "old": old, "own_file": self.own, "own_rows": self.own_rows,
            "mistakes": self.mistakes, "doubts": self.doubts,
        }  # fmt: skip


def check(own: str | None, max_age: int, alone: bool) -> Check:
    """Of all prices in force, or of those of the file ``own`` ``alone``. Rows that are beyond the bound are mistakes."""
    known = KnownPrices(own, [])
    rows = [row for row in known.rows() if not alone or any(price.source == "user" for price in row.prices)]
    old = [(row, price) for row, price in older(rows, max_age) if not alone or price.source == "user"]
    number, mistakes = inspect(own) if own else (0, [])
    if own:
        chat, wrong = user_rows(own)
        number, mistakes = number + len(chat), mistakes + wrong
    return Check(len(rows), max_age, old, own, number, mistakes, list(_doubts(rows)))


def _doubts(rows: list[Known]) -> Iterator[str]:
    ours = KnownPrices(None, [])
    for row in rows:
        before = {price.unit: price for known in ours.named(row.model, row.provider) for price in known.prices}
        for price in row.prices:
            listed = before.get(price.unit)
            if price.source != "user" or listed is None or not (listed.usd_per_million and price.usd_per_million):
                continue
            times = price.usd_per_million / listed.usd_per_million
            if not 1 / FAR_OFF <= times <= FAR_OFF:
                yield (
                    f"{row.provider} {row.model}: ${amount(price)} for a million {price.unit}, and ${amount(listed)} in "
                    "the package: is the decimal point where it belongs?"
                )
