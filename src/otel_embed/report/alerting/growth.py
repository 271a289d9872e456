"""What the sums of this process grew by since they were last looked at.

Alerts cost a call nothing: they read the sums that are there anyway, every few seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from otel_embed.report.chat_totals import AnswerCacheTotals, ChatSeries, ChatTotals
from otel_embed.report.sketch import Sketch
from otel_embed.report.totals import PICODOLLARS, CacheTotals, Key, Series, Totals

Lookups = tuple[str, int, int]
"""A cache's store, and how many inputs it knew and did not know."""
_Counts = dict[str, float]


class Calls(NamedTuple):
    """New embedding calls with one key."""

    key: Key
    local: bool
    made: int
    failed: int
    retries: int
    inputs: int
    usd: float
    latency: Sketch
    lookups: tuple[Lookups, ...]


class Chats(NamedTuple):
    """New chat calls with one key."""

    key: Key
    usd: float
    first_token: Sketch
    output_rate: Sketch
    lookups: tuple[Lookups, ...]


class _Seen:
    """A series as it was."""

    def __init__(self) -> None:
        self.counts: _Counts = {}
        self.sketches: dict[str, dict[int, int]] = {}

    def grown(self, counts: _Counts) -> _Counts:
        before, self.counts = self.counts, counts
        return {name: value - before.get(name, 0) for name, value in counts.items()}

    def added(self, name: str, sketch: Sketch) -> Sketch:
        new, self.sketches[name] = sketch.since(self.sketches.get(name, {}))
        return new


class Growth:
    """Of the calls and chat calls of one recorder."""

    def __init__(self, totals: Totals, chat: ChatTotals) -> None:
        self._totals, self._chat = totals, chat
        self._seen: dict[object, _Seen] = {}

    def calls(self) -> list[Calls]:
        """Since this was last asked."""
        return [grown for series in self._totals.series() if (grown := self._calls(series)) is not None]

    def chats(self) -> list[Chats]:
        return [grown for series in self._chat.series() if (grown := self._chats(series)) is not None]

    def _calls(self, series: Series) -> Calls | None:
        seen = self._seen.setdefault(series.key, _Seen())
        counts: _Counts = {
            "calls": series.calls, "leaves": series.leaves, "failed": sum(dict(series.leaf_errors).values()),
            "retries": sum(dict(series.retries).values()), "inputs": series.embedded, "spent": series.picodollars,
            **_lookups(series.caches),
        }  # fmt: skip
        if counts == seen.counts:
            return None
        new = seen.grown(counts)
        latency, count = seen.added("latency", series.latency), int(new["leaves"])
        if series.key.component is not None and new["leaves"] != new["calls"]:
            latency = Sketch()  # it has calls in it that waited for a provider's, which is looked at itself
        return Calls(
            series.key, series.local, count, min(count, int(new["failed"])), int(new["retries"]), int(new["inputs"]),
            new["spent"] / PICODOLLARS, latency, tuple(_of(series, new)),
        )  # fmt: skip

    def _chats(self, series: ChatSeries) -> Chats | None:
        seen = self._seen.setdefault((series.operation, series.key), _Seen())
        counts: _Counts = {"calls": series.calls, "spent": series.picodollars, **_lookups(series.caches)}
        if counts == seen.counts:
            return None
        new = seen.grown(counts)
        first, rate = seen.added("first", series.first_token), seen.added("rate", series.output_rate)
        return Chats(series.key, new["spent"] / PICODOLLARS, first, rate, tuple(_of(series, new)))


def _lookups(caches: Mapping[str, CacheTotals] | Mapping[str, AnswerCacheTotals]) -> _Counts:
    found: _Counts = {}
    for store, cache in list[tuple[str, CacheTotals | AnswerCacheTotals]](caches.items()):
        found[f"hits {store}"], found[f"misses {store}"] = cache.hits, cache.misses
    return found


def _of(series: Series | ChatSeries, new: _Counts) -> Iterator[Lookups]:
    for store in list(series.caches):
        hits, misses = int(new.get(f"hits {store}", 0)), int(new.get(f"misses {store}", 0))
        if hits or misses:
            yield store, hits, misses
