"""Budgets as metrics."""

from __future__ import annotations

from collections.abc import Iterator

from otel_embed.report import names
from otel_embed.report.budget import Budget
from otel_embed.report.budgets.accounts import Standing
from otel_embed.report.dimensions import Attributes, Observers, Sums
from otel_embed.report.totals import PICODOLLARS


def observe(metrics: Observers, budget: Budget) -> None:
    metrics.gauge(names.BUDGET_LIMIT, lambda _: limit(budget))
    metrics.gauge(names.BUDGET_SPENT, lambda _: spent(budget))
    metrics.gauge(names.BUDGET_REMAINING, lambda _: remaining(budget))
    metrics.gauge(names.BUDGET_PROJECTED, lambda _: projected(budget))
    metrics.counter(names.BUDGET_ALERTS, lambda _: alerts(budget))


def limit(budget: Budget) -> Sums:
    return ((about, standing.rule.picodollars / PICODOLLARS) for about, standing in _all(budget))


def spent(budget: Budget) -> Sums:
    return ((about, standing.spent / PICODOLLARS) for about, standing in _all(budget))


def remaining(budget: Budget) -> Sums:
    return ((about, standing.remaining / PICODOLLARS) for about, standing in _all(budget))


def projected(budget: Budget) -> Sums:
    for about, standing in _all(budget):
        if standing.projected is not None:
            yield about, standing.projected / PICODOLLARS


def alerts(budget: Budget) -> Sums:
    for (name, period, mark), count in budget.told.items():
        yield {names.BUDGET: name, names.PERIOD: period, names.THRESHOLD: mark}, count


def _all(budget: Budget) -> Iterator[tuple[Attributes, Standing]]:
    special = {"model": names.REQUEST_MODEL, "provider": names.PROVIDER}
    for standing in budget.standings():
        about: Attributes = {
            names.BUDGET: standing.rule.name,
            names.PERIOD: standing.period.kind,
            names.BUDGET_SCOPE: budget.scope,
        }
        if standing.rule.each is not None:
            about[special.get(standing.rule.each, standing.rule.each)] = standing.value
        yield about, standing
