"""What alerts measure, a function for each threshold or kind of threshold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from otel_embed.backends import signals
from otel_embed.backends.alerting import JOB, MODEL, PROM, Alert, Format, enough, made
from otel_embed.backends.promql import duration, labels, matcher, window
from otel_embed.backends.signals import Signal
from otel_embed.report import names
from otel_embed.thresholds import Threshold

_PROCESS: Final = (JOB, "instance", names.PROVIDER, names.REQUEST_MODEL)


def quantile(
    name: str, q: float, signal: Signal, format: Format, *said: str, more: tuple[str, ...] = ()
) -> Callable[[Threshold], Iterator[Alert]]:
    by = (*MODEL, *more)

    def make(threshold: Threshold) -> Iterator[Alert]:
        over = window(threshold.window)
        guard = enough(threshold, by, PROM.gained(signal, over, by, part="count"))
        value = PROM.quantile(q, signal, over, by)
        yield made(threshold, name, *said, of=(signal,), by=by, value=value, guard=guard, format=format)

    return make


def errors(threshold: Threshold) -> Iterator[Alert]:
    over = window(threshold.window)
    calls = PROM.gained(signals.DURATION, over, MODEL, part="count")
    failed = PROM.gained(signals.DURATION, over, MODEL, matcher(names.ERROR_TYPE, "!=", ""), part="count")
    yield made(
        threshold,
        "EmbeddingErrorRateHigh",
        "{value} of the embedding calls fail",
        "See their causes on the dashboard Errors and retries: rate limits, timeouts, keys, input.",
        of=(signals.DURATION,),
        by=MODEL,
        value=PROM.share(failed, calls),
        guard=enough(threshold, MODEL, calls),
        format="share",
    )


def retries(threshold: Threshold) -> Iterator[Alert]:
    over = window(threshold.window)
    calls = PROM.gained(signals.DURATION, over, MODEL, part="count")
    yield made(
        threshold,
        "EmbeddingRetriesHigh",
        "There are {value} retries for each embedding call",
        "Retries on 429 mean that a rate limit is reached: ask for a higher one, or send less at a time.",
        of=(signals.RETRIES, signals.DURATION),
        by=MODEL,
        value=PROM.share(PROM.gained(signals.RETRIES, over, MODEL), calls),
        guard=enough(threshold, MODEL, calls),
        format="ratio",
    )


def headroom(name: str, signal: Signal, format: Format, *said: str) -> Callable[[Threshold], Iterator[Alert]]:
    """Of a gauge of what is left: it stands still in a process that does not call, and says nothing there."""
    by = (*MODEL, names.RATE_LIMIT_KIND)
    only = (matcher(names.RATE_LIMIT_KIND, "=", "requests"),) if signal is signals.RATE_LIMIT else ()

    def make(threshold: Threshold) -> Iterator[Alert]:
        calls = PROM.gained(signals.DURATION, window(threshold.window), _PROCESS, part="count")
        left = f"{PROM.series(signal, *only).selector}\nand on ({labels(_PROCESS)}) {calls} > 0"
        value = f"min by ({labels(by)}) (\n{left}\n)"
        yield made(threshold, name, *said, of=(signal, signals.DURATION), by=by, value=value, format=format)

    return make


def queue(threshold: Threshold) -> Iterator[Alert]:
    yield made(
        threshold,
        "EmbeddingQueueDeep",
        "{value} inputs wait for their embeddings",
        "More is asked for than the provider answers: see latency, retries and rate limits.",
        of=(signals.PENDING,),
        by=MODEL,
        value=PROM.now("sum", signals.PENDING, MODEL),
    )


def throughput(threshold: Threshold) -> Iterator[Alert]:
    over = window(threshold.window)
    busy = PROM.gained(signals.DURATION, over, MODEL, part="sum")
    yield made(
        threshold,
        "EmbeddingThroughputLow",
        "{value} texts a minute are embedded, while calls are open at least half of the time",
        "Send larger batches, or more of them at a time.",
        of=(signals.INPUTS, signals.DURATION),
        by=MODEL,
        value=f"{PROM.gained(signals.INPUTS, over, MODEL)} / {threshold.window / 60:g}",
        guard=f"and on ({labels(MODEL)}) {busy} > {threshold.window / 2:g}",
    )


def hit_rate(name: str, operation: str, *said: str) -> Callable[[Threshold], Iterator[Alert]]:
    by = (JOB, names.CACHE_STORE)

    def make(threshold: Threshold) -> Iterator[Alert]:
        over, hit = window(threshold.window), matcher(names.CACHE_OUTCOME, "=", "hit")
        asked = PROM.gained(signals.LOOKUPS, over, by, operation)
        value = PROM.share(PROM.gained(signals.LOOKUPS, over, by, operation, hit), asked)
        guard = enough(threshold, by, asked)
        yield made(threshold, name, *said, of=(signals.LOOKUPS,), by=by, value=value, guard=guard, format="share")

    return make


def load(threshold: Threshold) -> Iterator[Alert]:
    by = (*MODEL, names.DEVICE)
    yield made(
        threshold,
        "ModelLoadSlow",
        "Loading a model takes {value}",
        "Look whether its files come over a network, and keep the process alive between runs.",
        of=(signals.LOAD,),
        by=by,
        value=PROM.mean(signals.LOAD, window(threshold.window), by),
        format="seconds",
    )


def gpu(name: str, *said: str) -> Callable[[Threshold], Iterator[Alert]]:
    by = (names.HW_ID, names.HW_NAME)

    def make(threshold: Threshold) -> Iterator[Alert]:
        selector = PROM.series(signals.GPU_BUSY).selector
        value = f"max by ({labels(by)}) (avg_over_time({selector}[{duration(threshold.window)}]))"
        yield made(threshold, name, *said, of=(signals.GPU_BUSY,), by=by, value=value, format="share")

    return make


def stale(threshold: Threshold) -> Iterator[Alert]:
    """A job that ran once is not stale when it is over: only one that was there for long is missed."""
    calls, looked = PROM.series(signals.INPUTS).selector, duration(threshold.window)
    minutes = threshold.window / 120
    yield made(
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


def broken(threshold: Threshold) -> Iterator[Alert]:
    by, bad = (*MODEL, names.PROBLEM), "nan_vector|infinite_vector|zero_vector|wrong_dimension|.+_change"
    seen = PROM.gained(signals.PROBLEMS, window(threshold.window), by, matcher(names.PROBLEM, "=~", bad))
    yield made(
        threshold,
        "EmbeddingsBroken",
        "{value} vectors or answers are not what they should be",
        "No call failed, but a search on these vectors finds the wrong things. See docs/quality.md.",
        of=(signals.PROBLEMS,),
        by=by,
        value=seen,
    )


def own(threshold: Threshold) -> Iterator[Alert]:
    by = (JOB, names.DROPPED_WHAT)
    yield made(
        threshold,
        "OtelEmbedFails",
        "otel-embed failed {value} times",
        "The application saw none of it, but telemetry is missing. Its log has each error once: please report it.",
        of=(signals.DROPPED,),
        by=by,
        value=PROM.gained(signals.DROPPED, window(threshold.window), by),
    )
