"""The one exception of ours that an application can see, and only where it asked for it."""

from __future__ import annotations

from datetime import datetime


class BudgetExceeded(RuntimeError):
    """A budget is spent and ``OTEL_EMBED_BUDGET_ACTION=block`` is set: the call was not made, and costs nothing.

    Raised in place of the provider's function. All values are in dollars.
    """

    def __init__(self, budget: str, period: str, limit_usd: float, spent_usd: float, resets_at: datetime) -> None:
        super().__init__(budget, period, limit_usd, spent_usd, resets_at)
        self.budget, self.period = budget, period
        """Its name; ``day`` or ``month``."""
        self.limit_usd, self.spent_usd = limit_usd, spent_usd
        self.resets_at = resets_at
        """When the next period begins, in the budgets' time zone."""

    def __str__(self) -> str:
        return (
            f"budget {self.budget} is spent: ${self.spent_usd:.6f} of ${self.limit_usd:.6f} this {self.period};"
            f" calls go on from {self.resets_at.isoformat()}"
        )


BudgetExceeded.__module__ = "otel_embed"  # where applications find it, and so its name in error.type
