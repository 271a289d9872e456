"""What calls added up to in this process: the one set of sums that metrics, summary and budget read.

A call costs a few additions here instead of an SDK record a counter. Money is summed in whole
picodollars (1e-12 USD), so that the sum of a million calls is exact.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from itertools import chain
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

from otel_embed.record import Attribution, CacheOutcome, Component, EmbeddingCall, LocalWork, Server
from otel_embed.report.sketch import Sketch

PICODOLLARS = 10**12
MAX_SERIES = 2000
OVERFLOW = "_overflow"


class Key(NamedTuple):
    """What tells one series from another: the attributes that the convention has on metrics."""

    framework: str | None
    component: str | None
    provider: str
    request_model: str | None
    response_model: str | None
    address: str | None
    port: int | None
    attribution: Attribution = ()

    @classmethod
    def of(cls, call: EmbeddingCall) -> Key:
        framework, component = (call.component.framework, call.component.name) if call.component else (None, None)
        address, port = call.server or (None, None)
        return cls(
            framework,
            component,
            call.provider,
            call.request_model,
            call.response_model,
            address,
            port,
            call.attribution,
        )

    @property
    def model(self) -> str | None:
        return self.request_model or self.response_model


_start, _duration, _stages = attrgetter("start_unix_ns"), attrgetter("duration_ns"), attrgetter("stages")
_inputs, _cost, _bill = attrgetter("inputs"), attrgetter("cost"), attrgetter("usage", "cost")

Identity = tuple[str, "Component | None", "str | None", "str | None", "Server | None", Attribution]
"""The first fields of a call, by which its series is found without making a key."""
_kind: Callable[[EmbeddingCall], tuple[Any, ...]] = itemgetter(
    *range(6), *map(EmbeddingCall._fields.index, ("is_leaf", "retries", "cache", "failure", "work"))
)
"""What says how a call is counted: calls that have all of this in common differ in nothing but numbers."""


class CacheTotals:
    __slots__ = (
        "embed_ns",
        "embedded",
        "hits",
        "lookup_ns",
        "misses",
        "paid_picodollars",
        "paid_tokens",
        "saved_picodollars",
        "saved_tokens",
        "unpaid",
        "unpriced",
        "write_ns",
    )

    def __init__(self) -> None:
        self.hits = self.misses = self.saved_tokens = self.saved_picodollars = self.unpriced = 0
        self.paid_tokens = self.paid_picodollars = self.unpaid = 0
        self.lookup_ns = self.write_ns = self.embed_ns = self.embedded = 0


class Series:
    """The sums of the calls with one key."""

    __slots__ = (
        "caches",
        "calls",
        "devices",
        "embedded",
        "errors",
        "inputs",
        "key",
        "latency",
        "leaf_errors",
        "leaf_stage_ns",
        "leaves",
        "local",
        "outcomes",
        "outer_stage_ns",
        "padding",
        "picodollars",
        "retries",
        "tokens",
        "truncated",
        "unpriced_calls",
        "unpriced_tokens",
    )

    def __init__(self, key: Key, local: bool = False) -> None:
        self.key, self.local = key, local
        self.calls = self.leaves = self.inputs = self.embedded = 0
        self.picodollars = self.unpriced_calls = self.unpriced_tokens = 0
        self.tokens: Counter[str] = Counter()
        self.leaf_stage_ns: Counter[str] = Counter()
        self.outer_stage_ns: Counter[str] = Counter()
        """Of the calls that waited for others, or for a cache alone, instead of doing the work themselves."""
        self.errors: Counter[str] = Counter()
        self.leaf_errors: Counter[str] = Counter()
        self.retries: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.caches: dict[str, CacheTotals] = {}
        self.latency = Sketch()
        self.devices: Counter[str] = Counter()
        self.padding: int | None = None
        self.truncated: int | None = None

    @property
    def stage_ns(self) -> Counter[str]:
        """Of all calls."""
        return self.leaf_stage_ns + self.outer_stage_ns


class Totals:
    """All series of this process. They start anew in a forked child."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._lock = threading.Lock()
        self._series: dict[Identity, Series] = {}
        self.first_start_ns: int | None = None
        self.last_end_ns: int | None = None

    def series(self) -> list[Series]:
        with self._lock:
            return list(self._series.values())

    def add(self, calls: Sequence[EmbeddingCall]) -> None:
        """Count calls; those that differ in nothing but their numbers are added up before they are."""
        alike: defaultdict[tuple[Any, ...], list[EmbeddingCall]] = defaultdict(list)
        for call in calls:
            alike[_kind(call)].append(call)
        with self._lock:
            self._lasted(calls)
            for group in alike.values():
                self._add(group)

    def _lasted(self, calls: Sequence[EmbeddingCall]) -> None:
        if not calls:
            return
        start = min(map(_start, calls))
        end = max([call.start_unix_ns + call.duration_ns for call in calls])
        self.first_start_ns = start if self.first_start_ns is None else min(start, self.first_start_ns)
        self.last_end_ns = end if self.last_end_ns is None else max(end, self.last_end_ns)

    def _add(self, alike: list[EmbeddingCall]) -> None:
        call, how_many = alike[0], len(alike)
        of_a_client = call.component is None
        if of_a_client and not call.is_leaf and call.cache is None:
            return  # what it had other calls do is counted with those
        series = self._series.get(call[:6]) or self._new(call)
        if call.cache is not None:
            for each in alike:
                _add_cache(series, each)
            if of_a_client and not call.is_leaf:
                return  # no provider was asked
        series.calls += how_many
        series.latency.extend([ns / 1e9 for ns in map(_duration, alike)])
        stage_ns = series.leaf_stage_ns if call.is_leaf else series.outer_stage_ns
        for stage, begin, end, _ in chain.from_iterable(map(_stages, alike)):
            stage_ns[stage] += end - begin
        asked = embedded = 0
        if call.failure is not None:
            series.errors[call.failure.cause] += how_many
        else:
            asked = sum(filter(None, map(_inputs, alike)))
            embedded = asked if call.cache is None else sum(each.embedded for each in alike if each.inputs)
        series.inputs += embedded if of_a_client else asked
        for reason in call.retries:
            series.retries[reason] += how_many
        if not of_a_client:
            series.outcomes[outcome(call)] += how_many
        if call.is_leaf:
            series.leaves += how_many
            series.embedded += embedded
            if call.failure is not None:
                series.leaf_errors[call.failure.cause] += how_many
            _add_bill(series, alike)
            if call.work is not None:
                _add_work(series, call.work, how_many)

    def _new(self, call: EmbeddingCall) -> Series:
        """The series of a call that is the first of its kind; beyond ``MAX_SERIES`` kinds, the one of the others."""
        key = Key.of(call)
        identity: Identity = call[:6]
        if len(self._series) >= MAX_SERIES:
            component = None if call.component is None else Component(call.component.framework, OVERFLOW, "")
            others = tuple((name, OVERFLOW) for name, _ in call.attribution)
            identity = (call.provider, component, OVERFLOW, None, None, others)
            key = Key(key.framework, component and OVERFLOW, call.provider, OVERFLOW, None, None, None, others)
        return self._series.setdefault(identity, Series(key, call.local))


def outcome(call: EmbeddingCall) -> str:
    """What a cache made of a call: ``hit``, ``partial``, ``miss``, or ``none`` where no cache was asked."""
    if call.cache is None:
        return "none"
    if not call.cache.hits:
        return "miss"
    return "partial" if call.cache.misses else "hit"


def _add_bill(series: Series, alike: list[EmbeddingCall]) -> None:
    """What calls that a provider bills took in all."""
    tokens = series.tokens
    for usage, cost in map(_bill, alike):
        if usage is not None:
            tokens[usage.source] += usage.tokens
        if cost is not None:
            series.picodollars += round(cost.usd * PICODOLLARS)
    for call in alike if None in map(_cost, alike) else ():
        if call.unpriced:
            series.unpriced_calls += 1
            series.unpriced_tokens += call.usage.tokens if call.usage is not None else 0


def _add_work(series: Series, work: LocalWork, how_many: int) -> None:
    series.devices[work.device or ""] += how_many
    if work.padding is not None:
        series.padding = how_many * work.padding + (series.padding or 0)
    if work.truncated is not None:
        series.truncated = how_many * work.truncated + (series.truncated or 0)


def _add_cache(series: Series, call: EmbeddingCall) -> None:
    if call.cache is None:
        return
    totals = series.caches.setdefault(call.cache.store, CacheTotals())
    totals.hits += call.cache.hits
    totals.misses += call.cache.misses
    if call.cache.saved is not None:
        totals.saved_tokens += call.cache.saved.tokens
    if call.cache.saved_cost is not None:
        totals.saved_picodollars += round(call.cache.saved_cost.usd * PICODOLLARS)
    elif call.cache.hits and call.failure is None:
        totals.unpriced += 1
    _add_paid(totals, call, call.cache)
    _add_times(totals, call, call.cache)


def _add_paid(totals: CacheTotals, call: EmbeddingCall, cache: CacheOutcome) -> None:
    """What was not known: embedded by this call itself, or by those that it made."""
    if call.is_leaf:
        totals.paid_tokens += call.usage.tokens if call.usage is not None else 0
        totals.paid_picodollars += round(call.cost.usd * PICODOLLARS) if call.cost is not None else 0
        totals.unpaid += call.unpriced
    else:
        totals.paid_tokens += cache.paid.tokens
        totals.paid_picodollars += cache.paid.picodollars
        totals.unpaid += cache.paid.unpriced


def _add_times(totals: CacheTotals, call: EmbeddingCall, cache: CacheOutcome) -> None:
    lookup = write = below = 0
    for stage, start, end, own in call.stages:
        if not own:
            below += end - start
        elif stage == "cache_lookup":
            lookup += end - start
        elif stage == "cache_write":
            write += end - start
    totals.lookup_ns += lookup
    totals.write_ns += write
    embedding = call.duration_ns - lookup - write if call.is_leaf else below
    if cache.misses and embedding and call.failure is None:
        totals.embed_ns += embedding
        totals.embedded += cache.misses
