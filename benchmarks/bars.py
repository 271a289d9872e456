"""What otel-embed promises about its cost, checked on the numbers of one run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from summary import Added

RATIO_TO_WRAPPER = 1.15
ERROR_OF_METHOD = 0.03
NO_PEERS = ("wrapper", "wrapper-again", "fuller-wrapper", "otel_embed")
NO_SDK_US = 40.0
SHARE_OF_LARGE_CALL = 0.01
IDLE_US = 1.0
INSTRUMENT_MS = 100.0
INSTRUMENTED_LIBRARIES = (
    "boto3",
    "botocore",
    "cohere",
    "fastembed",
    "haystack",
    "httpcore",
    "httpcore2",
    "httpx",
    "httpx2",
    "langchain",
    "langchain_classic",
    "langchain_core",
    "litellm",
    "llama_index",
    "mistralai",
    "numpy",
    "ollama",
    "openai",
    "requests",
    "sentence_transformers",
    "tiktoken",
    "torch",
    "voyageai",
)


def exceeded(rows: list[Added], idle: dict[str, Any], footprints: dict[str, Any]) -> list[str]:
    """One line for each bar that otel-embed exceeds; none when it keeps them all."""
    ours = [row for row in rows if row.variant == "otel_embed" and row.transport == "in process"]
    found = [line for row in ours for line in call_bars(row)]
    found += [line for row in ours if row.texts == 1 and row.sdk != "none" for line in peer_bars(row, rows)]
    found += [line for row in rows if row.variant == "wrapper-again" for line in method_bars(row)]
    found += idle_bars(idle)
    return found + list(footprint_bars(footprints["otel_embed"])) if "otel_embed" in footprints else found


def call_bars(row: Added) -> Iterator[str]:
    kind = f"{row.sdk}, {row.client}, {row.texts:,} text{'s' if row.texts > 1 else ''}"
    if row.texts == 1 and row.sdk == "none" and row.added > NO_SDK_US:
        yield f"{kind}: {row.added:.1f} µs added, more than {NO_SDK_US:.0f}"
    if row.texts == 1 and row.sdk != "none" and row.ratio > RATIO_TO_WRAPPER:
        yield f"{kind}: {row.ratio:.2f} times the wrapper, more than {RATIO_TO_WRAPPER}"
    # A call of a tenth of a second varies by more than the bar: only what is beyond the measurement's own error counts.
    if row.texts == 1000 and row.added - 2 * row.error > SHARE_OF_LARGE_CALL * row.bare:
        yield f"{kind}: {row.share:.2%} of the call, more than {SHARE_OF_LARGE_CALL:.0%}"


def peer_bars(row: Added, rows: list[Added]) -> Iterator[str]:
    """Each process has its own wrapper: ratios to it are compared, not microseconds."""
    for peer in rows:
        same = (peer.sdk, peer.client, peer.transport, peer.texts) == (row.sdk, row.client, row.transport, row.texts)
        if same and peer.variant not in NO_PEERS and row.ratio > peer.ratio:
            yield f"{row.sdk}, {row.client}: {row.ratio:.2f} times the wrapper, {peer.variant} {peer.ratio:.2f}"


def method_bars(row: Added) -> Iterator[str]:
    """The wrapper costs what the same wrapper costs; where it doesn't, the benchmark measures something else."""
    low, high = row.ratio_interval
    if row.texts == 1 and row.transport == "in process" and not low - ERROR_OF_METHOD <= 1 <= high + ERROR_OF_METHOD:
        yield f"{row.sdk}, {row.client}: the wrapper takes {row.ratio:.2f} times itself; no ratio of this run means anything"


def idle_bars(idle: dict[str, Any]) -> Iterator[str]:
    ours = idle.get("otel_embed")
    if ours and ours["added"] - 2 * ours["error"] > IDLE_US:
        yield f"{ours['added']:.1f} µs added to a request outside any embedding call, more than {IDLE_US:.0f}"


def footprint_bars(footprint: dict[str, Any]) -> Iterator[str]:
    if footprint["cpu_ms"] > INSTRUMENT_MS:
        yield f"{footprint['cpu_ms']:.0f} ms to import and instrument, more than {INSTRUMENT_MS:.0f}"
    for library in sorted(set(footprint["imported"]) & set(INSTRUMENTED_LIBRARIES)):
        yield f"instrumenting imported {library}"
