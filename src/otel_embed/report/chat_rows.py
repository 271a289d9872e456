"""Chat calls, the caches of their answers and component runs, as rows of a summary document."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from otel_embed.report.cache_worth import known_usd
from otel_embed.report.chat_totals import ChatSeries, ChatTotals, ComponentSeries
from otel_embed.report.sketch import Sketch
from otel_embed.report.totals import PICODOLLARS


def rows(totals: ChatTotals) -> dict[str, list[dict[str, Any]]]:
    groups: defaultdict[tuple[str, str | None], list[ChatSeries]] = defaultdict(list)
    for each in totals.series():
        groups[each.key.provider, each.key.model].append(each)
    return {
        "chat": [_chat(provider, model, group) for (provider, model), group in groups.items()],
        "answer_caches": [row for (_, model), group in groups.items() for row in _caches(model, group)],
        "runs": [_run(each) for each in totals.components()],
    }


def _chat(provider: str, model: str | None, group: list[ChatSeries]) -> dict[str, Any]:
    spent = sum(each.picodollars for each in group)
    unpriced = sum(each.unpriced_calls for each in group)
    errors: Counter[str] = Counter()
    for each in group:
        errors.update(each.errors)
    return {
        "provider": provider,
        "model": model,
        "calls": sum(each.answered for each in group),
        "errors": dict(errors),
        "input_tokens": sum(each.input_tokens for each in group),
        "output_tokens": sum(each.output_tokens for each in group),
        "cached_tokens": sum(each.cached_tokens for each in group),
        "reasoning_tokens": sum(each.reasoning_tokens for each in group),
        "cost_usd": spent / PICODOLLARS if spent or not unpriced else None,
        "unpriced_calls": unpriced,
        "latency": _merged(each.latency for each in group),
        "first_token": _merged(each.first_token for each in group),
        "output_rate": _merged(each.output_rate for each in group),
    }


def _caches(model: str | None, group: list[ChatSeries]) -> Iterable[dict[str, Any]]:
    for each in group:
        for store, cache in each.caches.items():
            yield {
                "store": store,
                "model": model,
                "hits": cache.hits,
                "misses": cache.misses,
                "saved_tokens": cache.saved_input + cache.saved_output,
                "saved_usd": known_usd(cache.saved_picodollars, cache.unpriced),
            }


def _run(each: ComponentSeries) -> dict[str, Any]:
    return {
        "framework": each.framework,
        "kind": each.kind,
        "component": each.name,
        "calls": each.latency.count,
        "errors": dict(each.errors),
        "own_seconds": each.own_ns / 1e9,
        "latency": each.latency.to_dict(),
    }


def _merged(sketches: Iterable[Sketch]) -> dict[str, Any]:
    whole = Sketch()
    for sketch in sketches:
        whole.merge(sketch)
    return whole.to_dict()
