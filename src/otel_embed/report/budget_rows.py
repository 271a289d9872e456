"""Budgets as rows of a summary document."""

from __future__ import annotations

from typing import Any

from otel_embed.report.budget import Budget
from otel_embed.report.totals import PICODOLLARS


def rows(budget: Budget) -> list[dict[str, Any]]:
    return [
        {
            "budget": standing.rule.name,
            "value": standing.value or None,
            "period": standing.period.kind,
            "period_key": standing.period.key,
            "scope": budget.scope,
            "limit_usd": standing.rule.picodollars / PICODOLLARS,
            "spent_usd": standing.spent / PICODOLLARS,
            "remaining_usd": standing.remaining / PICODOLLARS,
            "projected_usd": None if standing.projected is None else standing.projected / PICODOLLARS,
            "blocks": standing.rule.blocks,
        }
        for standing in budget.standings()
    ]
