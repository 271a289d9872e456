"""Two runs beside each other: what became better, worse, stayed the same, or cannot be told from so few calls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from otel_embed.cli.intervals import Estimate, Interval, difference, relative

Verdict = Literal["better", "worse", "same", "unknown", "unjudged"]
"""``same``: a change for the worse beyond the limit is ruled out. ``unknown``: neither that nor the contrary is shown.
``unjudged``: there is no limit, or one of the runs has no such value."""
Unit = Literal["seconds", "per second", "dollars", "fraction"]

DECISIVE = ("latency p50", "latency p95")
"""Of all calls. Without these, there is no verdict on the whole."""


class Limits(NamedTuple):
    """How much worse is allowed: fractions of what was before, of rates the difference; None does not judge."""

    latency: float | None = 0.20
    throughput: float | None = 0.20
    cost: float | None = 0.05
    hit_rate: float | None = 0.05
    error_rate: float | None = 0.01


@dataclass(frozen=True)
class Measure:
    """One measurement of both runs. ``change`` is ``after`` less ``before``, of all but rates as a fraction of it."""

    name: str
    unit: Unit
    before: Estimate | None
    after: Estimate | None
    limit: float | None
    more_is_worse: bool = True
    change: float | None = field(init=False)
    interval: Interval | None = field(init=False)
    """Which changes the calls of both runs leave possible."""

    def __post_init__(self) -> None:
        found: tuple[float, Interval | None] | None = None
        if self.before is not None and self.after is not None:
            compared = difference if self.unit == "fraction" else relative
            found = compared(self.before, self.after)
        object.__setattr__(self, "change", found[0] if found else None)
        object.__setattr__(self, "interval", found[1] if found else None)

    @property
    def verdict(self) -> Verdict:
        if self.limit is None or self.change is None:
            return "unjudged"
        if self.interval is None:
            return "unknown"
        worse, (least, most) = self.change, self.interval
        if not self.more_is_worse:
            worse, least, most = -worse, -most, -least
        if worse > self.limit and least > 0:
            return "worse"
        if worse < -self.limit and most < 0:
            return "better"
        return "same" if most <= self.limit else "unknown"


class StageMeans(NamedTuple):
    """Mean seconds a call; None where a run has no calls."""

    stage: str
    before: float | None
    after: float | None


@dataclass(frozen=True)
class Group:
    """All calls, or those of one model."""

    name: str
    calls: tuple[int, int]
    measures: tuple[Measure, ...]
    stages: tuple[StageMeans, ...] = ()

    @property
    def in_both(self) -> bool:
        return all(self.calls)


@dataclass(frozen=True)
class Comparison:
    names: tuple[str, str]
    """Of the two files."""
    groups: tuple[Group, ...]
    """All calls first."""
    limits: Limits
    notes: tuple[str, ...]
    """What makes the runs hard to compare."""

    @property
    def verdict(self) -> Verdict:
        """``worse`` where any measure is; else ``unknown`` where p50 or p95 of all calls is; ``better`` where one is."""
        found = {measure.verdict for measure in self.measures()}
        if "worse" in found:
            return "worse"
        whole = [measure.verdict for measure in self.groups[0].measures if measure.name in DECISIVE]
        if "unknown" in whole:
            return "unknown"
        return "better" if "better" in found else "same" if "same" in found else "unjudged"

    def measures(self) -> Iterator[Measure]:
        for group in self.groups:
            yield from group.measures

    def having(self, verdict: Verdict) -> Iterator[tuple[Group, Measure]]:
        return ((group, each) for group in self.groups for each in group.measures if each.verdict == verdict)


def stage_means(before: Mapping[str, float], after: Mapping[str, float], calls: tuple[int, int]) -> list[StageMeans]:
    """By stage, in the order of ``before`` and then of ``after``."""
    return [
        StageMeans(stage, _mean(before, stage, calls[0]), _mean(after, stage, calls[1]))
        for stage in dict.fromkeys([*before, *after])
    ]


def _mean(stages: Mapping[str, float], stage: str, calls: int) -> float | None:
    return stages.get(stage, 0.0) / calls if calls else None


def measures(candidates: Iterable[Measure]) -> tuple[Measure, ...]:
    """Those that at least one of the runs has."""
    return tuple(each for each in candidates if each.before is not None or each.after is not None)
