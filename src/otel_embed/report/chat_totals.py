"""What chat calls and component runs added up to in this process."""

from __future__ import annotations

import threading
from collections import Counter

from otel_embed.report.sketch import Sketch
from otel_embed.report.totals import MAX_SERIES, OVERFLOW, PICODOLLARS, Key
from otel_embed.run_record import ChatCall, ChatUsage, ComponentRun

MAX_COMPONENTS = 500
_UNKNOWN = ChatUsage()


class AnswerCacheTotals:
    """What one cache of answers was asked by the calls of a series, and what it saved."""

    __slots__ = ("hits", "misses", "saved_input", "saved_output", "saved_picodollars", "unpriced")

    def __init__(self) -> None:
        self.hits = self.misses = self.saved_input = self.saved_output = self.saved_picodollars = self.unpriced = 0


class ChatSeries:
    """The sums of the chat calls with one key."""

    def __init__(self, operation: str, key: Key) -> None:
        self.operation, self.key = operation, key
        self.calls = self.answered = self.picodollars = self.unpriced_calls = 0
        self.input_tokens = self.output_tokens = self.cached_tokens = self.reasoning_tokens = 0
        self.errors: Counter[str] = Counter()
        self.caches: dict[str, AnswerCacheTotals] = {}
        self.latency, self.first_token, self.output_rate = Sketch(), Sketch(), Sketch()


class ComponentSeries:
    """The sums of the runs of one component."""

    __slots__ = ("errors", "framework", "kind", "latency", "name", "own_ns")

    def __init__(self, framework: str, kind: str, name: str) -> None:
        self.framework, self.kind, self.name = framework, kind, name
        self.errors: Counter[str] = Counter()
        self.own_ns = 0
        self.latency = Sketch()


class ChatTotals:
    """They start anew in a forked child."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._lock = threading.Lock()
        self._series: dict[tuple[object, ...], ChatSeries] = {}
        self._components: dict[tuple[str, str, str], ComponentSeries] = {}
        self.first_start_ns: int | None = None
        self.last_end_ns: int | None = None
        self.count = 0
        """Calls and runs."""

    def series(self) -> list[ChatSeries]:
        with self._lock:
            return list(self._series.values())

    def components(self) -> list[ComponentSeries]:
        with self._lock:
            return list(self._components.values())

    def add_run(self, run: ComponentRun) -> None:
        with self._lock:
            key = (run.framework, run.kind, run.name)
            if key not in self._components and len(self._components) >= MAX_COMPONENTS:
                key = (run.framework, run.kind, OVERFLOW)
            series = self._components.get(key)
            if series is None:
                series = self._components[key] = ComponentSeries(*key)
            series.latency.add(run.duration_ns / 1e9)
            series.own_ns += run.own_ns
            if run.failure is not None:
                series.errors[run.failure.cause] += 1
            self._span(run.start_unix_ns, run.duration_ns)

    def add(self, call: ChatCall) -> None:
        if not call.is_leaf:
            return
        with self._lock:
            series = self._of(call)
            series.calls += 1
            _add_cache(series, call)
            if not call.hit:
                _add_answer(series, call)
            self._span(call.start_unix_ns, call.duration_ns)

    def _of(self, call: ChatCall) -> ChatSeries:
        address, port = call.server or (None, None)
        who = call.attribution
        key = Key(None, None, call.provider, call.request_model, call.response_model, address, port, who)
        found = self._series.get((call.operation, key))
        if found is None and len(self._series) >= MAX_SERIES:
            others = tuple((name, OVERFLOW) for name, _ in who)
            key = Key(None, None, call.provider, OVERFLOW, None, None, None, others)
        return self._series.setdefault((call.operation, key), ChatSeries(call.operation, key))

    def _span(self, start: int, duration: int) -> None:
        self.count += 1
        if self.first_start_ns is None or start < self.first_start_ns:
            self.first_start_ns = start
        if self.last_end_ns is None or start + duration > self.last_end_ns:
            self.last_end_ns = start + duration


def _add_answer(series: ChatSeries, call: ChatCall) -> None:
    series.answered += 1
    series.latency.add(call.seconds)
    usage = call.usage or _UNKNOWN
    series.input_tokens += usage.input_tokens or 0
    series.output_tokens += usage.output_tokens or 0
    series.cached_tokens += usage.cached_tokens or 0
    series.reasoning_tokens += usage.reasoning_tokens or 0
    if call.cost is not None:
        series.picodollars += round(call.cost.usd * PICODOLLARS)
    elif call.unpriced:
        series.unpriced_calls += 1
    if call.failure is not None:
        series.errors[call.failure.cause] += 1
    elif call.first_token_ns is not None:
        series.first_token.add(call.first_token_ns / 1e9)
    rate = call.output_rate
    if rate is not None:
        series.output_rate.add(rate)


def _add_cache(series: ChatSeries, call: ChatCall) -> None:
    if call.cache is None:
        return
    totals = series.caches.setdefault(call.cache.store, AnswerCacheTotals())
    if not call.cache.hit:
        totals.misses += 1
        return
    totals.hits += 1
    if call.cache.saved is not None:
        totals.saved_input += call.cache.saved.input_tokens or 0
        totals.saved_output += call.cache.saved.output_tokens or 0
    if call.cache.saved_cost is not None:
        totals.saved_picodollars += round(call.cache.saved_cost.usd * PICODOLLARS)
    else:
        totals.unpriced += 1
