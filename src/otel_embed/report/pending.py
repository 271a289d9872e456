"""The queue's depth: inputs that were asked for and whose embeddings have not arrived."""

from __future__ import annotations

from collections.abc import Mapping

from otel_embed.observe import OPEN_CALLS, OpenCall, Recorder

_Place = tuple[str, str | None]
_MAX_PLACES = 1000


def _is_part(call: OpenCall) -> bool:
    """True where a client divided its inputs among several calls, which are the parts of one that is open."""
    return call.parent is not None and call.parent.component is None


class PendingInputs:
    """The open calls of one recorder."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._places: dict[_Place, int] = {}

    def clear(self) -> None:
        """Begin anew: a forked child has no call of its parent's in flight."""
        OPEN_CALLS.clear()
        self._places = {}

    def now(self) -> Mapping[_Place, int]:
        """Pending inputs by provider and model, of clients and local models; a place that was seen once stays, at 0."""
        depths = dict.fromkeys(self._places, 0)
        for call in list(OPEN_CALLS.values()):
            if call.component is None and call.site.recorder is self._recorder and not _is_part(call):
                place = (call.provider, call.request.model)
                depths[place] = depths.get(place, 0) + (call.request.inputs or 0)
        self._places = dict.fromkeys(list(depths)[:_MAX_PLACES], 0)
        return depths
