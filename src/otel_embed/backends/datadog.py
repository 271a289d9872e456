"""Queries in Datadog's language. A metric and its attributes keep their dots; Prometheus' job is the service there."""

from __future__ import annotations

from collections.abc import Sequence

from otel_embed.backends.signals import Signal


def tag(attribute: str) -> str:
    return "service" if attribute == "job" else attribute


def filtered(signal: Signal, by: Sequence[str] = (), *filters: str) -> str:
    """A metric with its filters and what it is told apart by; what aggregates it goes in front."""
    grouped = f" by {{{','.join(map(tag, by))}}}" if by else ""
    return f"{signal.name}{{{','.join(filters) or '*'}}}{grouped}"


def gained(signal: Signal, by: Sequence[str] = (), *filters: str) -> str:
    """What a counter grew by."""
    return f"sum:{filtered(signal, by, *filters)}.as_count()"


def count(signal: Signal, by: Sequence[str] = (), *filters: str) -> str:
    """How often a histogram recorded."""
    return f"count:{filtered(signal, by, *filters)}.as_count()"
