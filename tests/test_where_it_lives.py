"""What docs/where-it-lives.md names exists, and its limits are those in force."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

import pytest

import otel_embed
from conftest import Telemetry
from documents import ROOT
from otel_embed import Alert, environment_variables
from otel_embed.backends.naming import series
from otel_embed.backends.signals import SIGNALS
from otel_embed.cli import COMMANDS
from otel_embed.record import STAGES
from otel_embed.report import names
from otel_embed.report.names import Instrument
from otel_embed.report.summary import Summary
from otel_embed.report.track import TrackedUsage
from otel_embed.thresholds import Thresholds

PAGE = (ROOT / "docs/where-it-lives.md").read_text(encoding="utf-8")
THRESHOLDS = Thresholds.load(None, pytest.fail)
VALUES = {"hit", "estimated", "block", "--live", "latency", "runs", "actual / (1 - hit rate)"}
"""Of attributes and settings; an option; keys of rows."""


def emitted() -> Iterator[str]:
    for value in (value for name, value in vars(names).items() if name.isupper()):
        if isinstance(value, Instrument):
            yield value.name
        elif isinstance(value, str):
            yield value
    yield from names.STAGE_DURATION.values()


def prometheus() -> Iterator[str]:
    for signal in SIGNALS:
        for part in ("",) if signal.kind != "histogram" else ("count",):
            yield from (series(signal, part, rule).removesuffix("_count") for rule in ("scraped", "pushed"))


KNOWN = {
    *emitted(), *prometheus(), *STAGES, *THRESHOLDS, *VALUES,
    *(name for name in vars(environment_variables) if name.startswith("OTEL_")),
    *(f"otel-embed {command}" for command in COMMANDS), "otel-embed run -- python app.py",
    *(f"otel_embed.{name}" for name in otel_embed.__all__), *(f"otel_embed.{name}()" for name in otel_embed.__all__),
    *(f"summary().{field.name}" for field in dataclasses.fields(Summary)),
    *(f"alert.{name}" for name in (*(field.name for field in dataclasses.fields(Alert)), "text")),
    *(f"usage.{name}" for name in (*vars(TrackedUsage()), "cost_usd", "seconds")),
}  # fmt: skip
ROWS = [row.split(" | ", 1) for row in re.findall(r"^\| (.+) \|$", PAGE, re.MULTILINE) if "you wrote" not in row]


@pytest.mark.parametrize("found", sorted({name for _, ours in ROWS for name in re.findall(r"`([^`]+)`", ours)}))
def test_what_it_names_exists(telemetry: Telemetry, found: str) -> None:
    key = re.fullmatch(r'summary\(\)\.document\["(\w+)"\]', found)
    assert found in KNOWN or (key and key[1] in otel_embed.summary().document)


def test_each_row_says_where() -> None:
    assert len(ROWS) > 50 and all(len(row) == 2 and all(row) for row in ROWS)
    classes = ("LatencyTracker", "DetailedLatencyTracker", "EmbeddingMetrics", "CostTracker", "BudgetMonitor",
               "CacheMetrics", "CacheSizeMonitor", "analyze_cache_effectiveness", "AlertSystem", "THRESHOLDS",
               "print_dashboard", "get_openai_callback")  # fmt: skip
    assert [name for name in classes if not any(name in yours for yours, _ in ROWS)] == []


def test_its_limits_are_those_in_force() -> None:
    stated = re.findall(r"`(\w+)`(?:: good (?:above|below) ([\d.]+), bad)? (above|below) ([\d.]+)", PAGE)
    assert len(stated) == 8
    for name, good, comparison, limit in stated:
        threshold = THRESHOLDS[name]
        assert (threshold.comparison, threshold.value) == (comparison, float(limit))
        assert not good or threshold.good == float(good)
