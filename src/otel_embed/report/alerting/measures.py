"""How each threshold is measured in this process. It is what the generated alert rules ask of a backend."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from otel_embed.report.alerting.growth import Calls, Chats, Lookups
from otel_embed.report.alerting.look import Look
from otel_embed.report.alerting.window import Place, Tally
from otel_embed.report.sketch import Sketch
from otel_embed.thresholds import Threshold

Tallies = Iterable[tuple[Place, Tally]]


def _nothing(look: Look) -> Tallies:
    return ()


@dataclass(frozen=True)
class Measure:
    """``adds`` says what a look adds to the window, ``value`` what the window's sums come to (None: nothing).

    Where there is ``stands``, that is the measurement, and with ``while_called`` only where calls are in the window.
    """

    unit: str
    value: Callable[[Tally, Threshold], float | None]
    adds: Callable[[Look], Tallies] = _nothing
    stands: Callable[[Look], Mapping[Place, float]] | None = None
    while_called: bool = False

    def measured(self, threshold: Threshold, look: Look, window: Mapping[Place, Tally]) -> dict[Place, float]:
        """What there is a verdict on."""
        if self.stands is not None:
            standing = self.stands(look)
            return {p: v for p, v in standing.items() if not self.while_called or (p in window and window[p].count)}
        enough = ((place, tally) for place, tally in window.items() if tally.count >= threshold.at_least)
        found = ((place, self.value(tally, threshold)) for place, tally in enough)
        return {place: value for place, value in found if value is not None}


def _place(calls: Calls) -> Place:
    return Place(calls.key.provider, calls.key.model)


def _calls(count: Callable[[Calls], float], amount: Callable[[Calls], float]) -> Callable[[Look], Tallies]:
    def adds(look: Look) -> Tallies:
        return ((_place(each), Tally(count(each), amount(each))) for each in look.calls if each.made)

    return adds


def _asked(look: Look) -> Tallies:
    # A rate limit is known by the model that was asked for, not by the one that answered.
    return ((Place(each.key.provider, each.key.request_model), Tally(each.made)) for each in look.calls if each.made)


def _latency(local: bool) -> Callable[[Look], Tallies]:
    def adds(look: Look) -> Tallies:
        for each in look.calls:
            if each.made and each.local == local:
                yield _place(each), Tally(each.latency.count, 0, each.latency)

    return adds


def _chats(which: Callable[[Chats], Sketch]) -> Callable[[Look], Tallies]:
    def adds(look: Look) -> Tallies:
        for each in look.chats:
            sketch = which(each)
            if sketch.count:
                yield Place(each.key.provider, each.key.model), Tally(sketch.count, 0, sketch)

    return adds


def _hits(lookups: Iterable[Lookups]) -> Iterator[tuple[Place, Tally]]:
    for store, hits, misses in lookups:
        yield Place(subject=store), Tally(hits + misses, hits)


def _spent(look: Look) -> Tallies:
    dollars = sum(each.usd for each in look.calls) + sum(each.usd for each in look.chats)
    return [(Place(), Tally(1, dollars))] if dollars else []


def _loads(look: Look) -> Tallies:
    return ((Place(each.provider, each.model), Tally(1, each.duration_ns / 1e9)) for each in look.loads)


def _failures(look: Look) -> Tallies:
    return ((Place(subject=what), Tally(count, count)) for what, count in look.failures.items())


def _broken(look: Look) -> Tallies:
    return ((place, Tally(count, count)) for place, count in look.broken.items())


def _gpus(look: Look) -> Tallies:
    return ((place, Tally(1, busy)) for place, busy in look.gpus.items())


def _mean(tally: Tally, threshold: Threshold) -> float | None:
    return tally.amount / tally.count if tally.count else None


def _sum(tally: Tally, threshold: Threshold) -> float | None:
    return tally.amount


def _quantile(q: float) -> Callable[[Tally, Threshold], float | None]:
    return lambda tally, threshold: None if tally.sketch is None else tally.sketch.quantile(q)


def _a_minute(tally: Tally, threshold: Threshold) -> float | None:
    """Inputs a minute, where calls were open for at least half of the time."""
    return 60 * tally.amount / threshold.window if tally.count > threshold.window / 2 else None


MEASURES: Final[dict[str, Measure]] = {
    "latency_p95": Measure("s", _quantile(0.95), _latency(local=False)),
    "local_latency_p95": Measure("s", _quantile(0.95), _latency(local=True)),
    "error_rate": Measure("1", _mean, _calls(lambda calls: calls.made, lambda calls: calls.failed)),
    "retry_rate": Measure("{retry}", _mean, _calls(lambda calls: calls.made, lambda calls: calls.retries)),
    "rate_limit_requests": Measure("{request}", _sum, _asked, lambda look: look.requests_left, while_called=True),
    "rate_limit_headroom": Measure("1", _sum, _asked, lambda look: look.headroom, while_called=True),
    "throughput": Measure(
        "{input}/min", _a_minute, _calls(lambda calls: calls.latency.sum, lambda calls: calls.inputs)
    ),
    "queue_depth": Measure("{input}", _sum, stands=lambda look: look.pending),
    "cache_hit_rate": Measure("1", _mean, lambda look: (one for each in look.calls for one in _hits(each.lookups))),
    "daily_cost": Measure("{USD}", _sum, _spent),
    "budget_spent": Measure("1", _sum, stands=lambda look: look.budgets),
    "time_to_first_token": Measure("s", _quantile(0.5), _chats(lambda chats: chats.first_token)),
    "output_rate": Measure("{token}/s", _quantile(0.5), _chats(lambda chats: chats.output_rate)),
    "answer_cache_hit_rate": Measure(
        "1", _mean, lambda look: (one for each in look.chats for one in _hits(each.lookups))
    ),
    "model_load": Measure("s", _mean, _loads),
    "gpu_idle": Measure("1", _mean, _gpus),
    "gpu_saturated": Measure("1", _mean, _gpus),
    "broken_vectors": Measure("{problem}", _sum, _broken),
    "own_failures": Measure("{failure}", _sum, _failures),
}
"""All but whether telemetry is stale, which only somebody outside of the process can tell."""
