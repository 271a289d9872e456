"""The report as data: the merged summary and everything that is computed from it."""

from __future__ import annotations

from typing import Any

from otel_embed.cli.cache_figures import cached_models, money_to_dict, row_to_dict, whole
from otel_embed.cli.chat_figures import chat_figures, judge_chat
from otel_embed.cli.chat_rows import ChatTotals, ranked
from otel_embed.cli.document import SCHEMA, Summary
from otel_embed.cli.figures import Figures, figures
from otel_embed.cli.rows import latency_to_dict
from otel_embed.cli.targets import judge


def to_dict(summary: Summary) -> dict[str, Any]:
    """A schema 1 document that ``otel-embed report`` reads again. Times in seconds, rates as fractions of one."""
    total = figures(summary)
    started = [process.started for process in summary.processes if process.started is not None]
    ended = [process.ended for process in summary.processes if process.ended is not None]
    return {
        "schema": SCHEMA,
        "version": summary.version,
        "command": summary.command,
        "exit_code": summary.exit_code,
        "started": min(started, default=None),
        "ended": max(ended, default=None),
        "elapsed_seconds": summary.elapsed_seconds,
        "totals": _totals(total) | {"with_and_without_cache": money_to_dict(whole(summary))},
        "targets": [target._asdict() for target in [*judge(total), *judge_chat(chat_figures(summary))]],
        "providers": [row.to_dict() | {"error_rate": row.error_rate, "padding": row.padding} for row in summary.providers],
        "components": [row.to_dict() | {"error_rate": row.error_rate} for row in summary.components],
        "caches": [row_to_dict(row) for row in summary.caches],
        "cached_models": [
            {"model": model} | money_to_dict(money) for model, money in cached_models(summary).items()
        ],
        "chat": [_chat(row) for row in summary.chats],
        "answer_caches": [row.to_dict() | {"hit_rate": row.hit_rate} for row in summary.answer_caches],
        "runs": [row.to_dict() for row in ranked(summary.runs, [])],
        "store_operations": [row.to_dict() for row in summary.operations],
        "loads": [row.to_dict() for row in summary.loads],
        "cache_sizes": [row.to_dict() for row in summary.cache_sizes],
        "quality": [row.to_dict() for row in summary.quality],
        "attribution": [row.to_dict() for row in summary.attribution],
        "budgets": [row.to_dict() for row in summary.budgets],
        "slowest": [call.to_dict() for call in summary.slowest],
        "dropped": summary.dropped,
        "lost_spans": summary.lost_spans,
        "switched_off": summary.switched_off,
        "processes": [process._asdict() for process in summary.processes],
    }


def _chat(row: ChatTotals) -> dict[str, Any]:
    return row.to_dict() | {"error_rate": row.error_rate}


def _totals(total: Figures) -> dict[str, Any]:
    return {
        "calls": total.calls,
        "errors": dict(total.errors),
        "error_rate": total.error_rate,
        "retries": dict(total.retries),
        "texts": total.texts,
        "tokens": dict(total.tokens),
        "cost_usd": total.cost_usd,
        "cost_usd_per_text": total.cost_per_text,
        "unpriced_calls": total.unpriced_calls,
        "unpriced_tokens": total.unpriced_tokens,
        "cache": _cache(total),
        "busy_seconds": total.busy_seconds,
        "texts_per_second": total.texts_per_second,
        "texts_per_minute": None if total.texts_per_second is None else total.texts_per_second * 60,
        "tokens_per_second": total.tokens_per_second,
        "concurrency": total.concurrency,
        "latency": latency_to_dict(total.latency),
    }


def _cache(total: Figures) -> dict[str, Any] | None:
    cache = total.cache
    if cache is None:
        return None
    return {
        "hits": cache.hits,
        "misses": cache.misses,
        "hit_rate": cache.hit_rate,
        "saved_tokens": cache.saved_tokens,
        "saved_usd": cache.saved_usd,
        "saved_ratio": cache.saved_ratio,
    }
