"""Who hears of alerts in this process: ``on_alert``, and what it is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

_WORDS = {"s": "s", "{USD}": "USD", "{input}": "inputs", "{request}": "requests", "{retry}": "retries a call"}
_WORDS |= {"{token}/s": "tokens/s", "{input}/min": "texts/min", "{failure}": "failures", "{problem}": "problems"}


@dataclass(frozen=True)
class Alert:
    """A measurement that is bad, or is not any more: a threshold's, for one model, cache or device."""

    name: str
    """Of the threshold: ``latency_p95``."""
    severity: str
    """``info``, ``warning`` or ``critical``."""
    measured: float | None
    """In ``unit``; None where an alert is over because there is nothing to measure any more."""
    limit: float
    """The measurement is bad beyond this."""
    above: bool
    """True where it is bad above the limit, False where it is bad below."""
    unit: str
    """As OpenTelemetry writes units: ``s``, ``1`` for a share, ``{USD}``."""
    since: datetime
    """When it became bad."""
    resolved: bool
    """False when the alert fires, True when it is over."""
    provider: str | None = None
    model: str | None = None
    subject: str | None = None
    """What else it is about: the cache's store, the GPU's id, the budget, what failed, what is wrong with vectors."""

    @property
    def text(self) -> str:
        """One sentence: ``latency_p95 of openai text-embedding-3-small is 0.812 s, above 0.5 s.``"""
        about = " ".join(part for part in (self.provider, self.model, self.subject) if part)
        what = f"{self.name} of {about}" if about else self.name
        limit = self._shown(self.limit)
        if not self.resolved:
            return f"{what} is {self._shown(self.measured)}, {'above' if self.above else 'below'} {limit}."
        now = "is not measured any more" if self.measured is None else f"is {self._shown(self.measured)} again"
        return f"{what} {now}; the limit is {limit}."

    def _shown(self, value: float | None) -> str:
        if value is None:
            return "unknown"
        if self.unit == "1":
            return f"{_digits(100 * value, 3)} %"
        return f"{_digits(value, 4)} {_WORDS.get(self.unit, self.unit)}"


def _digits(value: float, many: int) -> str:
    """As many as matter, and never a power of ten: ``12,346``, ``0.812``, ``0.00000048``."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    said = f"{value:.{many}g}"
    return f"{value:.12f}".rstrip("0").rstrip(".") if "e" in said else said


Heard = Callable[[Alert], object]
Listener = TypeVar("Listener", bound=Heard)
listeners: list[Heard] = []
awaited: list[Callable[[], None]] = []
"""What is to be done when the first listener comes."""


def on_alert(listener: Listener) -> Listener:
    """Call the function with each ``Alert``, when it fires and when it is over; also a decorator.

    It is called on a thread of otel_embed's own, and at the end of the process on the one that ends it. What it
    raises is logged. Unless ``OTEL_EMBED_ALERTS=off``, the first one switches alerts on.
    """
    if listener not in listeners:
        listeners.append(listener)
    for begin in list(awaited):
        begin()
    return listener
