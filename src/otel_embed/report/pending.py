"""The queue's depth: inputs that were asked for and whose embeddings have not arrived."""

from __future__ import annotations

import threading

_Place = tuple[str, str | None]
_MAX_PLACES = 1000


class PendingInputs:
    """Pending inputs by provider and model; a place that was used once stays, at 0."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begin anew: a forked child has no call of its parent's in flight."""
        self._lock = threading.Lock()
        self._inputs: dict[_Place, int] = {}

    def add(self, place: _Place, inputs: int) -> None:
        with self._lock:
            if place in self._inputs or len(self._inputs) < _MAX_PLACES:
                self._inputs[place] = max(0, self._inputs.get(place, 0) + inputs)

    def now(self) -> dict[_Place, int]:
        with self._lock:
            return dict(self._inputs)
