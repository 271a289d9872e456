"""An alert, whatever system it is for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from otel_embed.backends.promql import Language, labels, matcher
from otel_embed.backends.signals import Signal
from otel_embed.report import names
from otel_embed.thresholds import Severity, Threshold

Format = Literal["seconds", "share", "dollars", "number", "ratio"]
JOB: Final = "job"
"""What Prometheus calls the service."""
MODEL: Final = (JOB, names.PROVIDER, names.REQUEST_MODEL)
EMBEDDINGS: Final = matcher(names.OPERATION, "=", "")
CHAT: Final = matcher(names.OPERATION, "!=", "")
"""Of counters that both have: there, chat calls alone name their operation."""
PROM: Final = Language()


@dataclass(frozen=True, kw_only=True)
class Alert:
    name: str
    threshold: Threshold
    signals: tuple[Signal, ...]
    by: tuple[str, ...]
    """What it is told apart by: ``job``, and attributes."""
    value: str
    """What is measured."""
    guard: str = ""
    """What must hold as well, after the comparison: enough calls, say."""
    summary: str
    """``{value}`` stands for what was measured."""
    meaning: str
    """What it means, and what to look at."""
    format: Format
    limit: float
    window: float
    severity: Severity

    @property
    def operator(self) -> str:
        return ">" if self.threshold.comparison == "above" else "<"


def made(
    threshold: Threshold,
    name: str,
    *said: str,
    of: tuple[Signal, ...],
    by: tuple[str, ...],
    value: str,
    guard: str = "",
    format: Format = "number",
    limit: float | None = None,
    window: float | None = None,
    severity: Severity | None = None,
) -> Alert:
    return Alert(
        name=name, threshold=threshold, signals=of, by=by, value=value, guard=guard,
        summary=said[0], meaning=said[1], format=format,
        limit=threshold.value if limit is None else limit,
        window=threshold.window if window is None else window,
        severity=severity or threshold.severity,
    )  # fmt: skip


def enough(threshold: Threshold, by: tuple[str, ...], calls: str) -> str:
    return f"and on ({labels(by)}) {calls} >= {threshold.at_least}" if threshold.at_least else ""
