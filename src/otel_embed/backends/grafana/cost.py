"""What models cost, and what caches save."""

from __future__ import annotations

from otel_embed.backends import signals
from otel_embed.backends.grafana.panels import ALL, PROM, Board, Line, graph, legend, stat, table
from otel_embed.backends.grafana.queries import EMBEDDINGS, MODEL, rate, total
from otel_embed.backends.signals import Signal
from otel_embed.report import names
from otel_embed.thresholds import Thresholds


def board(thresholds: Thresholds) -> Board:
    cost, tokens, inputs, saved = signals.COST, signals.TOKENS, signals.INPUTS, signals.SAVED_COST
    panels = [
        stat("Spent", "currencyUSD", total(cost), "What models cost, where the price is known.", cost),
        stat("A day at this pace", "currencyUSD", f"{total(cost)} / {ALL.seconds} * 86400",
             "What is shown, as if it went on for a day.", cost, limit=thresholds["daily_cost"]),
        stat("Per 1,000 inputs", "currencyUSD", f"{total(cost, EMBEDDINGS)} / ({total(inputs)} > 0) * 1000",
             "What embedding a thousand inputs costs.", cost, inputs),
        stat("Tokens", "short", total(tokens, part="sum"), "Input tokens that embedding billed.", tokens),
        stat("Saved by caches", "currencyUSD", total(saved), "What would have been spent without them.", saved),
        stat("Calls without a price", "short", f"{total(signals.UNPRICED)} or vector(0)",
             "Their cost is unknown, and not in any sum here. See otel-embed prices.", signals.UNPRICED),
        graph("Dollars an hour", "currencyUSD", rate(cost, by=MODEL, seconds=3600), "By provider and model.", cost,
              stacked=True),
        graph("Tokens a second", "short", rate(tokens, by=MODEL, part="sum"), "Billed, by provider and model.", tokens,
              stacked=True),
        table("By job and model", "currencyUSD", Line(f"sort_desc({total(cost, by=('job', *MODEL))})"),
              "What was spent in the time that is shown.", cost),
        graph("Saved an hour", "currencyUSD", rate(saved, by=(names.CACHE_STORE,), seconds=3600),
              "By the cache's store.", saved, stacked=True),
        graph("Budgets", "currencyUSD", [
            _budget("spent", signals.BUDGET_SPENT), _budget("limit", signals.BUDGET_LIMIT),
            _budget("projected", signals.BUDGET_PROJECTED),
        ], "Spent, and projected for the end of the period.", signals.BUDGET_SPENT, signals.BUDGET_LIMIT,
              signals.BUDGET_PROJECTED),
        graph("Left of budgets", "currencyUSD", _budget("left", signals.BUDGET_REMAINING),
              "Of the process that has the least where each has its own.", signals.BUDGET_REMAINING),
        table("Marks of budgets that were passed", "short",
              Line(total(signals.BUDGET_ALERTS, by=(names.BUDGET, names.PERIOD, names.THRESHOLD))),
              "50, 80 and 100 percent, say, in the time that is shown.", signals.BUDGET_ALERTS),
        graph("Inputs a second", "short", rate(inputs, by=MODEL), "By provider and model.", inputs),
    ]  # fmt: skip
    return Board("cost", "Cost", "What embedding and chat models cost, and what caches save.", panels)


def _budget(what: str, signal: Signal) -> Line:
    by = ("job", names.BUDGET, names.PERIOD, *MODEL)
    how = "min" if signal is signals.BUDGET_REMAINING else "max"
    return Line(PROM.now(how, signal, by), f"{what} {legend('job', names.BUDGET, names.PERIOD, *MODEL)}")
