"""From a finished call to every report of it.

The span ends with the call. Counting can wait: finished calls are counted a batch at a time, at the
latest when somebody looks (an SDK that collects, a summary, the end of the process).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from math import inf
from time import perf_counter_ns
from typing import Any

from opentelemetry.context import Context
from opentelemetry.metrics import Meter
from opentelemetry.trace import SpanContext, Tracer

from otel_embed.config import Config
from otel_embed.exchange import end_dropped, forget_open
from otel_embed.guard import Guard, guarded
from otel_embed.loads import OpenLoad
from otel_embed.observe import OpenCall
from otel_embed.pricing.bill import Pricing
from otel_embed.provider import Lookup
from otel_embed.record import CacheOutcome, EmbeddingCall, ModelLoad
from otel_embed.report import budget_sums, sdk_points
from otel_embed.report.alerting.alerting import Alerting
from otel_embed.report.attribution import Attributing, Attributions
from otel_embed.report.budget import Budget
from otel_embed.report.chat_totals import ChatTotals
from otel_embed.report.exemplars import Exemplars
from otel_embed.report.limits import MAX_MODELS, RateLimits
from otel_embed.report.log import LogReport
from otel_embed.report.lost import LostSpans
from otel_embed.report.metrics import MetricReport
from otel_embed.report.operations import OperationReport
from otel_embed.report.overhead import Overhead
from otel_embed.report.pending import PendingInputs
from otel_embed.report.quality_report import QualityReport
from otel_embed.report.run_recorder import RunRecorder
from otel_embed.report.slowest import Slowest
from otel_embed.report.spans import SpanReport
from otel_embed.report.totals import PICODOLLARS, Totals
from otel_embed.report.track import TRACKED, tracked
from otel_embed.report.work_totals import WorkTotals
from otel_embed.runs import Runs

_BATCH = 64
_Finished = tuple["OpenCall | EmbeddingCall", bool, "SpanContext | None", int]
"""A call or, where it was needed already, its record; whether another's span covers it; the context of its span; the
nanoseconds that its observation took."""
_SPAN = Guard("report a span")
_COUNTING, _FREEZING = Guard("count calls"), Guard("record the metrics of a call")
_EMPTYING = Guard("empty what the SDK keeps of a parent's metrics")


class CallRecorder:
    """Counts and reports calls. There is one for a meter, however often otel_embed is switched on and off.

    A meter knows an observed counter's name once, and its sums must not begin anew.
    """

    def __init__(self, meter: Meter) -> None:
        self.meter = meter
        self.gauges: set[str] = set()
        """The standing facts that this meter observes, by the names of ``otel_embed.gauges``."""
        self.totals = Totals()
        self.slowest = Slowest()
        self.pending = PendingInputs(self)
        self.budget = Budget()
        self._finished: deque[_Finished] = deque()
        self._settling = threading.Lock()
        self.limits = RateLimits()
        self.chat: ChatTotals = ChatTotals()
        self.quality = QualityReport()
        self.overhead = Overhead()
        self.look: Callable[[OpenCall, Any], None] = guarded(self._look, "check a call")
        self.look_from = inf
        self._attribution = Attributions(self._attribute)
        self._metrics = MetricReport(meter, self.totals, self.chat, self.settle)
        self._metrics.queue(self.pending)
        self._metrics.rate_limits(self.limits)
        self.quality.observe(self._metrics)
        budget_sums.observe(self._metrics, self.budget)
        self.overhead.observe(self._metrics)
        self.lost = LostSpans()
        self.lost.observe(self._metrics)
        self._runs = RunRecorder(meter, self.chat, self.budget, self._attribution)
        self.runs = Runs(self._runs)
        self.work = WorkTotals()
        self.operations = OperationReport(meter, self.work, self._attribution)
        self._metrics.local.totals = self.work
        self._track = guarded(tracked, "track a call")
        self.alerts = Alerting(self, meter)

    def configure(self, tracer: Tracer, config: Config, pricing: Pricing) -> None:
        """Report as these settings say from now on."""
        spans = SpanReport(tracer, config)
        self.operations.tracer = tracer
        self.begin: Callable[[OpenCall, Context], Context] = spans.begin
        self._watch(config)
        if self._attribution.on:
            self._attribute()
        self._finish_span = spans.finish
        self.count = guarded(pricing.count, "count tokens")
        self.price = guarded(pricing.price, "price a call")
        self._save = guarded(pricing.save, "price what a cache saved")
        self.look_from = inf if config.checks == "off" else 0
        self._log = None if config.log == "off" else guarded(LogReport(config.log), "log a call")
        self._metrics.choose(config.semconv)
        self._metrics.local.tracer = tracer
        self.begin_load = guarded(self._metrics.local.begin_load, "begin the report of a load")
        self.finish_load = guarded(self._finish_load, "report a load")
        self._runs.configure(tracer, config, pricing.chat)
        self.runs.observed = config.langchain_chat != "off"
        self.alerts.configure(config)
        self.overhead.configure(config.max_overhead)

    def _finish_load(self, loading: OpenLoad, load: ModelLoad) -> None:
        self._metrics.local.finish_load(loading, load)
        self.alerts.loaded(load)

    def _watch(self, config: Config) -> None:
        """Watch the budgets, and read what they ask about."""
        budget = self.budget
        budget.configure(config)
        keys = [key for rule in budget.rules for key in rule.keys]
        self._attribution.read(dict.fromkeys((*config.baggage_attributes, *keys)))
        for rule in budget.rules:
            for key, value in rule.attributes:
                self._attribution.reserve(key, value)
        self._spend = guarded(self._charge, "watch the budget") if budget.rules else None
        self.refuse = guarded(budget.exceeded, "ask the budget") if budget.blocks else None

    def _charge(self, call: OpenCall) -> None:
        self.budget.spend(call.record(), call.span)

    def _attribute(self) -> None:
        """Say from now on for whom each call was made: nobody has to pay for that before it is asked for."""
        begin = getattr(self, "begin", None)
        if begin is not None and not isinstance(begin, Attributing):
            self.begin = Attributing(begin, self._attribution)

    def save(self, call: OpenCall, lookup: Lookup) -> CacheOutcome:
        return self._save(call, lookup) or CacheOutcome(lookup.store, lookup.hits, lookup.misses)

    def _look(self, call: OpenCall, result: Any) -> None:
        self.quality.look(call, result)
        self.look_from = self.quality.checks.due_ns

    def finish(self, call: OpenCall) -> None:
        if self._spend is not None:
            self._spend(call)
        if call.span is not None:
            try:
                self._finish_span(call)
            except Exception as error:
                _SPAN.contain(error)
        if call.headers is not None:
            place, newest = (call.provider, call.request.model), self.limits.newest
            if place in newest or len(newest) < MAX_MODELS:
                newest[place] = call.headers
        if self._log is not None:
            self._log(call.record(), call.span)
        if TRACKED in call.context:
            self._track(call)
        finished = self._finished
        # Of what is recorded already nothing else is kept: its memory serves the next call while it is warm.
        own = call.opened - call.start + perf_counter_ns() - call.end
        finished.append((call.recorded or call, call.covered, call.span, own))
        if len(finished) >= _BATCH:
            self.settle(wait=0)

    def settle(self, wait: float = 1.0) -> None:
        """Count the calls that are finished and not counted yet; another thread that is at it is waited for."""
        end_dropped()
        if not self._finished and not self._settling.locked():
            return
        if not self._settling.acquire(timeout=wait) if wait else not self._settling.acquire(blocking=False):
            return
        try:
            batch = [self._finished.popleft() for _ in range(len(self._finished))]
            if batch:
                self._count(batch)
        finally:
            self._settling.release()

    def _count(self, batch: list[_Finished]) -> None:
        began = perf_counter_ns()
        counted: list[tuple[EmbeddingCall, bool, SpanContext | None]] = []
        for call, covered, span, _ in batch:
            try:
                counted.append((call.record() if isinstance(call, OpenCall) else call, covered, span))
            except Exception as error:
                _FREEZING.contain(error)
        with _COUNTING:
            records = [record for record, _, _ in counted]
            self.totals.add(records)
            self.slowest.add(records)
        with _COUNTING:
            if self._metrics.is_heard():
                self._record(counted)
        with _COUNTING:
            self.overhead.add([each[0] for each in counted], sum(own for *_, own in batch), perf_counter_ns() - began)

    def _record(self, counted: list[tuple[EmbeddingCall, bool, SpanContext | None]]) -> None:
        exemplars = Exemplars()
        # The newest first: an SDK keeps the last exemplar of each bucket, so that the others need not be offered.
        for record, covered, span in reversed(counted):
            try:
                self._metrics.record(record, covered, exemplars.of(record, span))
            except Exception as error:
                _FREEZING.contain(error)

    def budget_left(self) -> float | None:
        """Dollars left of the budget that has least; None where there is none."""
        left = [standing.remaining for standing in self.budget.standings()]
        return min(left) / PICODOLLARS if left else None

    def recorded(self) -> int:
        """How much there is to tell: it grows with whatever is recorded."""
        self.settle()
        calls = sum(series.calls for series in self.totals.series())
        return calls + self.chat.count + self.work.count + sum(self.lost.by_cause().values())

    def start_anew(self) -> None:
        """In a forked child: what the parent did is the parent's to report."""
        self._settling = threading.Lock()
        self._finished.clear()
        forget_open()
        self._attribution.start_anew()
        everything = (self.totals, self.slowest, self.pending, self.limits, self.budget, self.chat, self.runs)
        for sums in (*everything, self.quality, self.overhead, self.lost):
            sums.clear()
        self.work.clear()
        with _EMPTYING:
            sdk_points.forget(self.meter)
        self.alerts.start_anew()

    def budget_shares(self) -> list[tuple[str, float]]:
        """Each budget's name and the share of it that is spent."""
        standings = self.budget.standings()
        return [(each.name, each.spent / each.rule.picodollars) for each in standings if each.rule.picodollars]
