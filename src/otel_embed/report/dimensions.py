"""What the points of a metric are told apart by."""

from __future__ import annotations

from collections.abc import Iterable

from otel_embed.report import names
from otel_embed.report.instruments import Attributes, place
from otel_embed.report.totals import Key

Sums = Iterable[tuple[Attributes, float]]


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


def of_model(key: Key) -> Attributes:
    return place(key.provider, key.model)
