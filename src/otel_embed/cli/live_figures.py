"""What a program that is still running does, from the small files of its processes. Times are in seconds."""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from otel_embed.report.live import SUFFIX
from otel_embed.report.sketch import Sketch

WINDOW = 10.0
"""Over how many seconds rates, quantiles and stages are taken."""
_SUMS = ("calls", "failed", "texts", "hits", "misses", "tokens", "picodollars", "unpriced", "chats", "failed_chats")


@dataclass
class Totals:
    """Of all processes since the program began."""

    sums: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_SUMS, 0))
    stages: dict[str, int] = field(default_factory=dict)
    """Nanoseconds."""
    latency: dict[str, int] = field(default_factory=dict)
    budget_left: float | None = None
    """Of the budget that has least, in the process that has least."""
    cpu_seconds: float = 0.0

    @property
    def is_empty(self) -> bool:
        return not any(self.sums.values())

    @classmethod
    def read(cls, data: Any) -> Totals:
        """Of one process. Raises ValueError, TypeError or KeyError for a document of another form."""
        sums = {name: int(data[name]) for name in _SUMS}
        left = data["budget_left"]
        return cls(
            sums,
            dict(data["stages"]),
            dict(data["latency"]),
            None if left is None else float(left),
            float(data["cpu_seconds"]),
        )

    def add(self, other: Totals) -> None:
        _add(self.sums, other.sums)
        _add(self.stages, other.stages)
        _add(self.latency, other.latency)
        self.cpu_seconds += other.cpu_seconds
        known = [left for left in (self.budget_left, other.budget_left) if left is not None]
        self.budget_left = min(known, default=None)


@dataclass(frozen=True)
class Now:
    """What is shown: totals, and what went on in the last seconds."""

    totals: Totals
    texts_per_second: float
    tokens_per_second: float
    p95: float | None
    stages: Mapping[str, float]


class Watched:
    """The files of a directory. What a process that is gone wrote last still counts."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._read: dict[str, tuple[int, Totals]] = {}
        self._before: deque[tuple[float, Totals]] = deque()

    def look(self, at: float) -> Now:
        """``at`` is a time of any clock that only goes forward."""
        totals = Totals()
        for each in self._processes():
            totals.add(each)
        self._before.append((at, totals))
        while len(self._before) > 2 and (at - self._before[1][0] >= WINDOW or self._before[1][1].is_empty):
            self._before.popleft()
        return _between(self._before[0], (at, totals))

    def _processes(self) -> list[Totals]:
        """A file that did not change is not read again."""
        try:
            entries = [entry for entry in os.scandir(self._directory) if entry.name.endswith(SUFFIX)]
        except OSError:
            return []
        for entry in entries:
            try:
                changed = entry.stat().st_mtime_ns
                if entry.name not in self._read or self._read[entry.name][0] != changed:
                    self._read[entry.name] = changed, Totals.read(json.loads(Path(entry.path).read_bytes()))
            except (OSError, ValueError, KeyError, TypeError):
                continue
        return [totals for _, totals in self._read.values()]


def _between(before: tuple[float, Totals], now: tuple[float, Totals]) -> Now:
    (then, first), (at, last) = before, now
    seconds = at - then
    latency = Sketch.of(_less(last.latency, first.latency))
    stages = {stage: ns / 1e9 for stage, ns in _less(last.stages, first.stages).items()}
    rates = [(last.sums[name] - first.sums[name]) / seconds if seconds > 0 else 0.0 for name in ("texts", "tokens")]
    return Now(last, rates[0], rates[1], latency.quantile(0.95), stages)


def _less(counts: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    rest = {key: count - before.get(key, 0) for key, count in counts.items()}
    return {key: count for key, count in rest.items() if count > 0}


def _add(whole: dict[str, int], counts: Mapping[str, int]) -> None:
    for key, count in counts.items():
        whole[key] = whole.get(key, 0) + count
