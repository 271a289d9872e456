"""The chain around chat models: LangChain's."""

from __future__ import annotations

from otel_embed.backends import signals
from otel_embed.backends.grafana.panels import ALL, PROM, Board, graph, stat
from otel_embed.backends.grafana.queries import (
    CHAT,
    ERROR,
    FAILED,
    HIT,
    MODEL,
    percentiles,
    quantile,
    rate,
    share,
    share_now,
    total,
)
from otel_embed.report import names
from otel_embed.thresholds import Thresholds


def board(thresholds: Thresholds) -> Board:
    duration, tokens = signals.CHAT_DURATION, signals.CHAT_TOKENS
    first, speed = signals.TIME_TO_FIRST, signals.OUTPUT_RATE
    lookups, store, by_kind = signals.LOOKUPS, signals.STORE, (names.COMPONENT, names.OPERATION_NAME)
    ttft = thresholds["time_to_first_token"]
    panels = [
        stat("Calls", "short", total(duration, CHAT, part="count"), "Of chat and completion models.", duration),
        stat("Failed", "percentunit", share(duration, FAILED, among=(CHAT,), part="count"), "Of the calls.", duration,
             traces=ERROR),
        stat("To first token", "s", PROM.quantile(0.5, first, ALL, ()), "Half of the streamed answers begin by then.",
             first, limit=ttft),
        stat("Tokens a second", "short", PROM.quantile(0.5, speed, ALL, ()), "Half of the answers come faster.", speed,
             limit=thresholds["output_rate"]),
        stat("Spent", "currencyUSD", total(signals.COST, CHAT), "On chat models, where the price is known.",
             signals.COST),
        stat("Answered by cache", "percentunit", share(lookups, HIT, among=(CHAT,)), "Of the calls, by an LLM cache.",
             lookups, limit=thresholds["answer_cache_hit_rate"]),
        graph("Percentiles", "s", percentiles(duration, CHAT), "Of calls, to the last token.", duration),
        graph("Time to first token", "s", percentiles(first), "Of streamed answers.", first, limit=ttft),
        graph("Tokens a second of an answer", "short", quantile(0.5, speed, by=MODEL), "Median, by model.", speed),
        graph("Tokens a second in all", "short", rate(tokens, CHAT, by=(*MODEL, names.TOKEN_TYPE), part="sum"),
              "By model, in and out.", tokens, stacked=True),
        graph("Dollars an hour", "currencyUSD", rate(signals.COST, CHAT, by=MODEL, seconds=3600), "By model.",
              signals.COST, stacked=True),
        graph("Failed by model", "percentunit", share_now(duration, FAILED, by=MODEL, among=(CHAT,), part="count"),
              "Of the calls.", duration, traces=ERROR),
        graph("Answered by cache, by store", "percentunit",
              share_now(lookups, HIT, by=(names.CACHE_STORE,), among=(CHAT,)), "Of the calls.", lookups),
        graph("Vector stores", "s", quantile(0.95, store, by=by_kind),
              "95th percentile of writes and searches, without the embedding.", store),
    ]  # fmt: skip
    return Board("chat", "LLM chain", "Chat models, their caches, and the vector stores they are fed from.", panels)
