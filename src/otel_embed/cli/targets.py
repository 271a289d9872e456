"""What good looks like for an embedding pipeline, and whether it was reached."""

from __future__ import annotations

from typing import Literal, NamedTuple

from otel_embed.cli.figures import Figures
from otel_embed.cli.units import percent, rate, seconds, short_count

Verdict = Literal["good", "fair", "bad", "unjudged"]

P95_SECONDS = 0.5
ERROR_RATE = 0.01
HIT_RATE = 0.60
LOW_HIT_RATE = 0.40
TEXTS_PER_MINUTE = 1000.0
BUSY = 0.5
"""With fewer calls open on average, a low throughput is the program's own pace and not the provider's."""


class Target(NamedTuple):
    """A measurement against its limit: both in seconds, fractions of one or texts a minute."""

    name: str
    value: float
    limit: float
    verdict: Verdict
    shown: str
    wanted: str


def judge(total: Figures) -> list[Target]:
    """The targets for which there is a measurement."""
    targets = (_latency(total), _errors(total), _cache(total), _throughput(total))
    return [target for target in targets if target is not None]


def _latency(total: Figures) -> Target | None:
    p95 = total.latency.quantile(0.95)
    if p95 is None:
        return None
    verdict: Verdict = "good" if p95 <= P95_SECONDS else "bad"
    return Target("latency_p95", p95, P95_SECONDS, verdict, f"p95 {seconds(p95)}", "max 500 ms")


def _errors(total: Figures) -> Target | None:
    if total.error_rate is None:
        return None
    verdict: Verdict = "good" if total.error_rate <= ERROR_RATE else "bad"
    return Target("error_rate", total.error_rate, ERROR_RATE, verdict, f"{percent(total.error_rate)} errors", "max 1 %")


def _cache(total: Figures) -> Target | None:
    hit_rate = total.cache.hit_rate if total.cache else None
    if hit_rate is None:
        return None
    verdict: Verdict = "good" if hit_rate > HIT_RATE else "fair" if hit_rate >= LOW_HIT_RATE else "bad"
    return Target("cache_hit_rate", hit_rate, HIT_RATE, verdict, f"{percent(hit_rate)} cached", "min 60 %")


def _throughput(total: Figures) -> Target | None:
    if total.texts_per_second is None or not total.texts:
        return None
    per_minute = total.texts_per_second * 60
    verdict: Verdict = "good" if per_minute >= TEXTS_PER_MINUTE else "bad"
    wanted = "min 1,000"
    if verdict == "bad" and (total.concurrency or 0.0) < BUSY:
        verdict, wanted = "unjudged", "mostly idle"
    shown = f"{short_count(per_minute) if per_minute >= 1e6 else rate(per_minute)} texts/min"
    return Target("throughput", per_minute, TEXTS_PER_MINUTE, verdict, shown, wanted)
