"""What this process did so far, as one document: for ``summary()``, for a file, for the command line."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from otel_embed import __version__, guard
from otel_embed.gauges import stores
from otel_embed.record import EmbeddingCall
from otel_embed.report import attribution_rows, budget_rows, chat_rows
from otel_embed.report.attribution_rows import Attributed, attributed
from otel_embed.report.cache_worth import CacheWorth, Money, by_model, by_store, known_usd
from otel_embed.report.recorder import CallRecorder
from otel_embed.report.sketch import Sketch
from otel_embed.report.totals import PICODOLLARS, Series

SCHEMA = 1
_loaded_at = time.time()


@dataclass(frozen=True)
class Summary:
    """Totals over all providers, of embedding calls and then of chat calls.

    ``document`` has everything, as ``otel-embed report`` reads it.
    """

    calls: int
    failed_calls: int
    inputs: int
    tokens: int
    cost_usd: float
    unpriced_calls: int
    cache_hits: int
    cache_misses: int
    saved_tokens: int
    saved_usd: float
    """By the hits whose price is known."""
    chat_calls: int
    """Of chat and completion models; those that a cache answered are none."""
    failed_chat_calls: int
    input_tokens: int
    output_tokens: int
    chat_cost_usd: float
    unpriced_chat_calls: int
    answer_cache_hits: int
    answer_cache_misses: int
    caches: dict[str, CacheWorth]
    """By store: what was paid behind it, what it saved, and the time that it took and saved."""
    cached_models: dict[str, Money]
    """By model, of those that a cache answered for."""
    attributed: dict[str, dict[str, Attributed]]
    """By attribute and value, as ``attributed["tenant"]["acme"].cost_usd``."""
    switched_off: str | None
    """Why otel_embed switched itself off, where it did: see ``OTEL_EMBED_MAX_OVERHEAD``."""
    document: dict[str, Any]

    @property
    def cache_money(self) -> Money:
        """Of embedding calls in all: what they cost, and what caches saved of what they would have."""
        saved = [worth.money.saved_usd for worth in self.caches.values()]
        nothing_known = bool(saved) and all(each is None for each in saved)
        paid = self.cost_usd if self.cost_usd or not self.unpriced_calls else None
        return Money(paid, None if nothing_known else self.saved_usd)


def summarize(recorder: CallRecorder) -> Summary:
    recorder.settle()
    series = recorder.totals.series()
    leaves = [each for each in series if each.leaves]
    caches = [cache for each in series for cache in each.caches.values()]
    chats = recorder.chat.series()
    found = attributed(series, chats)
    answers = [cache for each in chats for cache in each.caches.values()]
    return Summary(
        calls=sum(each.leaves for each in leaves),
        failed_calls=sum(sum(each.leaf_errors.values()) for each in leaves),
        inputs=sum(each.embedded for each in leaves),
        tokens=sum(sum(each.tokens.values()) for each in leaves),
        cost_usd=sum(each.picodollars for each in leaves) / PICODOLLARS,
        unpriced_calls=sum(each.unpriced_calls for each in leaves),
        cache_hits=sum(cache.hits for cache in caches),
        cache_misses=sum(cache.misses for cache in caches),
        saved_tokens=sum(cache.saved_tokens for cache in caches),
        saved_usd=sum(cache.saved_picodollars for cache in caches) / PICODOLLARS,
        chat_calls=sum(each.answered for each in chats),
        failed_chat_calls=sum(sum(each.errors.values()) for each in chats),
        input_tokens=sum(each.input_tokens for each in chats),
        output_tokens=sum(each.output_tokens for each in chats),
        chat_cost_usd=sum(each.picodollars for each in chats) / PICODOLLARS,
        unpriced_chat_calls=sum(each.unpriced_calls for each in chats),
        answer_cache_hits=sum(cache.hits for cache in answers),
        answer_cache_misses=sum(cache.misses for cache in answers),
        caches=by_store(series),
        cached_models=by_model(series, chats),
        attributed=found,
        switched_off=recorder.overhead.blown,
        document=_document(recorder, series, found),
    )


def write(recorder: CallRecorder, directory: str, name: str) -> None:
    """Write the document into a directory, whole or not at all."""
    path = Path(directory, name)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(summarize(recorder).document), encoding="utf-8")
    partial.replace(path)


def file_name() -> str:
    return f"{os.getpid()}-{secrets.token_hex(4)}.json"


def _document(
    recorder: CallRecorder, series: list[Series], found: dict[str, dict[str, Attributed]]
) -> dict[str, Any]:
    totals, chat = recorder.totals, recorder.chat
    started = min(filter(None, (totals.first_start_ns, chat.first_start_ns)), default=None)
    ended = max(filter(None, (totals.last_end_ns, chat.last_end_ns)), default=None)
    return {
        "schema": SCHEMA,
        "version": __version__,
        "pid": os.getpid(),
        "started": None if started is None else started / 1e9,
        "ended": None if ended is None else ended / 1e9,
        "elapsed_seconds": time.time() - _loaded_at,
        "providers": _providers([each for each in series if each.leaves]),
        "components": _components([each for each in series if each.key.component is not None]),
        "caches": _caches(series),
        "attribution": attribution_rows.rows(found),
        "budgets": budget_rows.rows(recorder.budget),
        **chat_rows.rows(chat),
        **recorder.work.rows(),
        "cache_sizes": stores.rows(),
        "quality": list(recorder.quality.rows()),
        "slowest": [_slow(call) for call in recorder.slowest.calls()],
        "dropped": dict(guard.dropped),
        "lost_spans": recorder.lost.by_cause(),
        "overhead_seconds": {"call": recorder.overhead.in_calls / 1e9, "settle": recorder.overhead.counting / 1e9},
        "switched_off": [recorder.overhead.blown] if recorder.overhead.blown else [],
    }


def _providers(series: list[Series]) -> list[dict[str, Any]]:
    groups: defaultdict[tuple[str, str | None], list[Series]] = defaultdict(list)
    for each in series:
        groups[each.key.provider, each.key.model].append(each)
    return [_provider(provider, model, group) for (provider, model), group in groups.items()]


def _provider(provider: str, model: str | None, group: list[Series]) -> dict[str, Any]:
    unpriced = sum(each.unpriced_calls for each in group)
    return {
        "provider": provider,
        "model": model,
        "local": any(each.devices for each in group),
        "calls": sum(each.leaves for each in group),
        "errors": _added(each.leaf_errors for each in group),
        "inputs": sum(each.embedded for each in group),
        "tokens": {"reported": 0, "counted": 0, "estimated": 0} | _added(each.tokens for each in group),
        "cost_usd": known_usd(sum(each.picodollars for each in group), unpriced),
        "unpriced_tokens": sum(each.unpriced_tokens for each in group),
        "unpriced_calls": unpriced,
        "retries": _added(each.retries for each in group),
        "stages": _seconds(group),
        "latency": _latency(group),
        "devices": _added(each.devices for each in group),
        "padding_tokens": _known(each.padding for each in group),
        "truncated_inputs": _known(each.truncated for each in group),
    }


def _known(values: Iterable[int | None]) -> int | None:
    """The sum of what is known; None where nothing is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _components(series: list[Series]) -> list[dict[str, Any]]:
    groups: defaultdict[tuple[str | None, str | None], list[Series]] = defaultdict(list)
    for each in series:
        groups[each.key.framework, each.key.component].append(each)
    return [
        {
            "framework": framework,
            "component": component,
            "calls": sum(each.calls for each in group),
            "errors": _added(each.errors for each in group),
            "inputs": sum(each.inputs for each in group),
            "stages": _seconds(group),
            "latency": _latency(group),
            "outcomes": {"hit": 0, "partial": 0, "miss": 0, "none": 0} | _added(each.outcomes for each in group),
        }
        for (framework, component), group in groups.items()
    ]


def _caches(series: list[Series]) -> list[dict[str, Any]]:
    return [
        {
            "component": each.key.component or each.key.provider,
            "store": store,
            "model": each.key.model,
            "hits": cache.hits,
            "misses": cache.misses,
            "saved_tokens": cache.saved_tokens,
            "saved_usd": known_usd(cache.saved_picodollars, cache.unpriced),
            "paid_tokens": cache.paid_tokens,
            "paid_usd": known_usd(cache.paid_picodollars, cache.unpaid),
            "lookup_seconds": cache.lookup_ns / 1e9,
            "write_seconds": cache.write_ns / 1e9,
            "embed_seconds": cache.embed_ns / 1e9,
            "embedded": cache.embedded,
        }
        for each in series
        for store, cache in each.caches.items()
    ]


def _slow(call: EmbeddingCall) -> dict[str, Any]:
    return {
        "provider": call.provider,
        "model": call.model,
        "component": f"{call.component.method} {call.component.name}" if call.component else None,
        "started": call.start_unix_ns / 1e9,
        "seconds": call.seconds,
        "inputs": call.inputs,
        "tokens": call.usage.tokens if call.usage else None,
        "cost_usd": call.cost.usd if call.cost else None,
        "error": {"type": call.failure.type, "cause": call.failure.cause} if call.failure else None,
        "retries": list(call.retries),
        "stages": [[stage, start / 1e9, end / 1e9] for stage, start, end, _ in call.stages],
    }


def _added(counters: Any) -> dict[str, int]:
    whole: dict[str, int] = {}
    for counter in counters:
        for key, count in counter.items():
            whole[key] = whole.get(key, 0) + count
    return whole


def _seconds(group: list[Series]) -> dict[str, float]:
    return {stage: ns / 1e9 for stage, ns in _added(each.stage_ns for each in group).items()}


def _latency(group: list[Series]) -> dict[str, Any]:
    sketch = Sketch()
    for each in group:
        sketch.merge(each.latency)
    return sketch.to_dict()
