"""Latency quantiles from counts in buckets of equal ratio.

A value v falls in bucket ``ceil(log(v) / log(GAMMA))``, and the bucket answers for it with a value at
most 0.5 % away (DDSketch, Masson et al., VLDB 2019). Sketches of several processes add up exactly.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from math import ceil, inf, log
from typing import Any

GAMMA = 1.01
_PER_LOG = 1.0 / log(GAMMA)
_SHORTEST = 1e-9
_LONGEST = 1e9
_FURTHEST_BUCKET = ceil(log(_LONGEST) * _PER_LOG)


class Sketch:
    """Count, sum, minimum, maximum and quantiles of durations in seconds. Not thread-safe."""

    __slots__ = ("_counts", "count", "max", "min", "sum")

    def __init__(self) -> None:
        self.count = 0
        self.sum = 0.0
        self.min = inf
        self.max = 0.0
        self._counts: defaultdict[int, int] = defaultdict(int)

    def add(self, seconds: float) -> None:
        """Count one duration, as ``extend`` does."""
        self.extend((seconds,))

    def extend(self, durations: Collection[float]) -> None:
        """Count durations. What is below 1 ns, negative or NaN counts as 0; above 1e9 s, as 1e9 s."""
        if not durations:
            return
        shortest, longest = min(durations), max(durations)
        total = sum(durations)
        if not (shortest > _SHORTEST and longest < _LONGEST and total < inf):  # and whatever NaN does to these
            durations = [_bounded(seconds) for seconds in durations]
            shortest, longest, total = min(durations), max(durations), sum(durations)
        self.count += len(durations)
        self.sum += total
        if shortest < self.min:
            self.min = shortest
        if longest > self.max:
            self.max = longest
        counts = self._counts
        for seconds in durations:
            counts[ceil(log(seconds or _SHORTEST) * _PER_LOG)] += 1

    def merge(self, other: Sketch) -> None:
        """Count all that ``other`` counted."""
        self.count += other.count
        self.sum += other.sum
        self.min = min(self.min, other.min)
        self.max = max(self.max, other.max)
        for index, count in other._counts.items():
            self._counts[index] += count

    def since(self, counts: Mapping[int, int]) -> tuple[Sketch, dict[int, int]]:
        """What was counted since the buckets held ``counts``, and what they hold now. Another thread may be counting.

        Its sum, minimum and maximum are those of the buckets' values.
        """
        now, new = self._counts.copy(), Sketch()
        for index, count in now.items():
            added = count - counts.get(index, 0)
            if added > 0:
                value = _middle(index)
                new._counts[index] = added
                new.count += added
                new.sum += added * value
                new.min, new.max = min(new.min, value), max(new.max, value)
        return new, now

    @property
    def avg(self) -> float | None:
        return self.sum / self.count if self.count else None

    def quantile(self, q: float) -> float | None:
        """The value of the nearest rank, ``ceil(q * count)`` and at least 1, within 0.5 % (or 1 ns).

        None when nothing was counted.
        """
        if not self.count:
            return None
        return self.ranked(max(1, ceil(min(q, 1.0) * self.count)))

    def ranked(self, rank: int) -> float:
        """The value that is the ``rank``-th from below, within 0.5 %; beyond the last one the longest."""
        for index in sorted(self._counts):
            rank -= self._counts[index]
            if rank <= 0:
                return min(max(_middle(index), self.min), self.max)
        return self.max

    def buckets(self) -> Iterator[tuple[float, int]]:
        """(value in seconds, count) for each bucket that holds something, shortest first."""
        for index in sorted(self._counts):
            yield min(max(_middle(index), self.min), self.max), self._counts[index]

    def counts(self) -> dict[str, int]:
        """How many values each bucket holds, by the bucket's number."""
        return {str(index): count for index, count in self._counts.items()}

    @classmethod
    def of(cls, counts: Mapping[str, int]) -> Sketch:
        """A sketch of which only the counts are known: sum, minimum and maximum are those of the buckets' middles."""
        sketch = cls()
        for index, count in counts.items():
            if count > 0 and abs(int(index)) <= _FURTHEST_BUCKET:
                sketch._counts[int(index)] = count
        if sketch._counts:
            sketch.count = sum(sketch._counts.values())
            sketch.min, sketch.max = _middle(min(sketch._counts)), _middle(max(sketch._counts))
            sketch.sum = sum(_middle(index) * count for index, count in sketch._counts.items())
        return sketch

    def to_dict(self) -> dict[str, Any]:
        """As JSON: ``min`` and ``max`` are null when nothing was counted."""
        counts = {str(index): self._counts[index] for index in sorted(self._counts)}
        return {
            "count": self.count,
            "sum": self.sum,
            "min": self.min if self.count else None,
            "max": self.max if self.count else None,
            "sketch": {"gamma": GAMMA, "counts": counts},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Sketch:
        """What ``to_dict`` wrote. Raises ValueError, TypeError or KeyError for anything else."""
        sketch = cls()
        if data["sketch"]["gamma"] != GAMMA:
            raise ValueError(f"a sketch of gamma {data['sketch']['gamma']} does not add to one of {GAMMA}")
        for index, count in data["sketch"]["counts"].items():
            if abs(int(index)) > _FURTHEST_BUCKET or count < 1:
                raise ValueError(f"no bucket {index} with {count} values")
            sketch._counts[int(index)] = int(count)
        sketch.count = sum(sketch._counts.values())
        if sketch.count:
            sketch.sum, sketch.min, sketch.max = float(data["sum"]), float(data["min"]), float(data["max"])
        return sketch


def _bounded(seconds: float) -> float:
    if _SHORTEST < seconds < _LONGEST:
        return seconds
    return _LONGEST if seconds >= _LONGEST else 0.0


def _middle(index: int) -> float:
    return 2.0 * GAMMA**index / (GAMMA + 1.0)
