"""What caches are worth, computed from a summary: by store, and by model."""

from __future__ import annotations

from typing import Any

from otel_embed.cli.chat_rows import AnswerCacheTotals, ChatTotals
from otel_embed.cli.document import Summary
from otel_embed.cli.rows import CacheTotals, ProviderTotals, add_known, add_saved
from otel_embed.report.cache_worth import Money, Time

Model = ProviderTotals | ChatTotals
Cache = CacheTotals | AnswerCacheTotals


def cached_models(summary: Summary) -> dict[str, Money]:
    """Of the models that a cache answered for: all that was spent on each, also past its cache."""
    found: dict[str, list[Cache]] = {}
    for cache in _caches(summary):
        found.setdefault(cache.model, []).append(cache)
    models = _models(summary)
    return {model: _money([row for row in models if row.model == model], caches) for model, caches in found.items()}


def whole(summary: Summary) -> Money:
    """Of all calls of embedding and chat models: what they cost, and what caches saved."""
    return _money(_models(summary), _caches(summary))


def _models(summary: Summary) -> list[Model]:
    return [*summary.providers, *summary.chats]


def _caches(summary: Summary) -> list[Cache]:
    return [*summary.caches, *summary.answer_caches]


def _money(models: list[Model], caches: list[Cache]) -> Money:
    """Where no model was asked, nothing was paid, unless a cache did not know all: then nobody saw it being paid."""
    paid: float | None = None if models or any(cache.misses for cache in caches) else 0.0
    for row in models:
        paid = add_known(paid, row.cost_usd)
    return Money(paid, add_saved(cache.saved_usd for cache in caches))


def money_to_dict(money: Money) -> dict[str, Any]:
    return {
        "paid_usd": money.paid_usd,
        "without_cache_usd": money.without_usd,
        "saved_usd": money.saved_usd,
        "saved_ratio": money.saved_ratio,
    }


def row_to_dict(row: CacheTotals) -> dict[str, Any]:
    """The row, and what is computed from it; ``break_even_hit_rate`` above 1 means that the cache never saves time."""
    time: Time = row.time
    return row.to_dict() | {
        "hit_rate": row.hit_rate,
        "without_cache_usd": row.money.without_usd,
        "saved_ratio": row.money.saved_ratio,
        "saved_seconds": time.saved_seconds,
        "break_even_hit_rate": time.break_even,
    }
