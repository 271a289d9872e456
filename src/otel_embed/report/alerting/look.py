"""All that one look at this process finds: what happened since the last one, and what stands at the moment."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from otel_embed import guard
from otel_embed.gauges import gpu
from otel_embed.quality.checks import UNUSABLE
from otel_embed.record import ModelLoad
from otel_embed.report.alerting.growth import Calls, Chats, Growth
from otel_embed.report.alerting.window import Place

if TYPE_CHECKING:
    from otel_embed.report.recorder import CallRecorder

_MOST_LOADS = 1000


@dataclass(frozen=True)
class Look:
    """``calls``, ``chats``, ``loads``, ``failures`` and ``broken`` are new; the others are as they stand."""

    calls: list[Calls] = field(default_factory=list)
    chats: list[Chats] = field(default_factory=list)
    loads: list[ModelLoad] = field(default_factory=list)
    failures: Mapping[str, int] = field(default_factory=dict)
    """Of otel_embed itself, by what failed."""
    pending: Mapping[Place, float] = field(default_factory=dict)
    """Inputs that wait for their embeddings."""
    requests_left: Mapping[Place, float] = field(default_factory=dict)
    """Of a provider's rate limit."""
    headroom: Mapping[Place, float] = field(default_factory=dict)
    """The part of a rate limit that is left, of that which has least."""
    budgets: Mapping[Place, float] = field(default_factory=dict)
    """The share of each that is spent."""
    gpus: Mapping[Place, float] = field(default_factory=dict)
    """The share of the time in which each works."""
    broken: Mapping[Place, int] = field(default_factory=dict)
    """New ones of the problems after which vectors are of no use."""


class Observer:
    """Looks at one recorder."""

    def __init__(self, recorder: CallRecorder, gpus: bool) -> None:
        self._recorder, self._gpus = recorder, gpus
        self._growth = Growth(recorder.totals, recorder.chat)
        self._failures: Counter[str] = Counter()
        self._broken: Counter[Place] = Counter()
        self.loads: deque[ModelLoad] = deque(maxlen=_MOST_LOADS)
        """Loads that were not looked at yet."""
        # What was counted before is not looked at. Nor are the GPUs: in a forked child, they may not be asked yet.
        recorder.settle()
        self._growth.calls(), self._growth.chats(), self._new_failures(), self._newly_broken()

    def look(self) -> Look:
        recorder = self._recorder
        recorder.settle()
        return Look(
            self._growth.calls(),
            self._growth.chats(),
            [self.loads.popleft() for _ in range(len(self.loads))],
            self._new_failures(),
            {Place(provider, model): inputs for (provider, model), inputs in recorder.pending.now().items()},
            _requests_left(recorder),
            _headroom(recorder),
            {Place(subject=name): share for name, share in recorder.budget_shares()},
            _busy() if self._gpus else {},
            self._newly_broken(),
        )

    def _new_failures(self) -> Mapping[str, int]:
        before, self._failures = self._failures, Counter(guard.dropped)
        return self._failures - before

    def _newly_broken(self) -> Mapping[Place, int]:
        before, self._broken = self._broken, Counter()
        for (provider, model), sums in self._recorder.quality.checks.sums():
            for problem in UNUSABLE:
                self._broken[Place(provider, model, problem)] = sums.problems.get(problem, 0)
        return self._broken - before


def _requests_left(recorder: CallRecorder) -> dict[Place, float]:
    limits = recorder.limits.now()
    return {Place(provider, model): left for provider, model, kind, left in limits if kind == "requests"}


def _headroom(recorder: CallRecorder) -> dict[Place, float]:
    least: dict[Place, float] = {}
    for provider, model, _, part in recorder.limits.headroom():
        place = Place(provider, model)
        least[place] = min(part, least.get(place, 1.0))
    return least


def _busy() -> dict[Place, float]:
    return {Place(subject=name): busy for name, busy in gpu.busy()}
