"""What the points of a metric are told apart by."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from opentelemetry.metrics import Histogram, Meter
from opentelemetry.util.types import AttributeValue

from otel_embed.report import names
from otel_embed.report.names import Instrument
from otel_embed.report.totals import Key

Attributes = dict[str, AttributeValue]
Sums = Iterable[tuple[Attributes, float]]


class Observers(Protocol):
    """Takes in what has sums of its own: an instrument, and what reads its points when somebody looks."""

    def counter(self, instrument: Instrument, read: Callable[[Any], Sums]) -> None: ...

    def gauge(self, instrument: Instrument, read: Callable[[Any], Sums]) -> None: ...


def histogram(meter: Meter, instrument: Instrument) -> Histogram:
    return meter.create_histogram(
        instrument.name, instrument.unit, instrument.description, explicit_bucket_boundaries_advisory=instrument.buckets
    )


def semconv(key: Key, operation: str = names.EMBEDDINGS) -> Attributes:
    """The attributes that the convention has on the metrics of a provider's call."""
    found: Attributes = {names.OPERATION: operation, names.PROVIDER: key.provider}
    if key.request_model is not None:
        found[names.REQUEST_MODEL] = key.request_model
    if key.response_model is not None:
        found[names.RESPONSE_MODEL] = key.response_model
    if key.address is not None and key.port is not None:
        found[names.ADDRESS], found[names.PORT] = key.address, key.port
    return found


def billed(key: Key, operation: str = names.EMBEDDINGS) -> Attributes:
    """The same, and for whom the call was made."""
    found = semconv(key, operation)
    found.update(key.attribution)
    return found


def of_model(key: Key) -> Attributes:
    """Provider, model, and for whom."""
    found = place(key.provider, key.model)
    found.update(key.attribution)
    return found


def place(provider: str, model: str | None) -> Attributes:
    return {names.PROVIDER: provider} if model is None else {names.PROVIDER: provider, names.REQUEST_MODEL: model}
