"""What an SDK keeps of our metrics. A forked child has its parent's, and would export it as its own.

Our own sums begin anew in a child, but an SDK keeps the points of histograms itself, and what it told last of each
counter where only differences are asked for. It has no public way to empty them. Where its form is not the one that is
known here, nothing is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.metrics import Meter

_OF_INSTRUMENTS: Final = "_instrument_view_instrument_matches"
"""Of what is kept for one reader: the points of each instrument, which are made anew where there are none."""


def forget(meter: Meter) -> None:
    """Empty what is kept of the instruments of this meter's scope, for every reader, and of no others.

    No lock is taken: in a child another thread of the parent's may hold it for good.
    """
    sdk = getattr(meter, "_real_meter", None) or meter
    scope = getattr(sdk, "_instrumentation_scope", None)
    kept = getattr(getattr(sdk, "_measurement_consumer", None), "_reader_storages", None)
    if scope is None or not isinstance(kept, Mapping):
        return
    for of_reader in list(kept.values()):
        points = getattr(of_reader, _OF_INSTRUMENTS, None)
        if isinstance(points, dict):
            setattr(of_reader, _OF_INSTRUMENTS, _of_others(points, scope))


def _of_others(points: dict[Any, Any], scope: object) -> dict[Any, Any]:
    return {each: found for each, found in points.items() if getattr(each, "instrumentation_scope", None) != scope}
