"""Thresholds as alerts: what is measured, from where on it is bad, and what to say then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from otel_embed.backends import signals
from otel_embed.backends.alerting import CHAT, EMBEDDINGS, Alert
from otel_embed.backends.measures import (
    broken,
    errors,
    gpu,
    headroom,
    hit_rate,
    load,
    own,
    quantile,
    queue,
    retries,
    stale,
    throughput,
)
from otel_embed.backends.money import budget, cost
from otel_embed.report import names
from otel_embed.thresholds import Threshold, Thresholds


def alerts(thresholds: Thresholds) -> list[Alert]:
    """Those that are switched on."""
    wanted = ((make, thresholds[name]) for name, make in _MAKERS.items())
    return [alert for make, threshold in wanted if threshold.alert for alert in make(threshold)]


_MAKERS: Final[dict[str, Callable[[Threshold], Iterator[Alert]]]] = {
    "latency_p95": quantile(
        "EmbeddingLatencyHigh", 0.95, signals.DURATION, "seconds",
        "95 % of the embedding calls take up to {value}",
        "See on the dashboard Stages where the time goes, and the traces of slow calls.",
    ),
    "local_latency_p95": quantile(
        "LocalModelLatencyHigh", 0.95, signals.LOCAL, "seconds",
        "95 % of the calls of a model in the process take up to {value}",
        "Look at the device it runs on, and at the size of its batches.",
        more=(names.DEVICE,),
    ),
    "error_rate": errors,
    "retry_rate": retries,
    "rate_limit_requests": headroom(
        "RateLimitNearlyReached", signals.RATE_LIMIT, "number",
        "The provider says that only {value} requests are left",
        "It said so with its last answer. This is looked at only while calls are made.",
    ),
    "rate_limit_headroom": headroom(
        "RateLimitHeadroomLow", signals.HEADROOM, "share",
        "The provider says that {value} of a rate limit is left",
        "It said so with its last answer. Retries come next: send less at a time, or ask for a higher limit.",
    ),
    "throughput": throughput,
    "queue_depth": queue,
    "cache_hit_rate": hit_rate(
        "CacheHitRateLow", EMBEDDINGS, "A cache knew only {value} of the inputs",
        "Look for a new namespace or model, for entries that expire early, or for input that never repeats.",
    ),
    "daily_cost": cost,
    "budget_spent": budget,
    "time_to_first_token": quantile(
        "TimeToFirstTokenHigh", 0.5, signals.TIME_TO_FIRST, "seconds",
        "Half of the chat calls wait {value} or longer for their first token",
        "Look at the length of the prompts, and at the provider's status.",
    ),
    "output_rate": quantile(
        "OutputRateLow", 0.5, signals.OUTPUT_RATE, "number",
        "Half of the chat calls get {value} tokens a second or fewer",
        "Look at the provider's status, or take a faster model.",
    ),
    "answer_cache_hit_rate": hit_rate(
        "AnswerCacheHitRateLow", CHAT, "An LLM cache answered only {value} of the chat calls",
        "Such caches match the whole prompt: a date or an id in it makes every call a new one.",
    ),
    "model_load": load,
    "gpu_idle": gpu(
        "GpuIdle", "A GPU works only {value} of the time",
        "Larger batches keep it busy; or the work comes in too slowly.",
    ),
    "gpu_saturated": gpu(
        "GpuSaturated", "A GPU works {value} of the time",
        "There is no room for more: see the queue, and whether padding wastes a part of it.",
    ),
    "broken_vectors": broken,
    "stale_telemetry": stale,
    "own_failures": own,
}  # fmt: skip
