"""From a finished call to every report of it.

The span ends with the call. Counting can wait: finished calls are counted a batch at a time, at the
latest when somebody looks (an SDK that collects, a summary, the end of the process).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from opentelemetry import context
from opentelemetry.context import Context
from opentelemetry.metrics import Meter
from opentelemetry.trace import Tracer

from otel_embed.config import Config
from otel_embed.guard import Guard
from otel_embed.observe import OPEN_CALL, OpenCall
from otel_embed.pricing.bill import Pricing
from otel_embed.provider import Lookup
from otel_embed.record import CacheOutcome, Cost, EmbeddingCall, Reply, Request, Usage
from otel_embed.report.budget import Budget
from otel_embed.report.log import LogReport
from otel_embed.report.metrics import MetricReport
from otel_embed.report.pending import PendingInputs
from otel_embed.report.slowest import Slowest
from otel_embed.report.spans import SpanReport
from otel_embed.report.totals import Totals
from otel_embed.report.track import tracked

_BATCH = 64
_BEGINNING, _COUNTING = Guard("begin the report of a call"), Guard("count calls")
_TOKENS, _PRICING = Guard("count tokens"), Guard("price a call")
_SPAN, _LOG, _BUDGET = Guard("report a span"), Guard("log a call"), Guard("watch the budget")
_TRACKING, _FREEZING = Guard("track a call"), Guard("record the metrics of a call")


class CallRecorder:
    """Counts and reports calls. There is one for a meter, however often otel_embed is switched on and off.

    A meter knows an observed counter's name once, and its sums must not begin anew.
    """

    def __init__(self, meter: Meter) -> None:
        self.totals = Totals()
        self.slowest = Slowest()
        self._pending = PendingInputs()
        self._budget = Budget(None)
        self._finished: deque[OpenCall] = deque()
        self._settling = threading.Lock()
        self._metrics = MetricReport(meter, self.totals, self._pending, self._budget, self.settle)

    def configure(self, tracer: Tracer, config: Config, pricing: Pricing) -> None:
        """Report as these settings say from now on."""
        self._spans = SpanReport(tracer, config)
        self._pricing = pricing
        self._budget.limit = config.daily_budget_usd
        self._log: Callable[[EmbeddingCall], None] | None = None if config.log == "off" else LogReport(config.log)
        self._metrics.choose(config.semconv)

    def begin(self, call: OpenCall, around: Context) -> Context:
        self._pending.begin(call)
        with _BEGINNING:
            return self._spans.begin(call, around)
        return context.set_value(OPEN_CALL, call, around)

    def count(self, call: OpenCall, request: Request, reply: Reply) -> Usage | None:
        if reply.tokens is not None:
            return Usage(reply.tokens, "reported")
        with _TOKENS:
            return self._pricing.count(request)
        return None

    def price(self, call: OpenCall, usage: Usage) -> Cost | None:
        if call.site.call.local:
            return None
        with _PRICING:
            return self._pricing.price(call.provider, usage, call.reply.model, call.request.model)
        return None

    def save(self, call: OpenCall, lookup: Lookup) -> CacheOutcome:
        with _PRICING:
            return self._pricing.save(call, lookup)
        return CacheOutcome(lookup.store, lookup.hits, lookup.misses)

    def finish(self, call: OpenCall) -> None:
        self._pending.end(call)
        if call.scope is not None:
            with _SPAN:
                self._spans.finish(call)
        if self._log is not None:
            with _LOG:
                self._log(call.record())
        if self._budget.limit is not None:
            with _BUDGET:
                self._budget.spend(call.record())
        with _TRACKING:
            tracked(call)
        self._finished.append(call)
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

    def _count(self, batch: list[OpenCall]) -> None:
        records: list[EmbeddingCall] = []
        for call in batch:
            with _FREEZING:
                record = call.record()
                records.append(record)
                self._metrics.record(record, call.scope)
        with _COUNTING:
            self.totals.add(records)
            self.slowest.add(records)

    def start_anew(self) -> None:
        """In a forked child: what the parent did is the parent's to report."""
        self._settling = threading.Lock()
        self._finished.clear()
        for sums in (self.totals, self.slowest, self._pending, self._budget):
            sums.clear()
