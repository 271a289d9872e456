"""From two summaries to their comparison."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from otel_embed.cli.chat_rows import ChatTotals
from otel_embed.cli.comparison import Comparison, Group, Limits, Measure, StageMeans, measures, stage_means
from otel_embed.cli.document import Summary
from otel_embed.cli.figures import Figures, figures
from otel_embed.cli.intervals import Estimate, Interval, exactly, mean, quantile, share
from otel_embed.cli.rows import QUANTILES, ProviderTotals, in_order, ratio
from otel_embed.cli.units import percent, rate
from otel_embed.report.sketch import Sketch

OTHER_WORK = 0.10
"""From what change of the inputs a call on the runs did not do the same work."""


def compare(names: tuple[str, str], summaries: tuple[Summary, Summary], limits: Limits) -> Comparison:
    """Both have embedding or chat calls."""
    totals = figures(summaries[0]), figures(summaries[1])
    groups = [*_whole(summaries, totals, limits), *_models(summaries, limits), *_chats(summaries, limits)]
    return Comparison(names, tuple(groups), limits, tuple(_notes(totals, groups)))


def _whole(summaries: tuple[Summary, Summary], totals: tuple[Figures, Figures], limits: Limits) -> Iterator[Group]:
    before, after = totals
    if not (before.calls or after.calls or before.texts or after.texts):
        return
    found = measures(
        [
            *_latency(before.latency, after.latency, limits.latency),
            Measure("throughput", "per second", _throughput(before), _throughput(after), limits.throughput, False),
            Measure(
                "cost, 1,000 inputs", "dollars", _spent(before, before.texts), _spent(after, after.texts), limits.cost
            ),
            Measure("cache hit rate", "fraction", _hits(before), _hits(after), limits.hit_rate, False),
            _errors(before, after, limits),
        ]
    )
    stages = tuple(_added(summary.providers) for summary in summaries)
    calls = before.calls, after.calls
    yield Group("all embedding calls", calls, found, tuple(_stages(stages[0], stages[1], calls)))


def _models(summaries: tuple[Summary, Summary], limits: Limits) -> Iterator[Group]:
    models = _paired(summaries[0].providers, summaries[1].providers)
    for before, after in models:
        rows = before or _EMPTY, after or _EMPTY
        calls = rows[0].calls, rows[1].calls
        costs = _spent(rows[0], rows[0].inputs), _spent(rows[1], rows[1].inputs)
        found = measures(
            [
                *_latency(rows[0].latency, rows[1].latency, limits.latency),
                Measure("cost, 1,000 inputs", "dollars", costs[0], costs[1], limits.cost),
                _errors(rows[0], rows[1], limits),
            ]
        )
        stages = _stages(rows[0].stages, rows[1].stages, calls) if len(models) > 1 else []
        yield Group((before or after).name, calls, found, tuple(stages))


def _chats(summaries: tuple[Summary, Summary], limits: Limits) -> Iterator[Group]:
    for before, after in _paired(summaries[0].chats, summaries[1].chats):
        rows = before or _NO_CHATS, after or _NO_CHATS
        firsts = quantile(rows[0].first_token, 0.5), quantile(rows[1].first_token, 0.5)
        costs = _spent(rows[0], rows[0].calls), _spent(rows[1], rows[1].calls)
        found = measures(
            [
                *_latency(rows[0].latency, rows[1].latency, limits.latency),
                Measure("first token p50", "seconds", firsts[0], firsts[1], limits.latency),
                Measure("cost, 1,000 calls", "dollars", costs[0], costs[1], limits.cost),
                _errors(rows[0], rows[1], limits),
            ]
        )
        yield Group(f"chat {(before or after).name}", (rows[0].calls, rows[1].calls), found)


def _latency(before: Sketch, after: Sketch, limit: float | None) -> Iterator[Measure]:
    for name, q in QUANTILES.items():
        yield Measure(f"latency {name}", "seconds", quantile(before, q), quantile(after, q), limit)


def _errors(before: Any, after: Any, limits: Limits) -> Measure:
    rates = (share(sum(each.errors.values()), each.calls) for each in (before, after))
    return Measure("error rate", "fraction", next(rates), next(rates), limits.error_rate)


def _throughput(total: Figures) -> Estimate | None:
    """Inputs a second. The more the calls of a run vary in length, the more its throughput does by chance."""
    value, call = total.texts_per_second, mean(total.latency)
    if not value or call is None:
        return None
    if call.interval is None or call.interval.low <= 0:
        return Estimate(value, None, call.samples)
    slow, fast = call.value / call.interval.high, call.value / call.interval.low
    return Estimate(value, Interval(value * slow, value * fast), call.samples)


def _hits(total: Figures) -> Estimate | None:
    return None if total.cache is None else share(total.cache.hits, total.cache.hits + total.cache.misses)


def _spent(row: Any, number: int) -> Estimate | None:
    """Dollars for a thousand of ``number``; None where the price of a call is not known, and so the sum is not either."""
    each = None if row.cost_usd is None or row.unpriced_calls else ratio(row.cost_usd, number)
    return None if each is None else exactly(each * 1000, number)


def _stages(before: dict[str, float], after: dict[str, float], calls: tuple[int, int]) -> list[StageMeans]:
    both = in_order({stage: before.get(stage, 0.0) + after.get(stage, 0.0) for stage in (*before, *after)})
    ordered = [{stage: stages.get(stage, 0.0) for stage in both} for stages in (before, after)]
    return stage_means(ordered[0], ordered[1], calls)


def _added(rows: Iterable[ProviderTotals]) -> dict[str, float]:
    whole: dict[str, float] = {}
    for row in rows:
        for stage, seconds in row.stages.items():
            whole[stage] = whole.get(stage, 0.0) + seconds
    return whole


def _paired(before: Iterable[Any], after: Iterable[Any]) -> list[tuple[Any, Any]]:
    """By what they are called, in the order of ``before`` and then of ``after``; None where one has no such row."""
    first, second = ({row.name: row for row in rows} for rows in (before, after))
    return [(first.get(name), second.get(name)) for name in dict.fromkeys([*first, *second])]


def _notes(totals: tuple[Figures, Figures], groups: list[Group]) -> Iterator[str]:
    for group in groups:
        if not group.in_both and any(group.calls):
            yield f"{group.name}: called in the run {'before' if group.calls[0] else 'after'} only"
    embedded = [total.texts - (total.cache.hits if total.cache else 0) for total in totals]
    sizes = [ratio(number, total.calls) for number, total in zip(embedded, totals)]
    lengths = [ratio(total.all_tokens, number) for number, total in zip(embedded, totals)]
    for what, (before, after) in (("inputs a call", sizes), ("tokens an input", lengths)):
        if before and after and abs(after / before - 1) > OTHER_WORK:
            yield f"the work was not the same: {rate(before)} {what} before, {rate(after)} after"
    for when, total in zip(("before", "after"), totals):
        if total.unpriced_calls:
            unknown = percent(total.unpriced_calls / total.calls)
            yield f"the cost is not known: {unknown} of the calls {when} have no price"


_EMPTY = ProviderTotals("", "", False, 0, {}, 0, {}, None, 0, 0, {}, {}, Sketch())
_NO_CHATS = ChatTotals("", "", 0, {}, 0, 0, 0, 0, None, 0, Sketch(), Sketch(), Sketch())
