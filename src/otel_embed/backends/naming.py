"""What Prometheus calls a metric and its labels.

Two rules are in use: the Python exporter's, for what is scraped (opentelemetry-exporter-prometheus 0.66b2), and the
one of Prometheus' OTLP receiver and of the collector, for what is pushed (prometheus/otlptranslator, translation
strategy UnderscoreEscapingWithSuffixes). They differ in gauges of unit 1, to which the second adds ``_ratio``.
"""

from __future__ import annotations

import re
from typing import Final, Literal

from otel_embed.backends.signals import Signal

Rule = Literal["scraped", "pushed"]
Part = Literal["", "bucket", "sum", "count"]
"""Of a histogram; the other kinds have the one part that has no name."""

_UNITS: Final = {"s": "seconds", "By": "bytes", "1": ""}
_PER: Final = {"s": "second"}


def label(attribute: str) -> str:
    """The label of an attribute; a variable of a dashboard stays as it is."""
    return re.sub(r"[^\w$]", "_", attribute)


def series(signal: Signal, part: Part = "", rule: Rule = "scraped") -> str:
    """The name of one of the series that a metric becomes."""
    name, unit = label(signal.name), _unit(signal.instrument.unit)
    if rule == "pushed" and signal.kind == "gauge" and signal.instrument.unit == "1":
        unit = "ratio"
    if unit and not name.endswith(f"_{unit}"):
        name = f"{name}_{unit}"
    if signal.kind == "counter":
        name = f"{name}_total"
    return f"{name}_{part}" if part else name


def _unit(unit: str) -> str:
    counted, _, per = unit.partition("/")
    plain = "" if counted.startswith("{") else _UNITS[counted]
    return "_".join(filter(None, (plain, per and f"per_{_PER[per]}")))
