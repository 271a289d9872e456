"""Histograms as they are declared, and the attributes that say whose and which model's a number is."""

from __future__ import annotations

from opentelemetry.metrics import Histogram, Meter
from opentelemetry.util.types import AttributeValue

from otel_embed.report import names
from otel_embed.report.names import Instrument

Attributes = dict[str, AttributeValue]


def histogram(meter: Meter, instrument: Instrument) -> Histogram:
    return meter.create_histogram(
        instrument.name, instrument.unit, instrument.description, explicit_bucket_boundaries_advisory=instrument.buckets
    )


def place(provider: str, model: str | None) -> Attributes:
    return {names.PROVIDER: provider} if model is None else {names.PROVIDER: provider, names.REQUEST_MODEL: model}
