"""The slowest calls of this process, whole: what a waterfall is drawn from."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Iterable

from otel_embed.record import EmbeddingCall

KEPT = 10


class Slowest:
    """The slowest calls that no other call waited for."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._lock = threading.Lock()
        self._heap: list[tuple[int, int, EmbeddingCall]] = []
        self._order = 0

    def add(self, calls: Iterable[EmbeddingCall]) -> None:
        with self._lock:
            for call in calls:
                if not call.root or (len(self._heap) == KEPT and call.duration_ns <= self._heap[0][0]):
                    continue
                self._order += 1  # so that calls of one length are never compared themselves
                place = heapq.heappush if len(self._heap) < KEPT else heapq.heapreplace
                place(self._heap, (call.duration_ns, self._order, call))

    def calls(self) -> list[EmbeddingCall]:
        """Slowest first."""
        with self._lock:
            return [call for _, _, call in sorted(self._heap, reverse=True)]
