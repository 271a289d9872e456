"""What the report says, computed from a summary. Times are in seconds, rates are fractions of one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from otel_embed.cli.document import Process, Summary
from otel_embed.cli.rows import add_known, add_saved, ratio
from otel_embed.report.sketch import Sketch


@dataclass(frozen=True)
class CacheFigures:
    hits: int
    misses: int
    saved_tokens: int
    saved_usd: float | None
    saved_ratio: float | None
    """Of the tokens that there would have been without a cache."""

    @property
    def hit_rate(self) -> float | None:
        return ratio(self.hits, self.hits + self.misses)


@dataclass(frozen=True)
class Figures:
    """Totals over all provider calls.

    ``texts`` are the inputs that went to a provider and those that a cache answered. ``busy_seconds``
    is how long embedding was going on: from each process's first call to its last, overlaps counted
    once. ``concurrency`` is how many provider calls were open on average during that.
    """

    calls: int
    errors: Mapping[str, int]
    retries: Mapping[str, int]
    texts: int
    tokens: Mapping[str, int]
    cost_usd: float | None
    unpriced_calls: int
    unpriced_tokens: int
    cache: CacheFigures | None
    wall_seconds: float
    busy_seconds: float
    latency: Sketch

    @property
    def error_rate(self) -> float | None:
        return ratio(sum(self.errors.values()), self.calls)

    @property
    def all_tokens(self) -> int:
        return sum(self.tokens.values())

    @property
    def cost_per_text(self) -> float | None:
        return None if self.cost_usd is None else ratio(self.cost_usd, self.texts)

    @property
    def texts_per_second(self) -> float | None:
        return ratio(self.texts, self.busy_seconds)

    @property
    def tokens_per_second(self) -> float | None:
        return ratio(self.all_tokens, self.busy_seconds)

    @property
    def concurrency(self) -> float | None:
        return ratio(self.latency.sum, self.busy_seconds)


def figures(summary: Summary) -> Figures:
    rows = summary.providers
    latency = Sketch()
    cost: float | None = None if rows else 0.0
    for row in rows:
        latency.merge(row.latency)
        cost = add_known(cost, row.cost_usd)
    tokens = _total(row.tokens for row in rows)
    cache = _cache(summary, sum(tokens.values()))
    busy = _covered(summary.processes)
    return Figures(
        calls=sum(row.calls for row in rows),
        errors=_total(row.errors for row in rows),
        retries=_total(row.retries for row in rows),
        texts=sum(row.inputs for row in rows) + (cache.hits if cache else 0),
        tokens=tokens,
        cost_usd=cost,
        unpriced_calls=sum(row.unpriced_calls for row in rows),
        unpriced_tokens=sum(row.unpriced_tokens for row in rows),
        cache=cache,
        wall_seconds=max(summary.elapsed_seconds, busy),
        busy_seconds=busy,
        latency=latency,
    )


def _cache(summary: Summary, tokens: int) -> CacheFigures | None:
    if not summary.caches:
        return None
    saved_tokens = sum(row.saved_tokens for row in summary.caches)
    return CacheFigures(
        hits=sum(row.hits for row in summary.caches),
        misses=sum(row.misses for row in summary.caches),
        saved_tokens=saved_tokens,
        saved_usd=add_saved(row.saved_usd for row in summary.caches),
        saved_ratio=ratio(saved_tokens, saved_tokens + tokens),
    )


def _total(rows: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Sums by key, the largest first."""
    total: Counter[str] = Counter()
    for row in rows:
        total.update(row)
    return dict(total.most_common())


def _covered(processes: Iterable[Process]) -> float:
    """Seconds in which at least one process was between its first call and its last."""
    covered, until = 0.0, 0.0
    for start, end in sorted((p.started, p.ended) for p in processes if p.started is not None and p.ended is not None):
        covered += max(0.0, end - max(start, until))
        until = max(until, end)
    return covered
