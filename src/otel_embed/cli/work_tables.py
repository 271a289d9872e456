"""The tables that the terminal and the page share: local models, loads, vector stores, caches, what checks found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from otel_embed.cli.document import Summary
from otel_embed.cli.units import count, dollars, percent, seconds, size
from otel_embed.cli.work_rows import QualityTotals, wasted_ratio

_MANY_CALLS, _ROOM = 100, 20
"""A call is small that has less than this part of what the provider takes, and worth a word where there are many."""


class WorkTable(NamedTuple):
    title: str
    note: str
    headers: Sequence[str]
    rows: Sequence[tuple[str, Sequence[str]]]
    """Each with its name, whose first word is of less interest."""


def work_tables(summary: Summary) -> Iterator[WorkTable]:
    """Those that have a row."""
    tables = (_local(summary), _loads(summary), _operations(summary), _sizes(summary), _problems(summary))
    return (table for table in tables if table.rows)


def _local(summary: Summary) -> WorkTable:
    headers = ("calls", "tokens", "padding", "at limit", "device")
    rows = [
        (
            row.name,
            [
                count(row.calls), count(sum(row.tokens.values())), percent(row.padding),
                "–" if row.truncated_inputs is None else count(row.truncated_inputs),
                ", ".join(device or "unknown" for device in row.devices) or "–",
            ],
        )
        for row in summary.providers
        if row.local
    ]  # fmt: skip
    return WorkTable("Local models", "padding is of all tokens the model worked on", headers, rows)


def _loads(summary: Summary) -> WorkTable:
    rows = [
        (
            row.name,
            [
                count(row.loads), seconds(row.seconds.avg), seconds(row.seconds.max), row.device,
                count(sum(row.errors.values())),
            ],
        )
        for row in summary.loads
    ]  # fmt: skip
    return WorkTable("Models loaded", "", ("loads", "mean", "longest", "device", "failed"), rows)


def _operations(summary: Summary) -> WorkTable:
    failed = any(row.errors for row in summary.operations)
    ordered = sorted(summary.operations, key=lambda row: -row.own.sum)
    rows = [
        (
            row.name,
            [
                count(row.calls), count(row.documents), seconds(row.own.sum), seconds(row.own.avg),
                seconds(row.own.quantile(0.95)), *([count(sum(row.errors.values()))] if failed else []),
            ],
        )
        for row in ordered
    ]  # fmt: skip
    headers = ("runs", "docs", "own", "mean", "p95", *(["failed"] if failed else []))
    return WorkTable("Vector stores", "own time is without embedding", headers, rows)


def _sizes(summary: Summary) -> WorkTable:
    rows = [(row.name, [count(row.entries), size(row.bytes)]) for row in summary.cache_sizes]
    return WorkTable("What caches hold", "", ("entries", "size"), rows)


def _problems(summary: Summary) -> WorkTable:
    rows = [(row.name, cells) for row in summary.quality for cells in (*_found(row), *_small_calls(summary, row))]
    wasted = wasted_ratio(summary.quality)
    said = f"{percent(wasted)} of dollars on repeated texts" if wasted else "no error says so"
    return WorkTable("Worth a look", said, ("what", "found", "among", "tokens", "cost"), rows)


def _found(row: QualityTotals) -> Iterator[Sequence[str]]:
    for problem in (*row.problems, *(waste for waste in row.wasted_tokens if waste not in row.problems)):
        tokens, usd = row.wasted_tokens.get(problem), row.wasted_usd.get(problem)
        yield [
            problem.replace("_", " "),
            count(row.problems[problem]) if problem in row.problems else "–",
            count(row.vectors if "vector" in problem else row.inputs) if problem in row.problems else "–",
            "–" if tokens is None else count(tokens),
            "–" if usd is None else dollars(usd),
        ]


def _small_calls(summary: Summary, row: QualityTotals) -> Iterator[Sequence[str]]:
    """Very many calls of very few texts each, where the provider takes many at once."""
    calls = sum(each.calls for each in summary.providers if (each.provider, each.model) == (row.provider, row.model))
    inputs = sum(each.inputs for each in summary.providers if (each.provider, each.model) == (row.provider, row.model))
    if row.most_inputs is not None and calls >= _MANY_CALLS and inputs * _ROOM < calls * row.most_inputs:
        yield ["small calls", count(calls), f"{inputs / calls:.1f} of {count(row.most_inputs)} texts", "–", "–"]
