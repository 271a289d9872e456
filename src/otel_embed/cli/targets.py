"""What good looks like for an embedding pipeline, and whether it was reached."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import Literal, NamedTuple

from otel_embed.cli.figures import Figures
from otel_embed.cli.streams import complain
from otel_embed.cli.units import percent, rate, seconds, short_count
from otel_embed.environment_variables import OTEL_EMBED_THRESHOLDS
from otel_embed.thresholds import Thresholds

Verdict = Literal["good", "fair", "bad", "unjudged"]

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


@cache
def in_force() -> Thresholds:
    """What the environment says; what is wrong with it is said once, on stderr."""
    path = os.environ.get(OTEL_EMBED_THRESHOLDS, "").strip() or None
    return Thresholds.load(path, complain)


def held(name: str, threshold: str, value: float | None, shown: str, unit: Callable[[float], str]) -> Target | None:
    """A measurement against a threshold; None where there is no measurement."""
    if value is None:
        return None
    limit = in_force()[threshold]
    wanted = f"{'max' if limit.comparison == 'above' else 'min'} {unit(limit.wanted)}"
    return Target(name, value, limit.wanted, limit.standing(value), shown, wanted)


def judge(total: Figures) -> list[Target]:
    """The targets for which there is a measurement."""
    p95, hit_rate = total.latency.quantile(0.95), total.cache.hit_rate if total.cache else None
    targets = (
        held("latency_p95", "latency_p95", p95, f"p95 {seconds(p95)}", seconds),
        held("error_rate", "error_rate", total.error_rate, f"{percent(total.error_rate)} errors", short_percent),
        held("cache_hit_rate", "cache_hit_rate", hit_rate, f"{percent(hit_rate)} cached", short_percent),
        _throughput(total),
    )
    return [target for target in targets if target is not None]


def short_percent(fraction: float) -> str:
    return f"{fraction * 100:g} %"


def _throughput(total: Figures) -> Target | None:
    if total.texts_per_second is None or not total.texts:
        return None
    per_minute = total.texts_per_second * 60
    shown = f"{short_count(per_minute) if per_minute >= 1e5 else rate(per_minute)} texts/min"
    target = held("throughput", "throughput", per_minute, shown, lambda least: f"{least:,.6g}")
    if target is not None and target.verdict == "bad" and (total.concurrency or 0.0) < BUSY:
        return target._replace(verdict="unjudged", wanted="mostly idle")
    return target
