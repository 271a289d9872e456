"""Alerts as Datadog monitors. There, ``job`` is the service, and a metric keeps its dots."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

from otel_embed.backends import signals
from otel_embed.backends.alerting import Alert, Format
from otel_embed.backends.datadog import count, filtered, gained, tag
from otel_embed.backends.signals import Signal
from otel_embed.quality.checks import UNUSABLE
from otel_embed.report import names

_WINDOWS: Final = ((60, "1m"), (300, "5m"), (600, "10m"), (900, "15m"), (1800, "30m"), (3600, "1h"), (7200, "2h"),
                   (14400, "4h"), (86400, "1d"), (172800, "2d"), (604800, "1w"))  # fmt: skip
"""Those that a monitor of metrics can look at."""
_EMBEDDINGS: Final = f"!{names.OPERATION}:*"
_CHAT: Final = f"{names.OPERATION}:*"
_BROKEN: Final = " OR ".join(f"{names.PROBLEM}:{problem}" for problem in UNUSABLE)
_MINUTES: Final = "<minutes>"
_STALE: Final = "stale_telemetry"
"""Datadog itself can tell when data is missing: nothing else is to fire."""
_SHOWN: Final[dict[Format, str]] = {
    "seconds": "{{value}} s",
    "share": "{{value}} (of 1)",
    "dollars": "{{value}} USD",
    "number": "{{value}}",
    "ratio": "{{value}}",
}


def monitors(alerts: Sequence[Alert]) -> str:
    """A JSON list: each is the body of a request that creates a monitor."""
    return json.dumps([_monitor(alert) for alert in alerts], indent=2) + "\n"


def _monitor(alert: Alert) -> dict[str, Any]:
    limit = float(f"{_limit(alert):.12g}")
    return {
        "name": f"{alert.name}: {alert.summary.format(value='…')}",
        "type": "query alert",
        "query": f"{_query(alert)} {'<' if _is_stale(alert) else alert.operator} {limit:.12g}",
        "message": _message(alert),
        "tags": ["source:otel-embed", f"severity:{alert.severity}", f"threshold:{alert.threshold.name}"],
        "priority": {"critical": 2, "warning": 3, "info": 4}[alert.severity],
        "options": {
            "thresholds": {"critical": limit},
            "renotify_interval": max(10, round(alert.threshold.cooldown / 60)),
            "include_tags": True,
            "require_full_window": False,
            **_missing(alert),
        },
    }


def _message(alert: Alert) -> str:
    about = " ".join("{{" + tag(name) + ".name}}" for name in _tags(alert))
    return f"{about}: {alert.summary.format(value=_SHOWN[alert.format])}. {alert.meaning}"


def _missing(alert: Alert) -> dict[str, Any]:
    if not _is_stale(alert):
        return {"notify_no_data": False}
    return {"notify_no_data": True, "no_data_timeframe": round(2 * alert.threshold.value / 60)}


def _is_stale(alert: Alert) -> bool:
    return alert.threshold.name == _STALE


def _window(alert: Alert) -> tuple[int, str]:
    """The one that is nearest to the alert's; for money, whose limit goes with the window, not a longer one."""
    seconds = alert.threshold.value if _is_stale(alert) else alert.window
    if alert.signals == (signals.COST,):
        return max((window for window in _WINDOWS if window[0] <= seconds), default=_WINDOWS[0])
    return next((window for window in _WINDOWS if window[0] >= seconds), _WINDOWS[-1])


def _limit(alert: Alert) -> float:
    if _is_stale(alert):
        return 0.0
    return alert.limit * _window(alert)[0] / alert.window if alert.signals == (signals.COST,) else alert.limit


def _tags(alert: Alert) -> tuple[str, ...]:
    return alert.by


def _query(alert: Alert) -> str:
    size, text = _window(alert)
    kind, ask = _QUERIES[alert.threshold.name]
    asked = ask(alert, _tags(alert))
    return f"{kind}(last_{text}):{asked.replace(_MINUTES, f'{size / 60:g}')}"


_Ask = Callable[[Alert, Sequence[str]], str]


def _quantile(q: int) -> tuple[str, _Ask]:
    return "percentile", lambda alert, by: f"p{q}:{filtered(alert.signals[0], by)}"


def _hits(which: str) -> tuple[str, _Ask]:
    hit = f"{names.CACHE_OUTCOME}:hit"
    return "sum", lambda _, by: (
        f"{gained(signals.LOOKUPS, by, which, hit)} / {gained(signals.LOOKUPS, by, which)}"
    )


def _share(some: str, all: str) -> str:
    """Where there is none of it any more, a monitor would stay as it was."""
    return f"default_zero({some}) / {all}"


def _gauge(of: str, over: str, signal: Signal, *filters: str) -> tuple[str, _Ask]:
    return over, lambda _, by: f"{of}:{filtered(signal, by, *filters)}"


def _sum(signal: Signal) -> tuple[str, _Ask]:
    return "sum", lambda _, by: gained(signal, by)


_QUERIES: Final[dict[str, tuple[str, _Ask]]] = {
    "latency_p95": _quantile(95),
    "local_latency_p95": _quantile(95),
    "error_rate": (
        "sum", lambda _, by: _share(count(signals.DURATION, by, f"{names.ERROR_TYPE}:*"), count(signals.DURATION, by))
    ),
    "retry_rate": ("sum", lambda _, by: _share(gained(signals.RETRIES, by), count(signals.DURATION, by))),
    "rate_limit_requests": _gauge("min", "max", signals.RATE_LIMIT, f"{names.RATE_LIMIT_KIND}:requests"),
    "rate_limit_headroom": _gauge("min", "max", signals.HEADROOM),
    "throughput": ("sum", lambda _, by: f"{gained(signals.INPUTS, by)} / {_MINUTES}"),
    "queue_depth": _gauge("sum", "avg", signals.PENDING),
    "cache_hit_rate": _hits(_EMBEDDINGS),
    "daily_cost": _sum(signals.COST),
    "budget_spent": (
        "max", lambda _, by: f"max:{filtered(signals.BUDGET_SPENT, by)} / max:{filtered(signals.BUDGET_LIMIT, by)}"
    ),
    "time_to_first_token": _quantile(50),
    "output_rate": _quantile(50),
    "answer_cache_hit_rate": _hits(_CHAT),
    "model_load": _gauge("avg", "avg", signals.LOAD),
    "gpu_idle": _gauge("max", "avg", signals.GPU_BUSY),
    "gpu_saturated": _gauge("max", "avg", signals.GPU_BUSY),
    "broken_vectors": ("sum", lambda _, by: gained(signals.PROBLEMS, by, _BROKEN)),
    _STALE: _sum(signals.INPUTS),
    "own_failures": _sum(signals.DROPPED),
}  # fmt: skip
