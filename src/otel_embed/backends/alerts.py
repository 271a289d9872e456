"""Thresholds as alerts: what is measured in Prometheus' language, from where on it is bad, and what to say then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from otel_embed.backends import signals
from otel_embed.backends.promql import Language, duration, labels, matcher, window
from otel_embed.backends.signals import Signal
from otel_embed.report import names
from otel_embed.thresholds import Severity, Threshold, Thresholds

Format = Literal["seconds", "share", "dollars", "number", "ratio"]
JOB: Final = "job"
"""What Prometheus calls the service."""
MODEL: Final = (JOB, names.PROVIDER, names.REQUEST_MODEL)
EMBEDDINGS: Final = matcher(names.OPERATION, "=", "")
CHAT: Final = matcher(names.OPERATION, "!=", "")
"""Of counters that both have: there, chat calls alone name their operation."""
_PROM: Final = Language()


@dataclass(frozen=True, kw_only=True)
class Alert:
    name: str
    threshold: Threshold
    signals: tuple[Signal, ...]
    by: tuple[str, ...]
    """What it is told apart by: ``job``, and attributes."""
    value: str
    """What is measured."""
    guard: str = ""
    """What must hold as well, after the comparison: enough calls, say."""
    summary: str
    """``{value}`` stands for what was measured."""
    meaning: str
    """What it means, and what to look at."""
    format: Format
    limit: float
    window: float
    severity: Severity

    @property
    def operator(self) -> str:
        return ">" if self.threshold.comparison == "above" else "<"


def alerts(thresholds: Thresholds) -> list[Alert]:
    """Those that are switched on."""
    wanted = ((make, thresholds[name]) for name, make in _MAKERS.items())
    return [alert for make, threshold in wanted if threshold.alert for alert in make(threshold)]


def _alert(
    threshold: Threshold,
    name: str,
    *said: str,
    of: tuple[Signal, ...],
    by: tuple[str, ...],
    value: str,
    guard: str = "",
    format: Format = "number",
    limit: float | None = None,
    window: float | None = None,
    severity: Severity | None = None,
) -> Alert:
    return Alert(
        name=name, threshold=threshold, signals=of, by=by, value=value, guard=guard,
        summary=said[0], meaning=said[1], format=format,
        limit=threshold.value if limit is None else limit,
        window=threshold.window if window is None else window,
        severity=severity or threshold.severity,
    )  # fmt: skip


def _enough(threshold: Threshold, by: tuple[str, ...], calls: str) -> str:
    return f"and on ({labels(by)}) {calls} >= {threshold.at_least}" if threshold.at_least else ""


def _quantile(
    name: str, q: float, signal: Signal, format: Format, *said: str, more: tuple[str, ...] = ()
) -> Callable[[Threshold], Iterator[Alert]]:
    by = (*MODEL, *more)

    def make(threshold: Threshold) -> Iterator[Alert]:
        over = window(threshold.window)
        guard = _enough(threshold, by, _PROM.gained(signal, over, by, part="count"))
        value = _PROM.quantile(q, signal, over, by)
        yield _alert(threshold, name, *said, of=(signal,), by=by, value=value, guard=guard, format=format)

    return make


def _errors(threshold: Threshold) -> Iterator[Alert]:
    over = window(threshold.window)
    calls = _PROM.gained(signals.DURATION, over, MODEL, part="count")
    failed = _PROM.gained(signals.DURATION, over, MODEL, matcher(names.ERROR_TYPE, "!=", ""), part="count")
    yield _alert(
        threshold,
        "EmbeddingErrorRateHigh",
        "{value} of the embedding calls fail",
        "See their causes on the dashboard Errors and retries: rate limits, timeouts, keys, input.",
        of=(signals.DURATION,),
        by=MODEL,
        value=_PROM.share(failed, calls),
        guard=_enough(threshold, MODEL, calls),
        format="share",
    )


def _retries(threshold: Threshold) -> Iterator[Alert]:
    over = window(threshold.window)
    calls = _PROM.gained(signals.DURATION, over, MODEL, part="count")
    yield _alert(
        threshold,
        "EmbeddingRetriesHigh",
        "There are {value} retries for each embedding call",
        "Retries on 429 mean that a rate limit is reached: ask for a higher one, or send less at a time.",
        of=(signals.RETRIES, signals.DURATION),
        by=MODEL,
        value=_PROM.share(_PROM.gained(signals.RETRIES, over, MODEL), calls),
        guard=_enough(threshold, MODEL, calls),
        format="ratio",
    )


def _headroom(threshold: Threshold) -> Iterator[Alert]:
    calls = _PROM.gained(signals.DURATION, window(threshold.window), MODEL, part="count")
    yield _alert(
        threshold,
        "RateLimitNearlyReached",
        "The provider says that only {value} requests are left",
        "It said so with its last answer. This is looked at only while calls are made.",
        of=(signals.RATE_LIMIT, signals.DURATION),
        by=MODEL,
        value=_PROM.now("min", signals.RATE_LIMIT, MODEL, matcher(names.RATE_LIMIT_KIND, "=", "requests")),
        guard=f"and on ({labels(MODEL)}) {calls} > 0",
    )


def _queue(threshold: Threshold) -> Iterator[Alert]:
    yield _alert(
        threshold,
        "EmbeddingQueueDeep",
        "{value} inputs wait for their embeddings",
        "More is asked for than the provider answers: see latency, retries and rate limits.",
        of=(signals.PENDING,),
        by=MODEL,
        value=_PROM.now("sum", signals.PENDING, MODEL),
    )


def _throughput(threshold: Threshold) -> Iterator[Alert]:
    over = window(threshold.window)
    busy = _PROM.gained(signals.DURATION, over, MODEL, part="sum")
    yield _alert(
        threshold,
        "EmbeddingThroughputLow",
        "{value} texts a minute are embedded, while calls are open at least half of the time",
        "Send larger batches, or more of them at a time.",
        of=(signals.INPUTS, signals.DURATION),
        by=MODEL,
        value=f"{_PROM.gained(signals.INPUTS, over, MODEL)} / {threshold.window / 60:g}",
        guard=f"and on ({labels(MODEL)}) {busy} > {threshold.window / 2:g}",
    )


def _hit_rate(name: str, operation: str, *said: str) -> Callable[[Threshold], Iterator[Alert]]:
    by = (JOB, names.CACHE_STORE)

    def make(threshold: Threshold) -> Iterator[Alert]:
        over, hit = window(threshold.window), matcher(names.CACHE_OUTCOME, "=", "hit")
        asked = _PROM.gained(signals.LOOKUPS, over, by, operation)
        value = _PROM.share(_PROM.gained(signals.LOOKUPS, over, by, operation, hit), asked)
        guard = _enough(threshold, by, asked)
        yield _alert(threshold, name, *said, of=(signals.LOOKUPS,), by=by, value=value, guard=guard, format="share")

    return make


_BURNS: Final[tuple[tuple[str, int, int, int, Severity], ...]] = (
    ("Fast", 6, 24, 288, "warning"),
    ("Slow", 2, 4, 48, "info"),
)
"""How many times faster than evenly money goes; the parts of the day that are looked at, long and short."""


def _cost(threshold: Threshold) -> Iterator[Alert]:
    day = threshold.window
    yield _alert(
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
        yield _alert(
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
    return _PROM.gained(signals.COST, window(seconds), (JOB,))


def _budget(threshold: Threshold) -> Iterator[Alert]:
    by = (JOB, "instance", names.BUDGET, names.PERIOD)
    spent, limit = (_PROM.now("max", signal, by) for signal in (signals.BUDGET_SPENT, signals.BUDGET_LIMIT))
    yield _alert(
        threshold,
        "ProcessBudgetNearlySpent",
        "{value} of a process's budget is spent",
        "The budget is the one that the process was given, in OTEL_EMBED_DAILY_BUDGET_USD for instance.",
        of=(signals.BUDGET_SPENT, signals.BUDGET_LIMIT),
        by=by,
        value=f"{spent} / ({limit} > 0)",
        format="share",
    )


def _load(threshold: Threshold) -> Iterator[Alert]:
    by = (*MODEL, names.DEVICE)
    yield _alert(
        threshold,
        "ModelLoadSlow",
        "Loading a model takes {value}",
        "Look whether its files come over a network, and keep the process alive between runs.",
        of=(signals.LOAD,),
        by=by,
        value=_PROM.mean(signals.LOAD, window(threshold.window), by),
        format="seconds",
    )


def _gpu(name: str, *said: str) -> Callable[[Threshold], Iterator[Alert]]:
    by = (names.HW_ID, names.HW_NAME)

    def make(threshold: Threshold) -> Iterator[Alert]:
        selector = _PROM.series(signals.GPU_BUSY).selector
        value = f"max by ({labels(by)}) (avg_over_time({selector}[{duration(threshold.window)}]))"
        yield _alert(threshold, name, *said, of=(signals.GPU_BUSY,), by=by, value=value, format="share")

    return make


def _stale(threshold: Threshold) -> Iterator[Alert]:
    """A job that ran once is not stale when it is over: only one that was there for long is missed."""
    calls, looked = _PROM.series(signals.INPUTS).selector, duration(threshold.window)
    minutes = threshold.window / 120
    yield _alert(
        threshold,
        "EmbeddingTelemetryStale",
        "There has been no measurement for {value}",
        f"There were some for half of {looked}. See otel-embed doctor, and whether the process is there.",
        of=(signals.INPUTS,),
        by=(JOB,),
        value=f"time() - max by ({JOB}) (max_over_time(timestamp({calls})[{looked}:1m]))",
        guard=f"and on ({JOB}) count_over_time((count by ({JOB}) ({calls}))[{looked}:1m]) > {minutes:g}",
        format="seconds",
    )


def _own(threshold: Threshold) -> Iterator[Alert]:
    by = (JOB, names.DROPPED_WHAT)
    yield _alert(
        threshold,
        "OtelEmbedFails",
        "otel-embed failed {value} times",
        "The application saw none of it, but telemetry is missing. Its log has each error once: please report it.",
        of=(signals.DROPPED,),
        by=by,
        value=_PROM.gained(signals.DROPPED, window(threshold.window), by),
    )


_MAKERS: Final[dict[str, Callable[[Threshold], Iterator[Alert]]]] = {
    "latency_p95": _quantile(
        "EmbeddingLatencyHigh", 0.95, signals.DURATION, "seconds",
        "95 % of the embedding calls take up to {value}",
        "See on the dashboard Stages where the time goes, and the traces of slow calls.",
    ),
    "local_latency_p95": _quantile(
        "LocalModelLatencyHigh", 0.95, signals.LOCAL, "seconds",
        "95 % of the calls of a model in the process take up to {value}",
        "Look at the device it runs on, and at the size of its batches.",
        more=(names.DEVICE,),
    ),
    "error_rate": _errors,
    "retry_rate": _retries,
    "rate_limit_requests": _headroom,
    "throughput": _throughput,
    "queue_depth": _queue,
    "cache_hit_rate": _hit_rate(
        "CacheHitRateLow", EMBEDDINGS, "A cache knew only {value} of the inputs",
        "Look for a new namespace or model, for entries that expire early, or for input that never repeats.",
    ),
    "daily_cost": _cost,
    "budget_spent": _budget,
    "time_to_first_token": _quantile(
        "TimeToFirstTokenHigh", 0.5, signals.TIME_TO_FIRST, "seconds",
        "Half of the chat calls wait {value} or longer for their first token",
        "Look at the length of the prompts, and at the provider's status.",
    ),
    "output_rate": _quantile(
        "OutputRateLow", 0.5, signals.OUTPUT_RATE, "number",
        "Half of the chat calls get {value} tokens a second or fewer",
        "Look at the provider's status, or take a faster model.",
    ),
    "answer_cache_hit_rate": _hit_rate(
        "AnswerCacheHitRateLow", CHAT, "An LLM cache answered only {value} of the chat calls",
        "Such caches match the whole prompt: a date or an id in it makes every call a new one.",
    ),
    "model_load": _load,
    "gpu_idle": _gpu(
        "GpuIdle", "A GPU works only {value} of the time",
        "Larger batches keep it busy; or the work comes in too slowly.",
    ),
    "gpu_saturated": _gpu(
        "GpuSaturated", "A GPU works {value} of the time",
        "There is no room for more: see the queue, and whether padding wastes a part of it.",
    ),
    "stale_telemetry": _stale,
    "own_failures": _own,
}  # fmt: skip
