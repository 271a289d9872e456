"""Findings for people and for machines."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import Any, TextIO

from rich.text import Text

from otel_embed import __version__
from otel_embed.cli.checks.findings import Finding, Section, Status
from otel_embed.cli.terminal import console, printable, put
from otel_embed.cli.text_layout import fit
from otel_embed.cli.units import plural

SCHEMA = 1
WIDEST, NARROWEST = 100, 60
_MARKS: dict[Status, tuple[str, str]] = {
    "ok": ("✓", "green"),
    "note": ("·", "dim"),
    "warning": ("~", "yellow"),
    "problem": ("✗", "red"),
}


def write(sections: Sequence[Section], stream: TextIO) -> None:
    """Print a checklist to ``stream`` in what it can show: colours where it is a terminal, Unicode where it is UTF."""
    printer = console(stream)
    width = max(NARROWEST, min(printer.width, WIDEST)) - 1
    put(Text("\n").join(_lines(sections, width)), stream, printer)


def _lines(sections: Sequence[Section], width: int) -> Iterator[Text]:
    python = f"{__version__} · Python {sys.version.split()[0]} · {sys.executable}"
    yield Text()
    yield Text.assemble(" ", ("otel-embed doctor", "bold"), "  ", fit(python, width - 20))
    for section in sections:
        yield Text()
        yield Text(f" {section.title}", style="bold")
        for finding in section.findings:
            yield from _finding(finding, width)
    yield Text()
    yield Text(f" {_verdict(sections)}", style="bold")


def _finding(finding: Finding, width: int) -> Iterator[Text]:
    mark, colour = _MARKS[finding.status]
    for number, line in enumerate(wrap(printable(finding.said), width - 5, break_on_hyphens=False) or [""]):
        yield Text.assemble("  ", (mark if number == 0 else " ", colour), " ", line)
    for number, line in enumerate(wrap(printable(finding.advice or ""), width - 7, break_on_hyphens=False)):
        yield Text.assemble("    ", ("→ " if number == 0 else "  ", "dim"), line)


def counts(sections: Sequence[Section]) -> Counter[Status]:
    return Counter(finding.status for section in sections for finding in section.findings)


def _verdict(sections: Sequence[Section]) -> str:
    number = counts(sections)
    if not number["problem"]:
        warnings = f", {plural(number['warning'], 'warning')}" if number["warning"] else ""
        return f"Nothing keeps telemetry from arriving{warnings}."
    return f"{plural(number['problem'], 'problem')}, {plural(number['warning'], 'warning')}."


def to_dict(sections: Sequence[Section]) -> dict[str, Any]:
    """The same as data. ``ok`` is false where the exit code is 1."""
    number = counts(sections)
    return {
        "schema": SCHEMA,
        "version": __version__,
        "python": {"executable": sys.executable, "version": sys.version.split()[0]},
        "ok": not number["problem"],
        "problems": number["problem"],
        "warnings": number["warning"],
        "sections": [
            {"title": section.title, "findings": [_as_dict(finding) for finding in section.findings]}
            for section in sections
        ],
    }


def _as_dict(finding: Finding) -> dict[str, Any]:
    return {"status": finding.status, "said": finding.said, "advice": finding.advice, "facts": dict(finding.facts)}
