"""What this process did so far, in a small file about once a second, for ``otel-embed run --live``.

A fiftieth of the summary's size and work: sums over all models, and one sketch of all latencies.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from otel_embed.report.recorder import CallRecorder
from otel_embed.report.sketch import Sketch
from otel_embed.report.totals import Series

MARK = "live"
"""A file of this name in the directory asks for the others."""
SUFFIX = ".live"


class LiveFile:
    """Replaced as a whole, so that whoever reads it sees all of a second or nothing of it."""

    def __init__(self, recorder: CallRecorder, directory: str, name: str) -> None:
        self._recorder = recorder
        self._path = Path(directory, name).with_suffix(SUFFIX)
        self._partial = self._path.with_suffix(".partial-live")
        self._written: dict[str, Any] | None = None

    def write(self) -> None:
        """If anything changed since it was written last."""
        found = snapshot(self._recorder)
        if found == self._written:
            return
        self._partial.write_text(json.dumps({**found, "cpu_seconds": time.process_time()}), encoding="utf-8")
        self._partial.replace(self._path)
        self._written = found


def asked(directory: str) -> bool:
    return Path(directory, MARK).exists()


def snapshot(recorder: CallRecorder) -> dict[str, Any]:
    """Totals since the process began. Dollars are whole picodollars, times are in seconds."""
    recorder.settle()
    series = recorder.totals.series()
    leaves = [each for each in series if each.leaves]
    caches = [cache for each in series for cache in each.caches.values()]
    chats = recorder.chat.series()
    priced = [(each.picodollars, each.unpriced_calls) for each in leaves]
    priced += [(each.picodollars, each.unpriced_calls) for each in chats]
    hits = sum(cache.hits for cache in caches)
    return {
        "calls": sum(each.leaves for each in leaves),
        "failed": sum(sum(each.leaf_errors.values()) for each in leaves),
        "texts": sum(each.embedded for each in leaves) + hits,
        "hits": hits,
        "misses": sum(cache.misses for cache in caches),
        "tokens": sum(sum(each.tokens.values()) for each in leaves),
        "picodollars": sum(spent for spent, _ in priced),
        "unpriced": sum(unknown for _, unknown in priced),
        "chats": sum(each.answered for each in chats),
        "failed_chats": sum(sum(each.errors.values()) for each in chats),
        "budget_left": recorder.budget_left(),
        "stages": _stages(leaves),
        "latency": _latency(leaves),
    }


def _stages(leaves: list[Series]) -> dict[str, int]:
    """Nanoseconds by stage."""
    whole: dict[str, int] = {}
    for each in leaves:
        for stage, ns in each.stage_ns.items():
            whole[stage] = whole.get(stage, 0) + ns
    return whole


def _latency(leaves: list[Series]) -> dict[str, int]:
    """The counts of a sketch, by bucket."""
    if len(leaves) == 1:
        return leaves[0].latency.counts()
    whole = Sketch()
    for each in leaves:
        whole.merge(each.latency)
    return whole.counts()
