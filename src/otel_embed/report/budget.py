"""A day's budget for embeddings in this process: what is spent of it, and a warning in time."""

from __future__ import annotations

import logging
import threading
import time

from otel_embed.record import ChatCall, EmbeddingCall
from otel_embed.report.totals import PICODOLLARS

_logger = logging.getLogger("otel_embed.budget")
_WARN_AT = (80, 100)
_DAY_NS = 24 * 3600 * 10**9


class Budget:
    """``limit`` in dollars a day (UTC); None means that nobody asked."""

    def __init__(self, limit: float | None) -> None:
        self.limit = limit
        self.clear()

    def clear(self) -> None:
        self._lock = threading.Lock()
        self._day: int | None = None
        self._picodollars = 0
        self._warned = 0

    def spend(self, call: EmbeddingCall | ChatCall) -> None:
        """Count the cost of a call on the day on which it ended."""
        if self.limit is None or call.cost is None:
            return
        with self._lock:
            self._turn(call.start_unix_ns + call.duration_ns)
            self._picodollars += round(call.cost.usd * PICODOLLARS)
            percent = self._percent()
            passed = max((mark for mark in _WARN_AT if percent >= mark), default=0)
            warn, self._warned = passed > self._warned, max(passed, self._warned)
        if warn:
            _logger.warning(
                "%d %% of the daily embedding budget of $%g is spent: $%.6f.", passed, self.limit, self.spent()
            )

    def spent(self) -> float:
        """Dollars spent today."""
        with self._lock:
            self._turn(time.time_ns())
            return self._picodollars / PICODOLLARS

    def _turn(self, now_ns: int) -> None:
        day = now_ns // _DAY_NS
        if self._day is None or day > self._day:
            self._day, self._picodollars, self._warned = day, 0, 0

    def _percent(self) -> float:
        return 100.0 * self._picodollars / PICODOLLARS / self.limit if self.limit else 100.0
