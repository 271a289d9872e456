"""When a measurement is bad: one file for the generated alerts, the marks in the report, and whoever evaluates it."""

from __future__ import annotations

import os
import pkgutil
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache
from typing import Any, Final, Literal, get_args

from otel_embed.environment_variables import OTEL_EMBED_THRESHOLDS
from otel_embed.pricing.documents import Refused, parsed, quoted, read_document
from otel_embed.report import names

Comparison = Literal["above", "below"]
Severity = Literal["info", "warning", "critical"]
Standing = Literal["good", "fair", "bad"]

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION: Final = re.compile(r"(\d{1,6})([smhd])")
_LONGEST_DAYS: Final = 365
"""Other systems refuse what is much longer."""
_KEYS: Final = ("good", "window", "for", "cooldown", "at_least", "severity", "alert")
METRICS: Final = {
    "latency_p95": names.DURATION.name,
    "local_latency_p95": names.LOCAL_DURATION.name,
    "error_rate": names.DURATION.name,
    "retry_rate": names.RETRIES.name,
    "rate_limit_requests": names.RATE_LIMIT.name,
    "rate_limit_headroom": names.HEADROOM.name,
    "throughput": names.INPUTS.name,
    "queue_depth": names.PENDING.name,
    "cache_hit_rate": names.LOOKUPS.name,
    "daily_cost": names.SPEND.name,
    "budget_spent": names.BUDGET_SPENT.name,
    "time_to_first_token": names.TIME_TO_FIRST.name,
    "output_rate": names.OUTPUT_RATE.name,
    "answer_cache_hit_rate": names.LOOKUPS.name,
    "model_load": names.LOAD_DURATION.name,
    "gpu_idle": names.GPU_UTILIZATION.name,
    "gpu_saturated": names.GPU_UTILIZATION.name,
    "broken_vectors": names.FOUND_PROBLEMS.name,
    "stale_telemetry": names.INPUTS.name,
    "own_failures": names.DROPPED.name,
}
"""The metric that each threshold is about."""
RATIOS: Final = frozenset(
    {"error_rate", "rate_limit_headroom", "cache_hit_rate", "answer_cache_hit_rate", "gpu_idle", "gpu_saturated"}
)
"""Shares of a whole: their limits are from 0 to 1."""
_LARGEST: Final = Decimal(10**12)


@dataclass(frozen=True)
class Threshold:
    """One measurement and its limit. Times are in seconds."""

    name: str
    metric: str
    comparison: Comparison
    value: float
    window: float
    hold: float
    """How long it must stay bad before an alert fires."""
    cooldown: float
    severity: Severity
    good: float | None = None
    """The report calls a value good only beyond this; None: on the good side of ``value``."""
    at_least: int = 0
    """With fewer calls in the window there is no verdict."""
    alert: bool = True

    def is_crossed(self, measured: float) -> bool:
        """True for a bad value; the limit itself is not bad."""
        return measured > self.value if self.comparison == "above" else measured < self.value

    def standing(self, measured: float) -> Standing:
        if self.is_crossed(measured):
            return "bad"
        if self.good is None:
            return "good"
        return "good" if (measured < self.good if self.comparison == "above" else measured > self.good) else "fair"

    @property
    def wanted(self) -> float:
        """What a good value is measured against."""
        return self.value if self.good is None else self.good


class Thresholds(Mapping[str, Threshold]):
    """All thresholds by name."""

    def __init__(self, rows: Mapping[str, Threshold]) -> None:
        self._rows = dict(rows)

    def __getitem__(self, name: str) -> Threshold:
        return self._rows[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    @classmethod
    def load(cls, path: str | None, warn: Callable[[str], None]) -> Thresholds:
        """The package's, and over them what the TOML file ``path`` says otherwise.

        What is wrong with the file is said in one call of ``warn``; all else in it is in force.
        """
        if path is None:
            return _defaults()
        try:
            document = read_document(os.path.expanduser(path))
        except (OSError, ValueError, RecursionError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            warn(f"{OTEL_EMBED_THRESHOLDS}: {path}: {reason}. The default thresholds are in force.")
            return _defaults()
        rows, problems = dict(_defaults()), []
        for name, section in document.items():
            try:
                rows[name], wrong = _changed(_known(name, rows), section)
            except Refused as error:
                wrong = [str(error)]
            problems += wrong
        if problems:
            more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
            said = "; ".join(problems[:5])
            warn(f"{OTEL_EMBED_THRESHOLDS}: {path}: {said}{more}. All else in it is in force.")
        return cls(rows)


@cache
def _defaults() -> Thresholds:
    document = parsed(pkgutil.get_data(__package__, "thresholds.toml") or b"")
    return Thresholds({name: _changed(_blank(name, section), section)[0] for name, section in document.items()})


def _blank(name: str, section: Mapping[str, Any]) -> Threshold:
    comparison: Comparison = "above" if "above" in section else "below"
    return Threshold(name, METRICS[name], comparison, 0.0, 0.0, 0.0, 0.0, "warning")


def _known(name: str, rows: Mapping[str, Threshold]) -> Threshold:
    if name not in rows:
        raise Refused(f"there is no threshold {quoted(name)}; there are {', '.join(rows)}")
    return rows[name]


def _changed(threshold: Threshold, section: Any) -> tuple[Threshold, list[str]]:
    """The threshold with what a section says, and what is wrong in the section."""
    if not isinstance(section, dict):
        raise Refused(f"{threshold.name} is {quoted(section)}, not a section [{threshold.name}]")
    problems = []
    for key, value in section.items():
        try:
            threshold = _with(threshold, key, value)
        except Refused as error:
            problems.append(f"{threshold.name}.{key} {error}")
    if threshold.good is not None and threshold.is_crossed(threshold.good):
        threshold = replace(threshold, good=None)  # the limit was moved past it
    return threshold, problems


def _with(threshold: Threshold, key: str, value: Any) -> Threshold:
    if key == threshold.comparison:
        return replace(threshold, value=_number(threshold, value))
    if key == "good":
        return replace(threshold, good=_number(threshold, value))
    if key == "window":
        return replace(threshold, window=_seconds(value, least=1))
    if key == "for":
        return replace(threshold, hold=_seconds(value))
    if key == "cooldown":
        return replace(threshold, cooldown=_seconds(value, least=1))
    if key == "at_least":
        if type(value) is not int or not 0 <= value <= 10**9:
            raise Refused(f"is {quoted(value)}; it must be a whole number, 0 or more")
        return replace(threshold, at_least=value)
    if key == "severity":
        if value not in get_args(Severity):
            raise Refused(f"is {quoted(value)}; it must be one of {', '.join(get_args(Severity))}")
        return replace(threshold, severity=value)
    if key == "alert":
        if type(value) is not bool:
            raise Refused(f"is {quoted(value)}; it must be true or false")
        return replace(threshold, alert=value)
    raise Refused(f"is unknown; the keys are {', '.join((threshold.comparison, *_KEYS))}")


def _number(threshold: Threshold, value: Any) -> float:
    largest = Decimal(1) if threshold.name in RATIOS else _LARGEST
    if not isinstance(value, bool) and isinstance(value, (int, Decimal)):
        number = Decimal(value)
        if number.is_finite() and 0 <= number <= largest:
            return float(number)
    allowed = "from 0 to 1" if largest == 1 else "0 or more"
    raise Refused(f"is {quoted(value)}; it must be a number, {allowed}")


def _seconds(value: Any, least: int = 0) -> float:
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    seconds = int(found[1]) * _SECONDS[found[2]] if found else -1
    if not least <= seconds <= _LONGEST_DAYS * _SECONDS["d"]:
        allowed = f'a time such as "30s", "5m", "1h" or "1d", from {least}s to {_LONGEST_DAYS}d'
        raise Refused(f"is {quoted(value)}; it must be {allowed}")
    return float(seconds)
