"""See what an embedding pipeline costs and where its time goes, with OpenTelemetry.

``opentelemetry-instrument python app.py`` needs none of this. In code: ``instrument()`` switches
otel_embed on, ``track()`` adds up a block, ``attribute()`` says for whom a block is, ``stage()`` names a
stage of your own, ``summary()`` tells what this process did so far, ``flush()`` has it exported now,
``on_alert()`` has a function called when something is bad.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = [
    "Alert",
    "BudgetExceeded",
    "__version__",
    "attribute",
    "flush",
    "instrument",
    "on_alert",
    "stage",
    "summary",
    "track",
    "uninstrument",
]

if TYPE_CHECKING:
    from otel_embed.alert import Alert, on_alert
    from otel_embed.exceeded import BudgetExceeded
    from otel_embed.report.attribution import attribute
    from otel_embed.report.summary import Summary
    from otel_embed.report.track import track
    from otel_embed.stages import stage


def instrument(**options: Any) -> None:
    """Observe every embedding library that is or will be imported in this process.

    ``options``: ``tracer_provider`` and ``meter_provider`` (OpenTelemetry's global ones by default) and
    any field of ``otel_embed.config.Config``, which wins over its environment variable. An unknown
    option raises ``TypeError``; a value that is not allowed gives a warning, and is not used. Where otel_embed is on
    already, as under ``opentelemetry-instrument``, nothing changes; there is a warning if there were options.
    """
    from otel_embed.instrumentor import EmbeddingInstrumentor

    instrumentor = EmbeddingInstrumentor()
    if options or not instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.instrument(**options)


def uninstrument() -> None:
    """Put every wrapped function back as it was. What was counted stays in ``summary()``."""
    from otel_embed.instrumentor import EmbeddingInstrumentor

    EmbeddingInstrumentor().uninstrument()


def flush(timeout: float = 10.0) -> None:
    """Have everything exported and written that is finished, within ``timeout`` seconds for spans and for metrics.

    For workers that are killed rather than ended, as those of Ray and Spark are: call it at the end of each task.
    What the SDK's exporters do on their own schedule, and what ``otel-embed run`` reads, is complete when it returns.
    Raises nothing; does nothing where otel_embed is not on and no SDK is set up.
    """
    from otel_embed.instrumentor import EmbeddingInstrumentor

    EmbeddingInstrumentor().flush(timeout)


def summary() -> Summary:
    """What this process did since ``instrument()``; raises ``RuntimeError`` before it."""
    from otel_embed.instrumentor import EmbeddingInstrumentor
    from otel_embed.report.summary import summarize

    recorder = EmbeddingInstrumentor().recorder
    if recorder is None:
        raise RuntimeError("otel_embed is not on: call otel_embed.instrument() first, or run opentelemetry-instrument")
    return summarize(recorder)


def __getattr__(name: str) -> Any:
    """``track``, ``stage`` and others on first use: importing otel_embed alone imports nothing else."""
    if name == "track":
        from otel_embed.report.track import track

        return track
    if name == "stage":
        from otel_embed.stages import stage

        return stage
    if name == "BudgetExceeded":
        from otel_embed.exceeded import BudgetExceeded

        return BudgetExceeded
    if name == "attribute":
        from otel_embed.report.attribution import attribute

        return attribute
    if name in ("Alert", "on_alert"):
        from otel_embed import alert

        return getattr(alert, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
