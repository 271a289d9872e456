"""The run as a table for the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bars import INSTRUMENTED_LIBRARIES
from summary import Added

SDK_TITLES = {"sampled": "SDK, sampled", "unsampled": "SDK, not sampled", "none": "no SDK configured"}


def call_lines(rows: list[Added], titles: dict[str, str]) -> Iterator[str]:
    yield "CPU µs added to one call: median [quartiles] over blocks, share of the call, times the hand-written wrapper"
    groups = dict.fromkeys((row.sdk, row.transport, row.texts, row.client) for row in rows)
    for sdk, transport, texts, client in groups:
        group = [
            row for row in rows if (row.sdk, row.transport, row.texts, row.client) == (sdk, transport, texts, client)
        ]
        kind = f"{SDK_TITLES[sdk]}, {client}, {texts:,} text{'s' if texts > 1 else ''}, {transport}"
        yield ""
        yield f"{kind} (bare call {group[0].bare:,.0f} µs)"
        for row in sorted(group, key=lambda row: row.added):
            yield f"  {titles[row.variant]:28}" + numbers(row)


def numbers(row: Added) -> str:
    low, high = row.quartiles
    text = f"{row.added:11,.1f}  {f'[{low:,.1f} .. {high:,.1f}]':26}{row.share:8.2%}"
    if row.texts == 1 and row.variant != "wrapper":
        text += "  × {:.2f}  ({:.2f} .. {:.2f})".format(row.ratio, *row.ratio_interval)
    return text


def idle_lines(idle: dict[str, Any], titles: dict[str, str]) -> Iterator[str]:
    yield "CPU time added to an HTTP request outside any embedding call, µs: median [quartiles]"
    for name, row in idle.items():
        yield f"  {titles[name]:28}{row['added']:11.2f}  [{row['low']:.2f} .. {row['high']:.2f}] on {row['bare']:.1f}"


def footprint_lines(footprints: dict[str, Any], titles: dict[str, str]) -> Iterator[str]:
    yield "Import and instrument, beyond OpenTelemetry itself; resident memory, MB"
    yield f"  {'':28}{'CPU ms':>8}{'wall ms':>9}{'instrumented':>14}{'after calls':>13}  libraries imported"
    for name, row in footprints.items():
        memory = row["rss_instrumented_mb"] - row["rss_before_mb"]
        shown = ", ".join(sorted(set(row["imported"]) & set(INSTRUMENTED_LIBRARIES))) or "none"
        times = f"{row['cpu_ms']:8.0f}{row['wall_ms']:9.0f}"
        yield f"  {titles[name]:28}{times}{memory:+14.1f}{row['rss_after_calls_mb']:13.1f}  {shown}"
