"""What calls added up to in this process: the one set of sums that metrics, summary and budget read.

A call costs a few additions here instead of an SDK record a counter. Money is summed in whole
picodollars (1e-12 USD), so that the sum of a million calls is exact.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

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


Identity = tuple[str, "Component | None", "str | None", "str | None", "Server | None", Attribution]
"""The first fields of a call, by which its series is found without making a key."""


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
        "leaves",
        "local",
        "outcomes",
        "padding",
        "picodollars",
        "retries",
        "stage_ns",
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
        self.stage_ns: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.retries: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.caches: dict[str, CacheTotals] = {}
        self.latency = Sketch()
        self.devices: Counter[str] = Counter()
        self.padding: int | None = None
        self.truncated: int | None = None


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

    def add(self, calls: Iterable[EmbeddingCall]) -> None:
        with self._lock:
            for call in calls:
                self._add(call)

    def _add(self, call: EmbeddingCall) -> None:
        start, end = call.start_unix_ns, call.start_unix_ns + call.duration_ns
        if self.first_start_ns is None or start < self.first_start_ns:
            self.first_start_ns = start
        if self.last_end_ns is None or end > self.last_end_ns:
            self.last_end_ns = end
        of_a_client = call.component is None
        if of_a_client and not call.is_leaf and call.cache is None:
            return  # what it had other calls do is counted with those
        series = self._series.get(call[:6]) or self._new(call)
        if call.cache is not None:
            _add_cache(series, call)
            if of_a_client and not call.is_leaf:
                return  # no provider was asked
        series.calls += 1
        series.latency.add(call.duration_ns / 1e9)
        stage_ns = series.stage_ns
        for stage, begin, finish, _ in call.stages:
            stage_ns[stage] = stage_ns.get(stage, 0) + finish - begin
        if call.failure is not None:
            series.errors[call.failure.cause] += 1
        elif call.inputs:
            series.inputs += call.embedded if of_a_client else call.inputs
        for reason in call.retries:
            series.retries[reason] += 1
        if not of_a_client:
            series.outcomes[outcome(call)] += 1
        if call.is_leaf:
            _add_leaf(series, call)

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


def _add_leaf(series: Series, call: EmbeddingCall) -> None:
    series.leaves += 1
    if call.failure is None and call.inputs:
        series.embedded += call.embedded
    if call.usage is not None:
        series.tokens[call.usage.source] += call.usage.tokens
    if call.work is not None:
        _add_work(series, call.work)
    if call.cost is not None:
        series.picodollars += round(call.cost.usd * PICODOLLARS)
    elif call.unpriced:
        series.unpriced_calls += 1
        series.unpriced_tokens += call.usage.tokens if call.usage is not None else 0


def _add_work(series: Series, work: LocalWork) -> None:
    series.devices[work.device or ""] += 1
    if work.padding is not None:
        series.padding = work.padding + (series.padding or 0)
    if work.truncated is not None:
        series.truncated = work.truncated + (series.truncated or 0)


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
    elif call.cache.hits:
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
