"""The queue's depth: inputs that were asked for and whose embeddings have not arrived."""

from __future__ import annotations

from collections.abc import Mapping

from otel_embed.observe import OpenCall

_Place = tuple[str, str | None]
_MAX_PLACES = 1000


class PendingInputs:
    """The open calls of this process. Adding and removing one is a single step, so no lock is needed."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begin anew: a forked child has no call of its parent's in flight."""
        self._open: dict[int, OpenCall] = {}
        self._places: dict[_Place, int] = {}

    def begin(self, call: OpenCall) -> None:
        self._open[id(call)] = call

    def end(self, call: OpenCall) -> None:
        self._open.pop(id(call), None)

    def now(self) -> Mapping[_Place, int]:
        """Pending inputs by provider and model, of clients and local models; a place that was seen once stays, at 0."""
        depths = dict.fromkeys(self._places, 0)
        for call in list(self._open.values()):
            if call.component is None:
                place = (call.provider, call.request.model)
                depths[place] = depths.get(place, 0) + (call.request.inputs or 0)
        self._places = dict.fromkeys(list(depths)[:_MAX_PLACES], 0)
        return depths
