"""Calls as metrics.

The two histograms are SDK records, made a batch at a time: many in a row cost a third of what single
ones cost between an application's calls. All counters are sums that the SDK observes when it collects.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain

from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation, get_meter_provider
from opentelemetry.util.types import AttributeValue

from otel_embed import guard
from otel_embed.config import Semconv
from otel_embed.record import EmbeddingCall
from otel_embed.report import chat_sums, names
from otel_embed.report.chat_totals import ChatTotals
from otel_embed.report.dimensions import Attributes, Sums, billed, histogram, of_model, place, semconv
from otel_embed.report.limits import RateLimits
from otel_embed.report.local import LocalReport
from otel_embed.report.names import Instrument
from otel_embed.report.pending import PendingInputs
from otel_embed.report.totals import PICODOLLARS, Identity, Key, Series, Totals, outcome

_MAX_IDENTITIES = 2000
Read = Callable[[list[Series]], Sums]
"""Makes the points of a metric of the embedding calls' series; what has sums of its own looks at those."""


class MetricReport:
    """Histograms and observed sums on one meter; ``settle`` counts what is not counted yet."""

    def __init__(self, meter: Meter, totals: Totals, chat: ChatTotals, settle: Callable[[], None]) -> None:
        self._meter = meter
        self._settle = settle
        self._read: set[str] = set()
        """The instruments that were read since calls were counted last: one that is read again begins a collection."""
        self._totals = totals
        self._attributes: dict[Identity, Attributes] = {}
        self._framework = histogram(meter, names.FRAMEWORK_DURATION)
        self.local = LocalReport(meter)
        self.choose("latest")
        self.counter(names.SPEND, lambda all: chain(_spend(all), chat_sums.spend(chat)))
        self.counter(names.UNPRICED, lambda all: chain(_unpriced(all), chat_sums.unpriced(chat)))
        self.counter(names.INPUTS, _inputs)
        self.counter(names.PADDING, _padding)
        self.counter(names.TRUNCATED, _truncated)
        self.counter(names.STAGE_TIME, _stage_time)
        self.counter(names.ERRORS, lambda all: chain(_errors(all), chat_sums.errors(chat)))
        self.counter(names.RETRIES, _retries)
        self.counter(names.LOOKUPS, lambda all: chain(_lookups(all), chat_sums.lookups(chat)))
        self.counter(names.SAVED_MONEY, lambda all: chain(_saved_money(all), chat_sums.saved_money(chat)))
        self.counter(names.SAVED_INPUT_TOKENS, lambda all: chain(_saved_tokens(all), chat_sums.saved_tokens(chat)))
        self.counter(names.DROPPED, lambda _: _dropped())

    def counter(self, instrument: Instrument, read: Read) -> None:
        """Have this counter's sums read when somebody looks."""
        self._observe(self._meter.create_observable_counter, instrument, read)

    def gauge(self, instrument: Instrument, read: Read) -> None:
        """Have this gauge read when somebody looks."""
        self._observe(self._meter.create_observable_gauge, instrument, read)

    def queue(self, pending: PendingInputs) -> None:
        """Have the queue's depth read when somebody looks: it goes up and down, and adds up over processes."""
        self._observe(self._meter.create_observable_up_down_counter, names.PENDING, lambda _: _pending(pending))

    def rate_limits(self, limits: RateLimits) -> None:
        """Have what is left of rate limits read when somebody looks."""
        self.gauge(names.RATE_LIMIT, lambda _: _rate_limits(limits))
        self.gauge(names.HEADROOM, lambda _: _headroom(limits))

    def choose(self, semconv: Semconv) -> None:
        """Emit the metrics of this state of the convention from now on."""
        latest, legacy = semconv in ("latest", "both"), semconv in ("legacy", "both")
        chosen = [(latest, names.DURATION), (legacy, names.LEGACY_DURATION)]
        self._durations = [histogram(self._meter, instrument) for wanted, instrument in chosen if wanted]
        self._tokens = [histogram(self._meter, names.TOKENS)] if latest else []
        self._legacy_tokens = [histogram(self._meter, names.LEGACY_TOKENS)] if legacy else []

    def _observe(self, create: Callable[..., object], instrument: Instrument, read: Read) -> None:
        reading = guard.Guard(f"observe {instrument.name}")

        def observe(_: CallbackOptions) -> Iterable[Observation]:
            observations: list[Observation] = []
            with reading:
                self._count_once(instrument.name)
                observations += _observations(read(self._totals.series()))
            return observations

        create(instrument.name, [observe], instrument.unit, instrument.description)

    def _count_once(self, name: str) -> None:
        """Count what is finished, once a collection: for each instrument anew it could take as long as an SDK waits."""
        if not self._read or name in self._read:
            self._read.clear()
            self._settle()
        self._read.add(name)

    def is_heard(self) -> bool:
        """Whether there is an SDK to make records with, by now: the API's own meters keep none."""
        return not (_of_the_api(self._meter) and _of_the_api(get_meter_provider()))

    def record(self, call: EmbeddingCall, covered: bool, around: Context) -> None:
        """Make the SDK records of one call in the context of its span; the convention's only where nobody else does."""
        if call.component is not None:
            self._framework.record(call.seconds, _framework_attributes(call), around)
        if call.work is not None:
            self.local.record(call, around)
        if covered or not call.is_leaf:
            return
        attributes = self._identity(call)
        failure = call.failure
        duration = attributes if failure is None else {**attributes, names.ERROR_TYPE: failure.type}
        for durations in self._durations:
            durations.record(call.duration_ns / 1e9, duration, around)
        if failure is not None or call.usage is None:
            return
        for tokens in self._tokens:
            tokens.record(call.usage.tokens, attributes, around)
        for tokens in self._legacy_tokens:
            tokens.record(call.usage.tokens, {**attributes, names.TOKEN_TYPE: names.INPUT}, around)

    def _identity(self, call: EmbeddingCall) -> Attributes:
        attributes = self._attributes.get(call[:6])
        if attributes is None:
            attributes = billed(Key.of(call))
            if len(self._attributes) < _MAX_IDENTITIES:
                self._attributes[call[:6]] = attributes
        return attributes


def _of_the_api(meters: Meter | MeterProvider) -> bool:
    return type(meters).__module__.startswith("opentelemetry.metrics")


def _framework_attributes(call: EmbeddingCall) -> Attributes:
    if call.component is None:
        return {}
    return {
        names.FRAMEWORK: call.component.framework,
        names.COMPONENT: call.component.name,
        names.CACHE_OUTCOME: outcome(call),
        **dict(call.attribution),
    }


def _levels(series: Series) -> Iterator[tuple[Attributes, Mapping[str, int]]]:
    """A provider's calls and a framework's calls that wait for them are two families of one counter.

    What an embedder of the application's own did itself belongs to both.
    """
    if series.key.framework is not None and series.key.component is not None:
        yield {names.FRAMEWORK: series.key.framework, names.COMPONENT: series.key.component}, series.stage_ns
    yield semconv(series.key), series.leaf_stage_ns


def _observations(sums: Sums) -> Iterator[Observation]:
    """One observation for each set of attributes: the SDK keeps only the last of equal ones."""
    added: defaultdict[frozenset[tuple[str, AttributeValue]], float] = defaultdict(int)
    for attributes, value in sums:
        added[frozenset(attributes.items())] += value
    for items, value in added.items():
        yield Observation(value, dict(items))


def _spend(series: list[Series]) -> Sums:
    return ((billed(each.key), each.picodollars / PICODOLLARS) for each in series if each.picodollars)


def _unpriced(series: list[Series]) -> Sums:
    return ((billed(each.key), each.unpriced_calls) for each in series if each.unpriced_calls)


def _inputs(series: list[Series]) -> Sums:
    return ((billed(each.key), each.embedded) for each in series if each.leaves)


def _padding(series: list[Series]) -> Sums:
    return ((of_model(each.key), each.padding) for each in series if each.padding is not None)


def _truncated(series: list[Series]) -> Sums:
    return ((of_model(each.key), each.truncated) for each in series if each.truncated is not None)


def _stage_time(series: list[Series]) -> Sums:
    for each in series:
        for level, stage_ns in _levels(each):
            for stage, nanoseconds in stage_ns.items():
                yield {**level, names.STAGE: stage}, nanoseconds / 1e9


def _errors(series: list[Series]) -> Sums:
    for each in series:
        for cause, count in each.leaf_errors.items():
            yield {**of_model(each.key), names.CAUSE: cause}, count


def _retries(series: list[Series]) -> Sums:
    for each in series:
        for status, count in each.retries.items():
            yield {**of_model(each.key), names.RETRY_STATUS: status}, count


def _rate_limits(limits: RateLimits) -> Sums:
    for provider, model, kind, left in limits.now():
        yield {**place(provider, model), names.RATE_LIMIT_KIND: kind}, left


def _headroom(limits: RateLimits) -> Sums:
    for provider, model, kind, part in limits.headroom():
        yield {**place(provider, model), names.RATE_LIMIT_KIND: kind}, part


def _lookups(series: list[Series]) -> Sums:
    for each in series:
        for store, cache in each.caches.items():
            about = {names.CACHE_STORE: store, **dict(each.key.attribution)}
            yield {**about, names.CACHE_OUTCOME: "hit"}, cache.hits
            yield {**about, names.CACHE_OUTCOME: "miss"}, cache.misses


def _saved_money(series: list[Series]) -> Sums:
    for each in series:
        for store, cache in each.caches.items():
            if cache.saved_picodollars:
                yield {**of_model(each.key), names.CACHE_STORE: store}, cache.saved_picodollars / PICODOLLARS


def _saved_tokens(series: list[Series]) -> Sums:
    for each in series:
        for store, cache in each.caches.items():
            yield {**of_model(each.key), names.CACHE_STORE: store}, cache.saved_tokens


def _pending(pending: PendingInputs) -> Sums:
    for (provider, model), inputs in pending.now().items():
        yield place(provider, model), inputs


def _dropped() -> Sums:
    return (({names.DROPPED_WHAT: what}, count) for what, count in dict(guard.dropped).items())
