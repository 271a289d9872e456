"""Who hears of an alert and of its end: the log, the application's own functions, a webhook."""

from __future__ import annotations

import logging
from typing import Any

from otel_embed.alert import Alert, listeners
from otel_embed.late_logger import LateLogger
from otel_embed.report.budgets.webhook import Webhook

_logger = LateLogger("otel_embed.alerts")
_TOLD_BY_THE_BUDGET = "budget_spent"


def tell(alert: Alert, webhook: Webhook | None) -> None:
    """Tell all of them; what the application's functions raise reaches nobody but the log."""
    if alert.name != _TOLD_BY_THE_BUDGET:  # the log and the webhook hear of it from the budget itself
        _logger.log(logging.INFO if alert.resolved else logging.WARNING, "%s", alert.text)
        if webhook is not None:
            webhook.send(payload(alert))
    for listener in list(listeners):
        try:
            listener(alert)
        except Exception:
            _logger.warning("A function that was given to otel_embed.on_alert failed.", exc_info=True)


def payload(alert: Alert) -> dict[str, Any]:
    """What a webhook gets: ``text``, which is all that Slack's reads, and the same as data."""
    return {
        "text": f"otel-embed: {alert.text}",
        "alert": alert.name,
        "state": "resolved" if alert.resolved else "firing",
        "severity": alert.severity,
        "measured": alert.measured,
        "limit": alert.limit,
        "unit": alert.unit,
        "since": alert.since.isoformat(timespec="seconds"),
        "provider": alert.provider,
        "model": alert.model,
        "subject": alert.subject,
    }
