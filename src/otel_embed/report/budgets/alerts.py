"""Who hears that a mark of a budget is passed: the log, a counter, a webhook."""

from __future__ import annotations

from collections import Counter
from typing import Any

from otel_embed.late_logger import LateLogger
from otel_embed.report.budgets.accounts import Standing
from otel_embed.report.budgets.webhook import Webhook
from otel_embed.report.totals import PICODOLLARS

_logger = LateLogger("otel_embed.budget")


def sentence(standing: Standing) -> str:
    """``80 % of budget acme (month 2026-11) is spent: $40.02 of $50; at this rate $71.30 by the end of the month.``"""
    rule, period = standing.rule, standing.period
    said = (
        f"{standing.warned} % of budget {standing.name} ({period.kind} {period.key}) is spent:"
        f" {_usd(standing.spent)} of {_usd(rule.picodollars)}"
    )
    if standing.projected is None:
        return f"{said}."
    return f"{said}; at this rate {_usd(standing.projected)} by the end of the {period.kind}."


def _usd(picodollars: int) -> str:
    value = picodollars / PICODOLLARS
    if value >= 1:
        return f"${value:,.2f}"
    return f"${value:.6f}" if value >= 0.000_001 else f"${value:.12f}".rstrip("0").rstrip(".")


def payload(standing: Standing) -> dict[str, Any]:
    """What a webhook gets: ``text``, which is all that Slack's reads, and the same as data."""
    return {
        "text": f"otel-embed: {sentence(standing)}",
        "budget": standing.rule.name,
        "value": standing.value or None,
        "period": standing.period.kind,
        "period_key": standing.period.key,
        "threshold_percent": standing.warned,
        "limit_usd": standing.rule.picodollars / PICODOLLARS,
        "spent_usd": standing.spent / PICODOLLARS,
        "remaining_usd": standing.remaining / PICODOLLARS,
        "projected_usd": None if standing.projected is None else standing.projected / PICODOLLARS,
        "action": "block" if standing.rule.blocks else "warn",
    }


class Alerts:
    def __init__(self, webhook: Webhook | None) -> None:
        self._webhook = webhook
        self.clear()

    def clear(self) -> None:
        self.told: Counter[tuple[str, str, int]] = Counter()
        """By budget, kind of period and mark."""
        if self._webhook is not None:
            self._webhook.clear()

    def tell(self, standing: Standing) -> None:
        self.told[standing.rule.name, standing.period.kind, standing.warned] += 1
        _logger.warning("%s", sentence(standing))
        if self._webhook is not None:
            self._webhook.send(payload(standing))

    def finish(self) -> None:
        if self._webhook is not None:
            self._webhook.finish()
