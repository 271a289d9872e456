"""Writes the table of metrics into docs/telemetry.md: ``python docs/telemetry.py``. A test tells when it is old."""

from __future__ import annotations

from pathlib import Path

from otel_embed.backends.naming import series
from otel_embed.backends.signals import SIGNALS, Signal

PAGE = Path(__file__).with_name("telemetry.md")
BEGIN, END = "<!-- metrics: written by docs/telemetry.py -->\n", "<!-- end of metrics -->\n"
KINDS = {"updown": "up-down counter"}


def row(signal: Signal) -> str:
    part = "count" if signal.kind == "histogram" else ""
    attributes = ", ".join(f"`{name}`" for name in signal.attributes)
    kind = f"{KINDS.get(signal.kind, signal.kind)}, {signal.instrument.unit}"
    metric = f"`{signal.name}`<br>`{series(signal, part)}`"
    return f"| {metric} | {kind} | {signal.instrument.description} | {attributes} |\n"


def table() -> str:
    head = "| metric, and a series of it when Prometheus scrapes it | kind, unit | | attributes |\n|---|---|---|---|\n"
    return head + "".join(map(row, SIGNALS))


def written(page: str) -> str:
    """The page with the table of today."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + table() + END + after


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
