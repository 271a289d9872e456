"""A comparison as data. Times in seconds, rates as fractions of one, changes as fractions or, of rates, differences."""

from __future__ import annotations

from typing import Any

from otel_embed import __version__
from otel_embed.cli.comparison import Comparison, Group, Measure
from otel_embed.cli.intervals import CONFIDENCE, Estimate

SCHEMA = 1


def to_dict(comparison: Comparison, exit_code: int) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "version": __version__,
        "before": comparison.names[0],
        "after": comparison.names[1],
        "verdict": comparison.verdict,
        "exit_code": exit_code,
        "confidence": CONFIDENCE,
        "limits": comparison.limits._asdict(),
        "notes": list(comparison.notes),
        "groups": [_group(group) for group in comparison.groups],
    }


def _group(group: Group) -> dict[str, Any]:
    return {
        "name": group.name,
        "calls": {"before": group.calls[0], "after": group.calls[1]},
        "measures": [_measure(measure) for measure in group.measures],
        "stages": [stage._asdict() for stage in group.stages],
    }


def _measure(measure: Measure) -> dict[str, Any]:
    return {
        "name": measure.name,
        "unit": measure.unit,
        "before": _estimate(measure.before),
        "after": _estimate(measure.after),
        "change": measure.change,
        "interval": list(measure.interval) if measure.interval else None,
        "limit": measure.limit,
        "verdict": measure.verdict,
    }


def _estimate(estimate: Estimate | None) -> dict[str, Any] | None:
    if estimate is None:
        return None
    interval = list(estimate.interval) if estimate.interval else None
    return {"value": estimate.value, "interval": interval, "samples": estimate.samples}
