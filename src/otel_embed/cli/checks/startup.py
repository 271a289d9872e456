"""The child that switches OpenTelemetry on as ``opentelemetry-instrument`` would, and says what came of it."""

from __future__ import annotations

import logging
from importlib import import_module
from typing import Any

from otel_embed.cli.checks.children import answer, claim_output


class _Complaints(logging.Handler):
    """Errors of OpenTelemetry, and of ours, while it starts. They are shown nowhere else, or scroll by."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        said = record.getMessage()
        self.found.append(said if error is None else f"{said}: {type(error).__qualname__}: {error}")


def start() -> dict[str, Any]:
    complaints = _Complaints()
    logging.getLogger().addHandler(complaints)
    import_module("opentelemetry.instrumentation.auto_instrumentation.sitecustomize")  # it starts when it is imported
    from otel_embed.instrumentor import EmbeddingInstrumentor

    on = bool(EmbeddingInstrumentor().is_instrumented_by_opentelemetry)
    return {"on": on, "complaints": complaints.found}


if __name__ == "__main__":
    answer(claim_output(), start())
