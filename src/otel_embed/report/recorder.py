"""From a finished call to every report of it.

The span ends with the call. Counting can wait: finished calls are counted a batch at a time, at the
latest when somebody looks (an SDK that collects, a summary, the end of the process).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from opentelemetry.context import Context
from opentelemetry.metrics import Meter
from opentelemetry.trace import Tracer

from otel_embed.config import Config
from otel_embed.guard import Guard
from otel_embed.observe import OpenCall
from otel_embed.pricing.bill import Pricing
from otel_embed.provider import Lookup
from otel_embed.record import CacheOutcome, Cost, EmbeddingCall, Reply, Usage
from otel_embed.report.budget import Budget
from otel_embed.report.log import LogReport
from otel_embed.report.metrics import Finished, MetricReport
from otel_embed.report.pending import PendingInputs
from otel_embed.report.slowest import Slowest
from otel_embed.report.spans import SpanReport
from otel_embed.report.totals import Totals
from otel_embed.report.track import tracked

_BATCH = 64
_BEGINNING, _COUNTING = Guard("begin the report of a call"), Guard("count a call")
_PRICING, _SPAN, _LOG = Guard("price a call"), Guard("report a span"), Guard("log a call")
_BUDGET, _TRACKING, _RECORDING = Guard("watch the budget"), Guard("track a call"), Guard("record metrics")


class CallRecorder:
    def __init__(self, tracer: Tracer, meter: Meter, config: Config, pricing: Pricing) -> None:
        self.totals = Totals()
        self.slowest = Slowest()
        self._pending = PendingInputs()
        self._budget = Budget(config.daily_budget_usd)
        self._pricing = pricing
        self._spans = SpanReport(tracer, config)
        self._log: Callable[[EmbeddingCall], None] | None = None if config.log == "off" else LogReport(config.log)
        self._finished: deque[Finished] = deque()
        self._settling = threading.Lock()
        self._metrics = MetricReport(
            meter, config.semconv, self.totals, self._pending, self._budget, self.settle
        )  # fmt: skip

    def begin(self, call: OpenCall, around: Context) -> Context:
        with _BEGINNING:
            inside = self._spans.begin(call, around)
            if call.component is None and call.request.inputs:
                self._pending.add((call.provider, call.request.model), call.request.inputs)
            return inside
        return around

    def bill(self, call: OpenCall, reply: Reply, failed: bool) -> tuple[Usage | None, Cost | None]:
        with _PRICING:
            return (None, None) if failed else self._pricing.bill(call.provider, call.request, reply, call.site.call.local)
        return None, None

    def save(self, call: OpenCall, lookup: Lookup) -> CacheOutcome:
        with _PRICING:
            return self._pricing.save(call, lookup)
        return CacheOutcome(lookup.store, lookup.hits, lookup.misses)

    def finish(self, call: OpenCall, record: EmbeddingCall) -> None:
        scope = call.scope
        span, covered = None, False
        if call.component is None and call.request.inputs:
            self._pending.add((call.provider, call.request.model), -call.request.inputs)
        if scope is not None:
            with _SPAN:
                self._spans.finish(scope, record)
                covered, about = scope.covered, scope.span.get_span_context()
                span = about if about.trace_flags.sampled else None
        if self._log is not None:
            with _LOG:
                self._log(record)
        if self._budget.limit is not None:
            with _BUDGET:
                self._budget.spend(record)
        with _TRACKING:
            tracked(call.context, record)
        self._finished.append(Finished(record, span, covered))
        if len(self._finished) >= _BATCH:
            self.settle(wait=0)

    def settle(self, wait: float = 1.0) -> None:
        """Count the calls that are finished and not counted yet; another thread that is at it is waited for."""
        if not self._settling.acquire(timeout=wait) if wait else not self._settling.acquire(blocking=False):
            return
        try:
            batch = [self._finished.popleft() for _ in range(len(self._finished))]
            if batch:
                self._count(batch)
        finally:
            self._settling.release()

    def _count(self, batch: list[Finished]) -> None:
        with _COUNTING:
            self.totals.add(finished.call for finished in batch)
            self.slowest.add(finished.call for finished in batch)
        for finished in batch:
            with _RECORDING:
                self._metrics.record(finished)

    def start_anew(self) -> None:
        """In a forked child: what the parent did is the parent's to report."""
        self._settling = threading.Lock()
        self._finished.clear()
        for sums in (self.totals, self.slowest, self._pending, self._budget):
            sums.clear()
