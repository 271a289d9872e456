"""Models in the process, and the GPUs they run on."""

from __future__ import annotations

from otel_embed.backends import signals
from otel_embed.backends.grafana.panels import ALL, PROM, Board, Line, graph, legend, stat
from otel_embed.backends.grafana.queries import MODEL, now, percentiles, quantile, rate, total
from otel_embed.report import names
from otel_embed.thresholds import Thresholds


def board(thresholds: Thresholds) -> Board:
    local, load, busy = signals.LOCAL, signals.LOAD, signals.GPU_BUSY
    device, gpu = (*MODEL, names.DEVICE), (names.HW_ID, names.HW_NAME)
    p95 = thresholds["local_latency_p95"]
    panels = [
        stat("p95", "s", PROM.quantile(0.95, local, ALL, ()), "95 % of the calls take at most this long.", local,
             limit=p95),
        stat("Calls", "short", total(local, part="count"), "Of models in the process.", local),
        stat("Load", "s", PROM.mean(load, ALL, ()), "Mean time to load a model.", load, limit=thresholds["model_load"]),
        stat("Padding", "short", f"{total(signals.PADDING)} or vector(0)",
             "Tokens that only fill up batches: sort texts by their length.", signals.PADDING),
        stat("Cut short", "short", f"{total(signals.TRUNCATED)} or vector(0)",
             "Inputs as long as the model takes, or longer.", signals.TRUNCATED),
        stat("GPU", "percentunit", PROM.now("max", busy, ()), "The busiest one.", busy,
             limit=thresholds["gpu_saturated"]),
        graph("Percentiles", "s", percentiles(local), "Of all models in the process.", local, limit=p95),
        graph("p95 by model and device", "s", quantile(0.95, local, by=device), "Of calls.", local, limit=p95),
        graph("Calls a second", "reqps", rate(local, by=device, part="count"), "By model and device.", local),
        graph("Loads", "s", Line(PROM.mean(load, ALL, device), legend(*device)), "Mean, by model and device.", load,
              limit=thresholds["model_load"]),
        graph("GPU, busy", "percentunit", now("max", busy, by=gpu),
              "Share of the time in which it works; 70 to 90 % is a sign of good batches.", busy),
        graph("GPU, memory", "bytes", [
            Line(PROM.now("max", signals.GPU_USED, gpu), "used " + legend(names.HW_NAME)),
            Line(PROM.now("max", signals.GPU_SIZE, gpu), "size " + legend(names.HW_NAME)),
        ], "By GPU; several processes on one say the same.", signals.GPU_USED, signals.GPU_SIZE),
        graph("Padding, tokens a second", "short", rate(signals.PADDING, by=MODEL), "By model.", signals.PADDING),
        graph("Cut short a minute", "short", rate(signals.TRUNCATED, by=MODEL, seconds=60), "Inputs, by model.",
              signals.TRUNCATED),
    ]  # fmt: skip
    return Board("local", "Local models and GPU", "Models in the process, and the GPUs they run on.", panels)
