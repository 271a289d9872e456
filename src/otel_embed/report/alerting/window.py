"""What happened lately, in a bounded number of parts, so that memory does not grow with calls or with time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from otel_embed.report.sketch import Sketch
from otel_embed.report.totals import OVERFLOW

PARTS = 60
MAX_PLACES = 200


class Place(NamedTuple):
    """What one alert of a threshold is told from another by."""

    provider: str | None = None
    model: str | None = None
    subject: str | None = None
    """The cache's store, the GPU's id, the budget, what failed, what is wrong with vectors."""


_OTHERS = Place(subject=OVERFLOW)


class Tally:
    """What was counted at one place; ``count`` is what a verdict needs enough of."""

    __slots__ = ("amount", "count", "sketch")

    def __init__(self, count: float = 0.0, amount: float = 0.0, sketch: Sketch | None = None) -> None:
        self.count, self.amount, self.sketch = count, amount, sketch

    def add(self, other: Tally) -> None:
        self.count += other.count
        self.amount += other.amount
        if other.sketch is not None:
            if self.sketch is None:
                self.sketch = Sketch()
            self.sketch.merge(other.sketch)


class Window:
    """The last ``seconds``, to within a sixtieth of them."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._parts: deque[tuple[float, dict[Place, Tally]]] = deque()
        """Each with when it began, oldest first."""
        self._known: set[Place] = set()

    def add(self, now: float, tallies: Iterable[tuple[Place, Tally]]) -> None:
        """Count what came since the last time."""
        self._forget(now)
        for place, tally in tallies:
            self._part(now).setdefault(self._kept(place), Tally()).add(tally)

    def whole(self) -> dict[Place, Tally]:
        """The sums over the window."""
        whole: dict[Place, Tally] = {}
        for _, part in self._parts:
            for place, tally in part.items():
                whole.setdefault(place, Tally()).add(tally)
        return whole

    def _part(self, now: float) -> dict[Place, Tally]:
        if not self._parts or now - self._parts[-1][0] >= self.seconds / PARTS:
            self._parts.append((now, {}))
        return self._parts[-1][1]

    def _forget(self, now: float) -> None:
        while self._parts and now - self._parts[0][0] >= self.seconds:
            self._parts.popleft()
            self._known = {place for _, part in self._parts for place in part}

    def _kept(self, place: Place) -> Place:
        if place not in self._known and len(self._known) >= MAX_PLACES:
            return _OTHERS
        self._known.add(place)
        return place
