"""One child process: what importing and instrumenting costs beyond OpenTelemetry itself, and the memory after that."""

from __future__ import annotations

import gc
import importlib
import json
import sys
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

# What a zero-code process has loaded before it comes to the first instrumentation.
LOADED_BEFORE = (
    "opentelemetry.sdk.metrics.export",
    "opentelemetry.sdk.trace.export",
    "opentelemetry.sdk._logs",
    "opentelemetry.instrumentation.auto_instrumentation._load",
    "opentelemetry.instrumentation.distro",
    "opentelemetry.instrumentation.instrumentor",
    "opentelemetry.instrumentation.utils",
)


def resident_mb() -> float:
    """Resident memory; of Linux, where there is a /proc."""
    gc.collect()
    pages = Path("/proc/self/statm")
    if not pages.exists():
        return 0.0
    return int(pages.read_text().split()[1]) * 4096 / 1e6


def libraries() -> set[str]:
    """Top-level packages in this process, the standard library's aside."""
    return {name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names


def footprint(variant_name: str | None, calls: int) -> dict[str, Any]:
    for name in LOADED_BEFORE:
        importlib.import_module(name)
    from telemetry import Telemetry
    from variants import VARIANTS, make_global

    telemetry = Telemetry("sampled")
    make_global(telemetry)
    loaded, before = libraries(), resident_mb()
    cpu, wall = process_time(), perf_counter()
    if variant_name is not None:
        VARIANTS[variant_name].start(telemetry)
    cpu, wall = process_time() - cpu, perf_counter() - wall
    result = {"cpu_ms": cpu * 1e3, "wall_ms": wall * 1e3, "imported": sorted(libraries() - loaded)}
    result |= {"rss_before_mb": before, "rss_instrumented_mb": resident_mb()}
    if calls:
        run_calls(calls)
        telemetry.settle()
        result["rss_after_calls_mb"] = resident_mb()
    return result


def run_calls(calls: int) -> None:
    import asyncio

    from workload import workload

    loop = asyncio.new_event_loop()
    workload("sync", 1, loop).run(calls)
    loop.close()


if __name__ == "__main__":
    spec = json.loads(sys.argv[1])
    Path(sys.argv[2]).write_text(json.dumps(footprint(spec["variant"], spec["calls"])))
