"""The rows of a summary document that are about money: for whom it was spent, and how budgets stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from otel_embed.cli.rows import Row, add_known, ratio


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


@dataclass
class BudgetTotals(Row):
    """One budget in one period."""

    budget: str
    value: str | None
    """Whose it is, where each value of an attribute has one of its own."""
    period: str
    period_key: str
    scope: str
    """``process``: what each process counted adds up; ``shared``: each process knew the whole."""
    blocks: bool
    limit_usd: float
    spent_usd: float
    projected_usd: float | None

    @property
    def name(self) -> str:
        return f"{self.budget} {self.value}" if self.value else self.budget

    @property
    def share(self) -> float | None:
        """Of the budget, what is spent."""
        return ratio(self.spent_usd, self.limit_usd)

    def add(self, other: Row) -> None:
        if not isinstance(other, BudgetTotals):
            return
        whole = self.scope == "shared"
        self.limit_usd = max(self.limit_usd, other.limit_usd)
        self.spent_usd = max(self.spent_usd, other.spent_usd) if whole else self.spent_usd + other.spent_usd
        if whole and self.projected_usd is not None and other.projected_usd is not None:
            self.projected_usd = max(self.projected_usd, other.projected_usd)
        else:
            self.projected_usd = add_known(self.projected_usd, other.projected_usd)

    def to_dict(self) -> dict[str, Any]:
        return super().to_dict() | {"remaining_usd": max(0.0, self.limit_usd - self.spent_usd), "share": self.share}


def by_attribute(rows: list[AttributedTotals]) -> list[AttributedTotals]:
    """One attribute after the other, its dearest value first."""
    names = list(dict.fromkeys(row.attribute for row in rows))
    return sorted(rows, key=lambda row: (names.index(row.attribute), -(row.cost_usd or 0.0), row.value))
