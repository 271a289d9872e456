"""Whether memory stays flat, whatever goes on and for however long.

    python benchmarks/soak.py calls [n]        # n calls with one text, 100,000 by default: a minute or two
    python benchmarks/soak.py reconnects [n]   # n calls, each on a new TLS connection: 14,400 by default: two minutes
    python benchmarks/soak.py names [n]        # n calls, each of a new model for a new tenant: 100,000 by default, some minutes

The real openai client, answered in process or, for new connections, by a server process on loopback. The SDK samples every
call. Prints what the process grew by since it was warm, in MB and in Python's memory blocks, and how many points its metrics
have; exits with 1 where it grew by more than 2 MB. 14,400 connections are what ten of them, renewed every five seconds as
httpx does with idle ones, come to in two hours.
"""

from __future__ import annotations

import argparse
import gc
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

from soak_work import calls, names, reconnects
from telemetry import Telemetry
from variants import VARIANTS
from workload import Run

LIMIT_MB = 2.0
EXPORTED_EVERY, COLLECTED_EVERY = 400, 4_000
"""Calls. Spans wait in the SDK's queue, which takes 2,048."""


class Soak(NamedTuple):
    work: Callable[[], AbstractContextManager[Run]]
    calls: int
    warm: int
    """What is bounded must be full before anything is compared: names of models and tenants, points of metrics."""


SOAKS = {
    "calls": Soak(calls, 100_000, 5_000),
    "reconnects": Soak(reconnects, 14_400, 5_000),
    "names": Soak(names, 100_000, 200_000),
}


class Size(NamedTuple):
    mb: float
    blocks: int
    points: int

    def since(self, warm: Size) -> str:
        grown = f"{self.mb - warm.mb:+.2f} MB, {self.blocks - warm.blocks:+,} blocks"
        return f"{grown}, {self.points:,} points in {self.mb:.0f} MB"


def size(telemetry: Telemetry) -> Size:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Size(pages * resource.getpagesize() / 2**20, sys.getallocatedblocks(), points(telemetry))


def points(telemetry: Telemetry) -> int:
    """Of all metrics, as of the last collection."""
    found = telemetry.collected.resource_metrics if telemetry.collected else ()
    metrics = [metric for each in found for scope in each.scope_metrics for metric in scope.metrics]
    return sum(len(metric.data.data_points) for metric in metrics)


def make(work: Run, wanted: int, telemetry: Telemetry) -> None:
    assert telemetry.tracer_provider is not None
    for made in range(0, wanted, EXPORTED_EVERY):
        work(min(EXPORTED_EVERY, wanted - made))
        telemetry.tracer_provider.force_flush()
        if made % COLLECTED_EVERY == 0:
            telemetry.settle()
    telemetry.settle()


@contextmanager
def observed() -> Iterator[Telemetry]:
    telemetry = Telemetry("sampled")
    stop = VARIANTS["otel_embed"].start(telemetry)
    try:
        yield telemetry
    finally:
        stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=[*SOAKS], nargs="?", default="calls")
    parser.add_argument("wanted", type=int, nargs="?", help="how many; each kind has a default")
    options = parser.parse_args()
    kind, soak = options.kind, SOAKS[options.kind]
    whole = options.wanted or soak.calls
    step, began = max(whole // 10, 1), time.monotonic()
    with observed() as telemetry, soak.work() as work:
        make(work, soak.warm, telemetry)
        warm = now = size(telemetry)
        print(f"{warm.mb:.1f} MB, {warm.points:,} points after {soak.warm:,} {kind}", flush=True)
        for made in range(step, whole + 1, step):
            make(work, step, telemetry)
            now = size(telemetry)
            print(f"{made:,}: {now.since(warm)}, {time.monotonic() - began:,.0f} s", flush=True)
        if telemetry.exporter.spans < soak.warm + whole:
            print(f"{telemetry.exporter.spans:,} spans only: some were lost")
            return 1
    return int(now.mb - warm.mb > LIMIT_MB)


if __name__ == "__main__":
    sys.exit(main())
