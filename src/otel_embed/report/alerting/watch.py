"""The thresholds of this process, judged one look after another."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta, timezone

from otel_embed.alert import Alert
from otel_embed.report.alerting.judge import Judge, Turn
from otel_embed.report.alerting.look import Observer
from otel_embed.report.alerting.measures import MEASURES
from otel_embed.thresholds import Thresholds

Clock = Callable[[], float]


class Watch:
    """What ``tell`` hears is of one observer. ``clock`` counts seconds."""

    def __init__(
        self, observer: Observer, thresholds: Thresholds, tell: Callable[[Alert], None], clock: Clock = time.monotonic
    ) -> None:
        self.observer, self._tell, self._clock = observer, tell, clock
        self._began = clock()
        self._zero = datetime.now(timezone.utc) - timedelta(seconds=self._began)
        """When the clock was at 0: an alert and its end say the same of when it began."""
        self._judges = [
            Judge(threshold, MEASURES[name])
            for name, threshold in thresholds.items()
            if threshold.alert and name in MEASURES
        ]

    def look(self, ends: bool = False) -> None:
        """Look once, and tell what changed. A process that ``ends`` before an alert could fire is judged at once."""
        look, now = self.observer.look(), self._clock()
        turns = [turn for judge in self._judges for turn in judge.judge(look, now, self._hold(judge, now, ends))]
        for alert in self._alerts(turns):
            self._tell(alert)

    def active(self) -> Mapping[str, int]:
        """How many alerts of each threshold go on; 0 for those that are watched and good."""
        return {judge.threshold.name: judge.active for judge in self._judges}

    def _hold(self, judge: Judge, now: float, ends: bool) -> float | None:
        is_short = now - self._began < judge.threshold.window + judge.threshold.hold
        return 0.0 if ends and is_short else None

    def _alerts(self, turns: list[Turn]) -> Iterator[Alert]:
        for turn in turns:
            threshold, since = turn.threshold, self._zero + timedelta(seconds=turn.since)
            yield Alert(
                threshold.name, threshold.severity, turn.measured, threshold.value, threshold.comparison == "above",
                turn.unit, since, turn.ends, *turn.place,
            )  # fmt: skip
