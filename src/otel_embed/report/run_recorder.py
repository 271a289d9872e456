"""From a finished run to every report of it."""

from __future__ import annotations

from opentelemetry.context import Context
from opentelemetry.metrics import Meter
from opentelemetry.trace import NonRecordingSpan, Tracer, set_span_in_context

from otel_embed.config import Config
from otel_embed.guard import Guard, guarded
from otel_embed.pricing.chat import ChatPrices
from otel_embed.record import Cost
from otel_embed.report import coexist, names
from otel_embed.report.attribution import Attributions
from otel_embed.report.budget import Budget
from otel_embed.report.chat_totals import ChatTotals
from otel_embed.report.dimensions import Attributes, billed, histogram
from otel_embed.report.run_spans import RunSpans
from otel_embed.report.totals import Key
from otel_embed.report.track import track_chat
from otel_embed.run_record import ChatCall, ChatRequest, ChatUsage
from otel_embed.runs import OpenRun

_COUNTING, _TRACKING, _MEASURING = Guard("count a run"), Guard("track a chat call"), Guard("measure a chat call")
_NOWHERE = Context({"otel-embed-nowhere": True})
_FREE = Cost(0.0, "cache")


class RunRecorder:
    """Counts and reports runs. There is one for a meter, as there is one recorder of embedding calls."""

    def __init__(self, meter: Meter, totals: ChatTotals, budget: Budget, attribution: Attributions) -> None:
        self._totals = totals
        self._attribution = attribution
        self._spend = guarded(budget.spend, "watch the budget")
        self._budget = budget
        self._duration = histogram(meter, names.LEGACY_DURATION)
        self._tokens = histogram(meter, names.LEGACY_TOKENS)
        self._first = histogram(meter, names.TIME_TO_FIRST)
        self._rate = histogram(meter, names.OUTPUT_RATE)

    def configure(self, tracer: Tracer, config: Config, prices: ChatPrices) -> None:
        """Report as these settings say from now on."""
        self._spans = RunSpans(tracer, config.capture_content)
        self._prices = prices
        self._price = guarded(self._cost, "price a chat call")
        self._yields = config.langchain_chat == "auto"

    def begin(self, run: OpenRun, around: Context) -> Context:
        if self._yields:
            run.covered, run.measured = coexist.others_on_langchain()
        if self._attribution.on:
            run.attribution = self._attribution.of(around)
        return self._spans.begin(run, around)

    def finish(self, run: OpenRun) -> None:
        if run.request is None:
            record = run.component_run()
            if run.span is not None:
                self._spans.finish_run(run, record)
            self._totals.add_run(record)
            return
        call = self._frozen(run, run.request)
        if self._budget.rules:
            self._spend(call, run.span)
        around = _NOWHERE
        if run.span is not None:
            self._spans.finish_chat(run, call)
            around = set_span_in_context(NonRecordingSpan(run.span.get_span_context()), _NOWHERE)
        with _COUNTING:
            self._totals.add(call)
        with _TRACKING:
            track_chat(call, run.context)
        with _MEASURING:
            self._measure(call, run.measured, around)

    def _frozen(self, run: OpenRun, request: ChatRequest) -> ChatCall:
        cache = run.cache
        if cache is not None and cache.hit:
            saved = self._price(request, run.reply.model, cache.saved)
            run.cache = cache._replace(saved_cost=saved)
            return run.chat_call(request, _FREE)
        return run.chat_call(request, None if run.delegated else self._price(request, run.reply.model, run.reply.usage))

    def _cost(self, request: ChatRequest, model: str | None, usage: ChatUsage | None) -> Cost | None:
        if usage is None:
            return None
        price = self._prices.find(request.provider, model, request.model)
        return None if price is None else price.cost(usage)

    def _measure(self, call: ChatCall, measured: bool, around: Context) -> None:
        """The histograms; the convention's only where nobody else has them, and for what a provider answered."""
        if not call.is_leaf or call.hit:
            return
        address, port = call.server or (None, None)
        who = call.attribution
        key = Key(None, None, call.provider, call.request_model, call.response_model, address, port, who)
        about = billed(key, call.operation)
        if call.output_rate is not None:
            self._rate.record(call.output_rate, about, around)
        if not measured:
            self._measure_convention(call, about, around)

    def _measure_convention(self, call: ChatCall, about: Attributes, around: Context) -> None:
        failed = call.failure
        timed = about if failed is None else {**about, names.ERROR_TYPE: failed.type}
        self._duration.record(call.seconds, timed, around)
        if failed is not None:
            return
        if call.first_token_ns is not None:
            self._first.record(call.first_token_ns / 1e9, about, around)
        if call.usage is not None:
            counts = ((names.INPUT, call.usage.input_tokens), (names.OUTPUT, call.usage.output_tokens))
            for kind, tokens in counts:
                if tokens is not None:
                    self._tokens.record(tokens, {**about, names.TOKEN_TYPE: kind}, around)
