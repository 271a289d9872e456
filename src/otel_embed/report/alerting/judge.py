"""From measurements to alerts: each fires once, rests for its cooldown, and ends when all is good again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from otel_embed.report.alerting.look import Look
from otel_embed.report.alerting.measures import Measure
from otel_embed.report.alerting.window import Place, Window
from otel_embed.thresholds import Threshold


class Turn(NamedTuple):
    """An alert begins or ends. Times are those of the judge's clock, in seconds."""

    threshold: Threshold
    place: Place
    unit: str
    measured: float | None
    since: float
    ends: bool


class _Standing:
    """How one measurement stands."""

    def __init__(self) -> None:
        self.active = self.told = False
        self.bad_since: float | None = None
        self.good_since: float | None = None
        self.told_at: float | None = None

    def is_over(self, now: float, cooldown: float) -> bool:
        """True where nothing needs to be remembered."""
        return self.bad_since is None and (self.told_at is None or now - self.told_at >= cooldown)


class Judge:
    """Of one threshold."""

    def __init__(self, threshold: Threshold, measure: Measure) -> None:
        self.threshold, self._measure = threshold, measure
        self._window = Window(threshold.window)
        self._standings: dict[Place, _Standing] = {}

    @property
    def active(self) -> int:
        """How many of its alerts go on."""
        return sum(standing.active for standing in list(self._standings.values()))

    def judge(self, look: Look, now: float, hold: float | None = None) -> Iterator[Turn]:
        """What begins or ends with this look. ``hold`` seconds, where given, instead of the threshold's own."""
        threshold = self.threshold
        self._window.add(now, self._measure.adds(look))
        measured = self._measure.measured(threshold, look, self._window.whole())
        for place in [*measured, *(place for place in self._standings if place not in measured)]:
            standing, value = self._standings.setdefault(place, _Standing()), measured.get(place)
            bad = value is not None and threshold.is_crossed(value)
            since = standing.bad_since if standing.bad_since is not None else now
            changed = self._worse(standing, now, hold) if bad else self._better(standing, now)
            if changed:
                yield Turn(threshold, place, self._measure.unit, value, since, ends=not bad)
            if standing.is_over(now, threshold.cooldown):
                del self._standings[place]

    def _worse(self, standing: _Standing, now: float, hold: float | None) -> bool:
        """True where the alert is to be told."""
        standing.good_since = None
        if standing.bad_since is None:
            standing.bad_since = now
        if now - standing.bad_since >= (self.threshold.hold if hold is None else hold):
            standing.active = True
        rests = standing.told_at is not None and now - standing.told_at < self.threshold.cooldown
        if not standing.active or standing.told or rests:
            return False
        standing.told, standing.told_at = True, now
        return True

    def _better(self, standing: _Standing, now: float) -> bool:
        """True where the end of the alert is to be told: of one that was told."""
        if not standing.active:
            standing.bad_since = None
            return False
        if standing.good_since is None:
            standing.good_since = now
        if now - standing.good_since < self.threshold.hold:
            return False
        told, standing.told = standing.told, False
        standing.active, standing.bad_since, standing.good_since = False, None, None
        return told
