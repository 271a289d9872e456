"""Whether caches pay."""

from __future__ import annotations

from otel_embed.backends import signals
from otel_embed.backends.grafana.panels import PROM, Board, graph, stat
from otel_embed.backends.grafana.queries import HIT, NO_CHAT, now, quantile, rate, share, share_now, total
from otel_embed.report import names
from otel_embed.thresholds import Thresholds


def board(thresholds: Thresholds) -> Board:
    lookups, limit, store = signals.LOOKUPS, thresholds["cache_hit_rate"], (names.CACHE_STORE,)
    panels = [
        stat("Hit rate", "percentunit", share(lookups, HIT, among=(NO_CHAT,)),
             "Inputs that a cache knew, among those it was asked for.", lookups, limit=limit),
        stat("Lookups", "short", total(lookups, NO_CHAT), "Inputs that a cache was asked for.", lookups),
        stat("Saved", "currencyUSD", total(signals.SAVED_COST, NO_CHAT), "What the hits would have cost.",
             signals.SAVED_COST),
        stat("Tokens saved", "short", total(signals.SAVED_TOKENS, NO_CHAT), "What the hits would have billed.",
             signals.SAVED_TOKENS),
        stat("Entries", "short", PROM.now("max", signals.ENTRIES, ()), "Of the largest store.", signals.ENTRIES),
        stat("Size", "bytes", PROM.now("max", signals.SIZE, ()), "Of the largest store.", signals.SIZE),
        graph("Hit rate by store", "percentunit", share_now(lookups, HIT, by=store, among=(NO_CHAT,)),
              "Inputs that a cache knew, among those it was asked for.", lookups, limit=limit),
        graph("Lookups a second", "short", rate(lookups, NO_CHAT, by=(*store, names.CACHE_OUTCOME)),
              "By store and outcome.", lookups, stacked=True),
        graph("Saved an hour", "currencyUSD", rate(signals.SAVED_COST, NO_CHAT, by=store, seconds=3600), "By store.",
              signals.SAVED_COST, stacked=True),
        graph("What the application waited", "s",
              quantile(0.95, signals.FRAMEWORK, by=(names.COMPONENT, names.CACHE_OUTCOME)),
              "95th percentile where the cache knew all, a part, or nothing of what was asked.", signals.FRAMEWORK),
        graph("Entries by store", "short", now("max", signals.ENTRIES, by=store), "What stores hold.", signals.ENTRIES),
        graph("Size by store", "bytes", now("max", signals.SIZE, by=store), "What stores take.", signals.SIZE),
    ]  # fmt: skip
    return Board("cache", "Cache", "Whether caches of embeddings pay.", panels)
