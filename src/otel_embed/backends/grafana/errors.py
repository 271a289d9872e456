"""What fails, what is tried again, and how near rate limits are."""

from __future__ import annotations

from otel_embed.backends import signals
from otel_embed.backends.grafana.panels import PROM, Board, Panel, graph, stat
from otel_embed.backends.grafana.queries import (
    EMBEDDINGS,
    ERROR,
    FAILED,
    MODEL,
    NO_CHAT,
    now,
    rate,
    share,
    share_now,
    total,
)
from otel_embed.backends.promql import matcher
from otel_embed.report import names
from otel_embed.thresholds import Thresholds


def board(thresholds: Thresholds) -> Board:
    duration, errors, retries, left = signals.DURATION, signals.ERRORS, signals.RETRIES, signals.RATE_LIMIT
    backoff = matcher(names.STAGE, "=", "backoff")
    limit = thresholds["error_rate"]
    panels = [
        stat("Failed", "percentunit", share(duration, FAILED, part="count"), "Of the calls, after all retries.",
             duration, limit=limit, traces=ERROR),
        stat("Errors", "short", f"{total(errors, NO_CHAT)} or vector(0)", "Failed embedding calls.", errors,
             traces=ERROR),
        stat("Retries", "short", f"{total(retries)} or vector(0)", "Attempts made again.", retries),
        stat("Lost to backoff", "s", f"{total(signals.STAGES, EMBEDDINGS, backoff)} or vector(0)",
             "Asleep between attempts.", signals.STAGES),
        stat("Left of limits", "percentunit", PROM.now("min", signals.HEADROOM, ()),
             "Of the rate limit that is nearest, as the provider last said.", signals.HEADROOM,
             limit=thresholds["rate_limit_headroom"]),
        stat("Our own failures", "short", f"{total(signals.DROPPED)} or vector(0)",
             "Of otel-embed: telemetry is missing, the application saw none of it.", signals.DROPPED),
        graph("Failed by model", "percentunit", share_now(duration, FAILED, by=MODEL, part="count"),
              "Of the calls, after all retries.", duration, limit=limit, traces=ERROR),
        graph("Errors a minute", "short", rate(errors, NO_CHAT, by=(names.CAUSE,), seconds=60), "By cause.", errors,
              stacked=True, traces=ERROR),
        graph("Retries a minute", "short", rate(retries, by=(*MODEL, names.RETRY_STATUS), seconds=60),
              "By what they answered to.", retries, stacked=True),
        graph("Left of rate limits", "short", now("min", left, by=(*MODEL, names.RATE_LIMIT_KIND)),
              "As the providers said with their last answers.", left),
        graph("Left of rate limits, as a part", "percentunit",
              now("min", signals.HEADROOM, by=(*MODEL, names.RATE_LIMIT_KIND)),
              "Where the provider says how much there is.", signals.HEADROOM, limit=thresholds["rate_limit_headroom"]),
        graph("Backoff, seconds a second", "short", rate(signals.STAGES, EMBEDDINGS, backoff, by=MODEL),
              "How many calls sleep at a time.", signals.STAGES),
        *_of_otel_embed(),
    ]  # fmt: skip
    return Board("errors", "Errors and retries", "What fails, what is tried again, how near rate limits are.", panels)


def _of_otel_embed() -> list[Panel]:
    """What goes wrong with otel-embed itself, and what it takes."""
    return [
        graph("Our own failures by step", "short", rate(signals.DROPPED, by=(names.DROPPED_WHAT,), seconds=60),
              "A minute, by what failed.", signals.DROPPED),
        graph("Spans lost", "short", rate(signals.LOST, by=(names.LOST_CAUSE,), seconds=60),
              "A minute, by cause: they reached no backend. What the metrics say is whole all the same.", signals.LOST),
        graph("Our own time, seconds a second", "short", rate(signals.OVERHEAD, by=(names.OVERHEAD_PART,)),
              "What otel-embed takes, in calls and after them.", signals.OVERHEAD),
        graph("Switched off by itself", "short", now("max", signals.FUSE, by=("job", "instance")),
              "1 where otel-embed took too long in a process, and measures nothing there any more.", signals.FUSE),
        graph("Alerts in processes", "short", now("sum", signals.ALERTS, by=("job", names.ALERT)),
              "How many processes have an alert that goes on, where they judge thresholds themselves.", signals.ALERTS),
    ]  # fmt: skip
