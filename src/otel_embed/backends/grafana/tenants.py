"""Who it was for, by an attribute that the application puts on its metrics."""

from __future__ import annotations

from typing import Final

from otel_embed.backends import signals
from otel_embed.backends.grafana.panels import Board, Line, graph, stat, table
from otel_embed.backends.grafana.queries import EMBEDDINGS, FAILED, quantile, rate, share_now, total
from otel_embed.backends.grafana.variables import text_variable
from otel_embed.thresholds import Thresholds

WHO: Final = ("$attribute",)
"""A variable: the label that tells them apart."""
_VARIABLE: Final = text_variable(
    "attribute", "Attribute", "tenant", "The label to tell apart by: a key of OTEL_EMBED_BAGGAGE_ATTRIBUTES, or job."
)


def board(_: Thresholds) -> Board:
    cost, tokens, duration = signals.COST, signals.TOKENS, signals.DURATION
    panels = [
        stat("Tenants", "short", f"count({total(cost, by=WHO)})", "How many values the attribute has.", cost),
        stat("Spent", "currencyUSD", total(cost), "By all of them.", cost),
        stat("Largest", "currencyUSD", f"max({total(cost, by=WHO)})", "What one of them spent at most.", cost),
        stat("Tokens", "short", total(tokens, part="sum"), "Input tokens that embedding billed.", tokens),
        stat("Calls", "short", total(duration, part="count"), "Embedding calls.", duration),
        stat("Inputs", "short", total(signals.INPUTS), "Embedded.", signals.INPUTS),
        table("Spent by each", "currencyUSD", Line(f"sort_desc({total(cost, by=WHO)})"), "In the time that is shown.",
              cost),
        graph("Dollars an hour", "currencyUSD", _named(rate(cost, by=WHO, seconds=3600)), "Embedding and chat.", cost,
              stacked=True),
        graph("Tokens a second", "short", _named(rate(tokens, EMBEDDINGS, by=WHO, part="sum")), "Of embedding.", tokens,
              stacked=True),
        graph("Calls a second", "reqps", _named(rate(duration, by=WHO, part="count")), "To providers.", duration,
              stacked=True),
        graph("p95", "s", _named(quantile(0.95, duration, by=WHO)), "Of embedding calls.", duration),
        graph("Failed", "percentunit", _named(share_now(duration, FAILED, by=WHO, part="count")),
              "Of embedding calls, after all retries.", duration),
    ]  # fmt: skip
    return Board("tenants", "Tenants", "Who embedding was for, and what it cost.", panels, (_VARIABLE,))


def _named(line: Line) -> Line:
    return line._replace(legend="__auto")  # a legend takes no variable as the name of a label
