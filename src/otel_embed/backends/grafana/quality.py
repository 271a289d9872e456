"""What goes wrong without an error, and what is wasted."""

from __future__ import annotations

from otel_embed.backends import signals
from otel_embed.backends.grafana.panels import ALL, PROM, STEP, Board, Line, graph, legend, stat, table
from otel_embed.backends.grafana.queries import ANSWERED, MODEL, rate, total
from otel_embed.backends.promql import labels, matcher
from otel_embed.report import names
from otel_embed.thresholds import Thresholds


def board(thresholds: Thresholds) -> Board:
    found, checked, cost = signals.PROBLEMS, signals.CHECKED, signals.WASTED_COST
    spent = signals.CHECKED_COST
    problem, waste = (*MODEL, names.PROBLEM), (*MODEL, names.WASTE)
    broken = matcher(names.PROBLEM, "=~", "nan_vector|infinite_vector|zero_vector|wrong_dimension|.+_change")
    calls = PROM.gained(signals.DURATION, ALL, MODEL, ANSWERED, part="count")
    each = f"{PROM.gained(signals.INPUTS, ALL, MODEL)} / ({calls} > 0)"
    filled = f"{each} / on ({labels(MODEL)}) {PROM.now('max', signals.BATCH_LIMIT, MODEL)}"
    panels = [
        stat("Broken vectors", "short", f"{total(found, broken)} or vector(0)",
             "NaN, infinite, all zeros, or of another dimension or model than before.", found,
             limit=thresholds["broken_vectors"]),
        stat("All problems", "short", f"{total(found)} or vector(0)", "That raise no error.", found),
        stat("Share wasted", "percentunit", f"{total(cost)} / ({total(spent)} > 0)",
             "Of the dollars of the calls that were looked at, on texts that were embedded before.", cost, spent),
        stat("Wasted", "currencyUSD", f"{total(cost)} or vector(0)", "On texts that were embedded before.", cost),
        stat("Tokens wasted", "short", f"{total(signals.WASTED_TOKENS)} or vector(0)",
             "On texts that were embedded before, and in failed attempts.", signals.WASTED_TOKENS),
        stat("Fullest batches", "percentunit", f"max({filled})", "Inputs a call, of the most that the provider takes.",
             signals.INPUTS, signals.DURATION, signals.BATCH_LIMIT),
        graph("Problems a minute", "short", rate(found, by=problem, seconds=60), "By model and kind.", found,
              stacked=True),
        graph("Wasted an hour", "currencyUSD", rate(cost, by=waste, seconds=3600), "By model and why.", cost,
              stacked=True),
        table("Problems", "short", Line(f"sort_desc({total(found, by=problem)})"), "In the time that is shown.", found),
        graph("Tokens wasted a second", "short", rate(signals.WASTED_TOKENS, by=waste), "By model and why.",
              signals.WASTED_TOKENS, stacked=True),
        graph("Batches, how full", "percentunit", Line(_filled_now(), legend(*MODEL)),
              "Inputs a call, of the most that the provider takes.", signals.INPUTS, signals.DURATION,
              signals.BATCH_LIMIT),
        graph("Looked at a second", "short", rate(checked, by=(names.CHECKED,)), "Inputs and vectors.", checked),
    ]  # fmt: skip
    return Board("quality", "Quality and waste", "What goes wrong without an error, and what is wasted.", panels)


def _filled_now() -> str:
    calls = PROM.gained(signals.DURATION, STEP, MODEL, ANSWERED, part="count")
    each = f"{PROM.gained(signals.INPUTS, STEP, MODEL)} / ({calls} > 0)"
    return f"{each} / on ({labels(MODEL)}) {PROM.now('max', signals.BATCH_LIMIT, MODEL)}"
