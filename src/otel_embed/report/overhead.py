"""What otel_embed's own work takes, and the fuse that switches it off where that is more than was allowed.

Times are those of a clock on the wall: on a busy machine they include waiting for a processor.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from otel_embed.environment_variables import OTEL_EMBED_MAX_OVERHEAD
from otel_embed.guard import Guard
from otel_embed.late_logger import LateLogger
from otel_embed.record import EmbeddingCall
from otel_embed.report import names
from otel_embed.report.dimensions import Observers, Sums

_logger = LateLogger("otel_embed")
_SWITCHING_OFF = Guard("switch otel_embed off")
FEWEST_CALLS, SHORTEST_SECONDS = 100, 5.0
"""Of what the fuse judges at a time: a first call that imports half of a library must not blow it."""


class Overhead:
    """Nanoseconds ``in_calls``, on the threads of the application's calls, and in ``counting`` what they did."""

    limit: float | None = None
    """The share of the time of observed calls that is allowed; None where nobody asked."""
    switch_off: Callable[[], None] | None = None

    def __init__(self, clock: Callable[[], int] = time.perf_counter_ns) -> None:
        self._clock = clock
        self.blown: str | None = None
        """Why otel_embed switched itself off, in one sentence."""
        self.clear()

    def observe(self, metrics: Observers) -> None:
        metrics.counter(names.OVERHEAD, lambda _: self.sums())
        metrics.gauge(names.FUSE, lambda _: self.fuse())

    def clear(self) -> None:
        """In a forked child. A fuse that is blown stays so: the wrappers are off there too."""
        self.in_calls = self.counting = 0
        self._begin()

    def _begin(self) -> None:
        self._calls = self._own = self._whole = 0
        self._since = self._clock()

    def configure(self, limit: float | None) -> None:
        """Somebody switched otel_embed on, whatever was before."""
        self.limit, self.blown = limit, None
        self._begin()

    def add(self, calls: Sequence[EmbeddingCall], in_calls: int, counting: int) -> None:
        """A batch was counted."""
        self.in_calls += in_calls
        self.counting += counting
        if self.limit is None or self.blown is not None:
            return
        self._calls += len(calls)
        self._own += in_calls + counting
        self._whole += sum(call.duration_ns for call in calls if call.root)
        seconds = (self._clock() - self._since) / 1e9
        if self._calls >= FEWEST_CALLS and seconds >= SHORTEST_SECONDS:
            if self._own > self.limit * self._whole:
                self._blow(self.limit, seconds)
            self._begin()

    def _blow(self, limit: float, seconds: float) -> None:
        share = f"{100 * self._own / self._whole:.3g} %" if self._whole else "all"
        self.blown = (
            f"otel_embed switched itself off: in {seconds:.1f} s its own work took {share} of the time of"
            f" {self._calls} observed calls, and {OTEL_EMBED_MAX_OVERHEAD} allows {100 * limit:.3g} %."
        )
        with _SWITCHING_OFF:
            if self.switch_off is not None:
                self.switch_off()
        _logger.warning("%s It stays off in this process.", self.blown)

    def sums(self) -> Sums:
        for part, spent in (("call", self.in_calls), ("settle", self.counting)):
            if spent:
                yield {names.OVERHEAD_PART: part}, spent / 1e9

    def fuse(self) -> Sums:
        return [] if self.limit is None else [({}, int(self.blown is not None))]
