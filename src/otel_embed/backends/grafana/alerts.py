"""Alerts as a file for Grafana's provisioning (``provisioning/alerting/``)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from otel_embed.backends.alerting import Alert
from otel_embed.backends.prometheus import SHOWN, where
from otel_embed.backends.promql import duration
from otel_embed.backends.yaml import dump


def provisioning(alerts: Sequence[Alert], datasource: str) -> str:
    """``datasource`` is the UID of a Prometheus in that Grafana."""
    group = {
        "orgId": 1,
        "name": "otel-embed",
        "folder": "otel-embed",
        "interval": "1m",
        "rules": [_rule(alert, datasource) for alert in alerts],
    }
    return dump(
        {"apiVersion": 1, "groups": [group]},
        "Alerts for embedding pipelines, written by: otel-embed rules grafana",
        f"datasourceUid is the Prometheus they ask: {datasource}. Another one: --datasource UID.",
    )


def _rule(alert: Alert, datasource: str) -> dict[str, Any]:
    value = f"{{{{ $values.A.Value | {SHOWN[alert.format]} }}}}"
    return {
        "uid": "otel-embed-" + hashlib.sha256(alert.name.encode()).hexdigest()[:16],
        "title": alert.name,
        "condition": "B",
        "for": duration(alert.threshold.hold),
        "noDataState": "OK",
        "execErrState": "Error",
        "labels": {"severity": alert.severity, "threshold": alert.threshold.name},
        "annotations": {
            "summary": f"{where(alert, '{{{{ $labels.{0} }}}}')}: {alert.summary.format(value=value)}",
            "description": alert.meaning,
        },
        "data": [_asked(alert, datasource), _compared(alert)],
    }


def _asked(alert: Alert, datasource: str) -> dict[str, Any]:
    expression = f"({alert.value})\n{alert.guard}" if alert.guard else alert.value
    return {
        "refId": "A",
        "relativeTimeRange": {"from": 600, "to": 0},
        "datasourceUid": datasource,
        "model": {"refId": "A", "expr": expression, "instant": True, "range": False},
    }


def _compared(alert: Alert) -> dict[str, Any]:
    kind = "gt" if alert.operator == ">" else "lt"
    evaluator = {"type": kind, "params": [float(f"{alert.limit:.12g}")]}
    model = {"refId": "B", "type": "threshold", "expression": "A", "conditions": [{"evaluator": evaluator}]}
    return {
        "refId": "B",
        "relativeTimeRange": {"from": 0, "to": 0},
        "datasourceUid": "__expr__",
        "model": model,
    }
