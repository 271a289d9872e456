"""What the report says of chat models, computed from a summary, and whether it is good. Times in seconds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from otel_embed.cli.document import Summary
from otel_embed.cli.rows import add_known, add_saved, ratio
from otel_embed.cli.targets import Target, held, short_percent
from otel_embed.cli.units import percent, rate, seconds
from otel_embed.report.sketch import Sketch


@dataclass(frozen=True)
class ChatFigures:
    """Totals over all chat models."""

    calls: int
    failed: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    unpriced_calls: int
    first_token: Sketch
    output_rate: Sketch
    hit_rate: float | None
    """None where no cache was asked."""
    saved_usd: float | None


def chat_figures(summary: Summary) -> ChatFigures | None:
    """None where there was no chat call."""
    rows, caches = summary.chats, summary.answer_caches
    if not rows:
        return None
    cost: float | None = None
    for row in rows:
        cost = add_known(cost, row.cost_usd)
    hits = sum(cache.hits for cache in caches)
    return ChatFigures(
        calls=sum(row.calls for row in rows),
        failed=sum(sum(row.errors.values()) for row in rows),
        input_tokens=sum(row.input_tokens for row in rows),
        output_tokens=sum(row.output_tokens for row in rows),
        cost_usd=cost,
        unpriced_calls=sum(row.unpriced_calls for row in rows),
        first_token=_merged(row.first_token for row in rows),
        output_rate=_merged(row.output_rate for row in rows),
        hit_rate=ratio(hits, hits + sum(cache.misses for cache in caches)),
        saved_usd=add_saved(cache.saved_usd for cache in caches),
    )


def judge_chat(total: ChatFigures | None) -> list[Target]:
    """The targets for which there is a measurement: the usual one of the calls, not their mean."""
    if total is None:
        return []
    first, written, hit_rate = total.first_token.quantile(0.5), total.output_rate.quantile(0.5), total.hit_rate
    targets = (
        held("time_to_first_token_p50", "time_to_first_token", first, f"TTFT {seconds(first)}", seconds),
        held("output_rate_p50", "output_rate", written, f"{rate(written)} tokens/s", lambda least: f"{least:g}"),
        held(
            "answer_cache_hit_rate", "answer_cache_hit_rate", hit_rate, f"{percent(hit_rate)} answered", short_percent
        ),
    )
    return [target for target in targets if target is not None]


def _merged(sketches: Iterable[Sketch]) -> Sketch:
    whole = Sketch()
    for sketch in sketches:
        whole.merge(sketch)
    return whole
