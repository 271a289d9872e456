"""Alerts as rules of Prometheus, and an Alertmanager that sends them on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from otel_embed.backends.alerting import Alert, Format
from otel_embed.backends.naming import label
from otel_embed.backends.promql import duration
from otel_embed.backends.yaml import dump

SHOWN: Final[dict[Format, str]] = {
    "seconds": "humanizeDuration",
    "share": "humanizePercentage",
    "dollars": 'printf "%.2f USD"',
    "number": "humanize",
    "ratio": 'printf "%.2f"',
}


def rules(alerts: Sequence[Alert]) -> str:
    """A file for ``rule_files``."""
    group = {"name": "otel-embed", "interval": "1m", "rules": [_rule(alert) for alert in alerts]}
    return dump(
        {"groups": [group]},
        "Alerts for embedding pipelines, written by: otel-embed rules prometheus",
        "They hold for services and for jobs that run once, scraped or pushed over OTLP. docs/alerts.md explains them.",
    )


def _rule(alert: Alert) -> dict[str, Any]:
    rule: dict[str, Any] = {"alert": alert.name, "expr": _expression(alert)}
    if alert.threshold.hold:
        rule["for"] = duration(alert.threshold.hold)
    value = f"{{{{ $value | {SHOWN[alert.format]} }}}}"
    return {
        **rule,
        "labels": {"severity": alert.severity, "threshold": alert.threshold.name},
        "annotations": {
            "summary": f"{where(alert, '{{{{ $labels.{0} }}}}')}: {alert.summary.format(value=value)}",
            "description": alert.meaning,
        },
    }


def _expression(alert: Alert) -> str:
    compared = f"{alert.value}\n{alert.operator} {alert.limit:.12g}"
    return f"{compared}\n{alert.guard}" if alert.guard else compared


def where(alert: Alert, form: str) -> str:
    """What it is about, as a template; ``form`` says how a label is written there."""
    return " ".join(form.format(label(name)) for name in alert.by)


def alertmanager(alerts: Iterable[Alert]) -> str:
    """An example: one webhook, and each alert again after its own cooldown."""
    by_cooldown: dict[float, list[str]] = {}
    for alert in alerts:
        by_cooldown.setdefault(alert.threshold.cooldown, []).append(alert.name)
    routes = [
        {"matchers": ['alertname=~"' + "|".join(found) + '"'], "repeat_interval": duration(seconds)}
        for seconds, found in sorted(by_cooldown.items())
    ]
    quieter = [
        {
            "source_matchers": ['alertname="EmbeddingBudgetExceeded"'],
            "target_matchers": ['alertname=~"EmbeddingBudgetBurns.*"'],
            "equal": ["job"],
        }
    ]
    webhook = {"url": "http://127.0.0.1:9099/", "send_resolved": True}
    return dump(
        {
            "route": {
                "receiver": "webhook",
                "group_by": ["alertname", "job"],
                "group_wait": "30s",
                "group_interval": "5m",
                "routes": routes,
            },
            "inhibit_rules": quieter,
            "receivers": [{"name": "webhook", "webhook_configs": [webhook]}],
        },
        "An Alertmanager for the alerts of otel-embed, written by: otel-embed rules alertmanager",
        "Put your own receiver in place of the webhook: Slack, PagerDuty, mail, …",
    )
