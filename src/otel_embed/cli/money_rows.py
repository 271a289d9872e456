"""The rows of a summary document that are about money: for whom it was spent."""

from __future__ import annotations

from dataclasses import dataclass

from otel_embed.cli.rows import Row


@dataclass
class AttributedTotals(Row):
    """All calls with one value of an attribute, as a tenant's."""

    attribute: str
    value: str
    calls: int
    failed: int
    inputs: int
    tokens: int
    chat_calls: int
    failed_chat_calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    unpriced_calls: int
    cache_hits: int
    cache_misses: int
    saved_tokens: int
    saved_usd: float | None

    @property
    def name(self) -> str:
        return f"{self.attribute} {self.value}"


def by_attribute(rows: list[AttributedTotals]) -> list[AttributedTotals]:
    """One attribute after the other, its dearest value first."""
    names = list(dict.fromkeys(row.attribute for row in rows))
    return sorted(rows, key=lambda row: (names.index(row.attribute), -(row.cost_usd or 0.0), row.value))
