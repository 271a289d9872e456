"""How far chance alone may have moved a measurement: intervals that hold the true value 95 times in 100.

They take the calls of a run as independent of each other. Nothing is assumed of how times are distributed.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil, exp, floor, lgamma, log, sqrt
from statistics import NormalDist
from typing import NamedTuple

from otel_embed.report.sketch import Sketch

CONFIDENCE = 0.95
_TAIL = (1 - CONFIDENCE) / 2
_Z = NormalDist().inv_cdf(1 - _TAIL)
_EXACT_UP_TO = 5_000


class Interval(NamedTuple):
    low: float
    high: float


class Estimate(NamedTuple):
    """A measurement and what it may be; the interval is None where there are too few values to say."""

    value: float
    interval: Interval | None
    samples: int
    """How many values it was made from."""


def quantile(sketch: Sketch, q: float) -> Estimate | None:
    """A quantile of a sketch between two of its values, by their ranks; None where nothing was counted."""
    value = sketch.quantile(q)
    if value is None:
        return None
    low, high = ranks(sketch.count, q)
    bounded = low >= 1 and high <= sketch.count
    interval = Interval(sketch.ranked(low), sketch.ranked(high)) if bounded else None
    return Estimate(value, interval, sketch.count)


@lru_cache(maxsize=256)
def ranks(count: int, q: float) -> tuple[int, int]:
    """Between the values of which ranks a quantile of ``count`` independent values lies, each bound missing it once in 40.

    How many values are below the quantile has a binomial distribution. Rank 0 or ``count + 1``: there is no such bound.
    (David and Nagaraja, Order Statistics, 7.1.)
    """
    if count > _EXACT_UP_TO:
        spread = _Z * sqrt(count * q * (1 - q))
        return max(0, floor(count * q - spread)), min(count + 1, ceil(count * q + spread) + 1)
    low, below = 0, 0.0
    while (below := below + _binomial(low, count, q)) <= _TAIL:
        low += 1
    high, above = count + 1, 0.0
    while (above := above + _binomial(high - 1, count, q)) <= _TAIL:
        high -= 1
    return low, high


def _binomial(successes: int, count: int, q: float) -> float:
    ways = lgamma(count + 1) - lgamma(successes + 1) - lgamma(count - successes + 1)
    return exp(ways + successes * log(q) + (count - successes) * log(1 - q))


def mean(sketch: Sketch) -> Estimate | None:
    """The mean of a sketch; its interval from how much the values vary, with 30 of them at least."""
    value = sketch.avg
    if value is None:
        return None
    variance = sum(count * (each - value) ** 2 for each, count in sketch.buckets()) / max(1, sketch.count - 1)
    spread = _Z * sqrt(variance / sketch.count)
    return Estimate(value, Interval(value - spread, value + spread) if sketch.count >= 30 else None, sketch.count)


def share(part: int, whole: int) -> Estimate | None:
    """A fraction of one, after Wilson (1927); None where there is no whole."""
    if whole <= 0:
        return None
    value, square = part / whole, _Z * _Z
    centre = (value + square / (2 * whole)) / (1 + square / whole)
    spread = _Z / (1 + square / whole) * sqrt(value * (1 - value) / whole + square / (4 * whole * whole))
    return Estimate(value, Interval(max(0.0, centre - spread), min(1.0, centre + spread)), whole)


def exactly(value: float, count: int) -> Estimate:
    """What chance has no part in."""
    return Estimate(value, Interval(value, value), count)


def difference(before: Estimate, after: Estimate) -> tuple[float, Interval | None]:
    """``after`` less ``before``, and what it may be: both distances are squared and added (Newcombe 1998)."""
    change = after.value - before.value
    if before.interval is None or after.interval is None:
        return change, None
    lower = sqrt((after.value - after.interval.low) ** 2 + (before.interval.high - before.value) ** 2)
    upper = sqrt((after.interval.high - after.value) ** 2 + (before.value - before.interval.low) ** 2)
    return change, Interval(change - lower, change + upper)


def relative(before: Estimate, after: Estimate) -> tuple[float, Interval | None] | None:
    """How much larger ``after`` is, as a fraction of ``before``; None where ``before`` is nothing.

    The same as ``difference``, of logarithms (Zou and Donner 2008).
    """
    if before.value <= 0:
        return None
    change = after.value / before.value - 1
    logs = _logarithms(before), _logarithms(after)
    if logs[0] is None or logs[1] is None:
        return change, None
    _, interval = difference(logs[0], logs[1])
    return change, None if interval is None else Interval(_expm1(interval.low), _expm1(interval.high))


def _logarithms(estimate: Estimate) -> Estimate | None:
    value, interval, samples = estimate
    if value <= 0 or interval is None or interval.low <= 0:
        return None
    return Estimate(log(value), Interval(log(interval.low), log(interval.high)), samples)


def _expm1(value: float) -> float:
    return exp(min(value, 700.0)) - 1
