"""Alerts on money: what is spent, how fast, and what is left of a budget."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from otel_embed.backends import signals
from otel_embed.backends.alerting import JOB, PROM, Alert, made
from otel_embed.backends.promql import duration, labels, window
from otel_embed.report import names
from otel_embed.thresholds import Severity, Threshold

_BURNS: Final[tuple[tuple[str, int, int, int, Severity], ...]] = (
    ("Fast", 6, 24, 288, "warning"),
    ("Slow", 2, 4, 48, "info"),
)
"""How many times faster than evenly money goes; the parts of the day that are looked at, long and short."""


def cost(threshold: Threshold) -> Iterator[Alert]:
    day = threshold.window
    yield made(
        threshold,
        "EmbeddingBudgetExceeded",
        "{value} were spent on models in " + duration(day),
        "See on the dashboard Cost which model it was, and when.",
        of=(signals.COST,),
        by=(JOB,),
        value=_spent(day),
        format="dollars",
    )
    for speed, times, long, short, severity in _BURNS:
        lately, just_now = (max(60.0, float(round(day / part))) for part in (long, short))
        allowed = threshold.value / day * times
        yield made(
            threshold,
            f"EmbeddingBudgetBurns{speed}",
            "{value} were spent on models in " + duration(lately),
            f"That is {times} times as fast as the limit for {duration(day)} allows, and it goes on.",
            of=(signals.COST,),
            by=(JOB,),
            value=_spent(lately),
            guard=f"and on ({JOB}) {_spent(just_now)} > {allowed * just_now:.12g}",
            format="dollars",
            limit=allowed * lately,
            window=lately,
            severity=severity,
        )


def _spent(seconds: float) -> str:
    return PROM.gained(signals.COST, window(seconds), (JOB,))


def budget(threshold: Threshold) -> Iterator[Alert]:
    """Of each budget the process that is nearest to its end, where each has its own and they do not share it."""
    by = (JOB, names.BUDGET, names.PERIOD)
    spent, limit = (PROM.series(signal).selector for signal in (signals.BUDGET_SPENT, signals.BUDGET_LIMIT))
    yield made(
        threshold,
        "BudgetNearlySpent",
        "{value} of a budget is spent",
        "See on the dashboard Cost what it went to, and what is projected for the end of the period.",
        of=(signals.BUDGET_SPENT, signals.BUDGET_LIMIT),
        by=by,
        value=f"max by ({labels(by)}) ({spent} / ({limit} > 0))",
        format="share",
    )
