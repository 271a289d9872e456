"""What the report says of chat models, computed from a summary, and whether it is good. Times in seconds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from otel_embed.cli.document import Summary
from otel_embed.cli.rows import add_known, ratio
from otel_embed.cli.targets import Target, Verdict
from otel_embed.cli.units import percent, rate, seconds
from otel_embed.report.sketch import Sketch

FIRST_TOKEN, SLOW_FIRST_TOKEN = 0.8, 2.0
TOKENS_A_SECOND, FEW_TOKENS_A_SECOND = 50.0, 10.0
HIT_RATE = 0.20


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
    saved: float | None = None
    for row in rows:
        cost = add_known(cost, row.cost_usd)
    for cache in caches:
        saved = add_known(saved, cache.saved_usd)
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
        saved_usd=saved,
    )


def judge_chat(total: ChatFigures | None) -> list[Target]:
    """The targets for which there is a measurement: the usual one of the calls, not their mean."""
    if total is None:
        return []
    targets = (_first_token(total), _output_rate(total), _hit_rate(total))
    return [target for target in targets if target is not None]


def _first_token(total: ChatFigures) -> Target | None:
    value = total.first_token.quantile(0.5)
    if value is None:
        return None
    verdict: Verdict = "good" if value < FIRST_TOKEN else "bad" if value > SLOW_FIRST_TOKEN else "fair"
    return Target("time_to_first_token_p50", value, FIRST_TOKEN, verdict, f"TTFT {seconds(value)}", "max 800 ms")


def _output_rate(total: ChatFigures) -> Target | None:
    value = total.output_rate.quantile(0.5)
    if value is None:
        return None
    verdict: Verdict = "good" if value > TOKENS_A_SECOND else "bad" if value < FEW_TOKENS_A_SECOND else "fair"
    return Target("output_rate_p50", value, TOKENS_A_SECOND, verdict, f"{rate(value)} tokens/s", "min 50")


def _hit_rate(total: ChatFigures) -> Target | None:
    value = total.hit_rate
    if value is None:
        return None
    verdict: Verdict = "good" if value > HIT_RATE else "bad" if value == 0 else "fair"
    return Target("answer_cache_hit_rate", value, HIT_RATE, verdict, f"{percent(value)} answered", "min 20 %")


def _merged(sketches: Iterable[Sketch]) -> Sketch:
    whole = Sketch()
    for sketch in sketches:
        whole.merge(sketch)
    return whole
