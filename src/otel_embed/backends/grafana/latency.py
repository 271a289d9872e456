"""How long embedding takes."""

from __future__ import annotations

from collections.abc import Iterator

from otel_embed.backends import signals
from otel_embed.backends.grafana.panels import ALL, PROM, Board, Panel, graph, stat
from otel_embed.backends.grafana.queries import ANSWERED, MODEL, SLOW, now, percentiles, quantile, rate, total
from otel_embed.report import names
from otel_embed.thresholds import Thresholds


def board(thresholds: Thresholds) -> Board:
    duration, inputs, pending = signals.DURATION, signals.INPUTS, signals.PENDING
    limit, depth, calls = thresholds["latency_p95"], thresholds["queue_depth"], total(duration, part="count")
    answered = total(duration, ANSWERED, part="count")
    panels = [
        *_percentiles(thresholds),
        stat("Calls", "short", calls, "To providers; retries are part of a call.", duration),
        stat("Inputs a call", "short", f"{total(inputs)} / ({answered} > 0)", "How full batches are.", inputs,
             duration),
        stat("Waiting inputs", "short", PROM.now("sum", pending, ()), "Inputs whose embeddings have not arrived.",
             pending, limit=depth),
        graph("Percentiles", "s", percentiles(duration), "Of all calls to providers.", duration, limit=limit,
              traces=SLOW),
        graph("p95 by model", "s", quantile(0.95, duration, by=MODEL), "By provider and model.", duration, limit=limit,
              traces=SLOW),
        graph("Calls a second", "reqps", rate(duration, by=MODEL, part="count"), "By provider and model.", duration),
        graph("Inputs a minute", "short", rate(inputs, by=MODEL, seconds=60), "By provider and model.", inputs),
        graph("What the application waited", "s",
              quantile(0.95, signals.FRAMEWORK, by=(names.COMPONENT, names.CACHE_OUTCOME)),
              "95th percentile of a framework's embedder, by class and by what its cache knew.", signals.FRAMEWORK),
        graph("Waiting inputs by model", "short", now("sum", pending, by=MODEL), "The depth of the queue.", pending,
              limit=depth),
    ]  # fmt: skip
    return Board("latency", "Latency", "How long embedding takes.", panels)


def _percentiles(thresholds: Thresholds) -> Iterator[Panel]:
    for q, limit in ((0.5, None), (0.95, thresholds["latency_p95"]), (0.99, None)):
        percent = round(q * 100)
        about = f"{percent} % of the calls to providers take at most this long, retries included."
        value = PROM.quantile(q, signals.DURATION, ALL, ())
        yield stat(f"p{percent}", "s", value, about, signals.DURATION, limit=limit, traces=SLOW)
