"""Whether memory stays flat: many calls of the real openai client with one text, answered in process.

    python benchmarks/soak.py [calls]      # 100,000 by default, about a minute and a half

Prints what the process grew by since it was warm, in MB, with the SDK sampling every call; exits with 1 above 2 MB.
"""

from __future__ import annotations

import asyncio
import gc
import resource
import sys
from pathlib import Path

from telemetry import Telemetry
from variants import VARIANTS
from workload import workload

WARM_CALLS = 5_000
STEP = 10_000
LIMIT_MB = 2.0


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def main() -> int:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    telemetry = Telemetry("sampled")
    VARIANTS["otel_embed"].start(telemetry)
    work = workload("sync", 1, asyncio.new_event_loop())
    work.run(WARM_CALLS)
    telemetry.settle()
    gc.collect()
    warm, grown = resident_mb(), 0.0
    print(f"{warm:.1f} MB after {WARM_CALLS:,} calls")
    for made in range(STEP, calls + 1, STEP):
        work.run(STEP)
        telemetry.settle()
        gc.collect()
        grown = resident_mb() - warm
        print(f"{made:,} calls: {grown:+.2f} MB")
    return int(grown > LIMIT_MB)


if __name__ == "__main__":
    sys.exit(main())
