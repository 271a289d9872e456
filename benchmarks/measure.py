"""One child process: the bare client, the hand-written wrapper and one variant, some calls each in turn.

The machine's speed changes within seconds. So the three take turns every few milliseconds, and the times of a block of turns
are added up; what a variant leaves for later (exports, collections, its own batches) is done and timed once a block.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import random
import sys
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from contestants import Contestant, side_by_side, started
from variants import VARIANTS, WRAPPER
from workload import Run, Workload, loopback_server, plain_requests, workload

WARM_CALLS = 20
CALLS_A_TURN = {1: 32, 100: 1, 1000: 1}
_ORDER = random.Random(20)


class Clock:
    """Adds up the CPU and the wall time of what runs inside `with clock`."""

    def __init__(self) -> None:
        self.cpu = self.wall = 0.0

    def __enter__(self) -> None:
        self.started = process_time(), perf_counter()

    def __exit__(self, *exception: object) -> None:
        self.cpu += process_time() - self.started[0]
        self.wall += perf_counter() - self.started[1]


def block(
    contestants: dict[str, Contestant], run: Run, turns: int, calls: int, reports: bool = True
) -> dict[str, Clock]:
    """`turns` turns of `calls` calls each, in an order drawn anew each time: whoever runs first finds caches that others
    filled, and in a fixed order it would always be the same one.

    What is no embedding call reports nothing, so that no export or collection is its cost.
    """
    gc.collect()
    clocks = {name: Clock() for name in contestants}
    for _ in range(turns):
        for name in drawn(contestants):
            with contestants[name].on(), clocks[name]:
                run(calls)
    for name in drawn(contestants) if reports else ():
        with clocks[name]:
            contestants[name].telemetry.settle()
    return clocks


def drawn(contestants: dict[str, Contestant]) -> list[str]:
    return _ORDER.sample(list(contestants), len(contestants))


def blocks(
    contestants: dict[str, Contestant], run: Run, count: int, turns: int, calls: int, reports: bool = True
) -> dict[str, Any]:
    """Microseconds a call, one number a block."""
    timed = [block(contestants, run, turns, calls, reports) for _ in range(count)]
    scale = 1e6 / (turns * calls)
    return {
        "cpu": {name: [clocks[name].cpu * scale for clocks in timed] for name in contestants},
        "wall": {name: [clocks[name].wall * scale for clocks in timed] for name in contestants},
    }


def measure_calls(work: Workload, contestants: dict[str, Contestant], count: int, calls: int) -> dict[str, Any]:
    a_turn = min(calls, CALLS_A_TURN[work.texts])
    for contestant in contestants.values():
        contestant.counted(work, count * calls)
    times = blocks(contestants, work.run, count, calls // a_turn, a_turn)
    return {"client": work.client, "transport": work.transport, "texts": work.texts, **times}


def workloads(cells: list[dict[str, Any]], open_until: contextlib.ExitStack) -> list[Workload]:
    """Each kind of call, called often enough that nothing is left to import."""
    loop = asyncio.new_event_loop()
    open_until.callback(loop.close)
    made = []
    for cell in cells:
        local = cell["transport"] == "loopback"
        port = open_until.enter_context(loopback_server(cell["texts"])) if local else None
        made.append(workload(cell["client"], cell["texts"], loop, port))
        made[-1].run(WARM_CALLS if cell["texts"] == 1 else 1)
    return made


def measure(spec: dict[str, Any]) -> dict[str, Any]:
    with contextlib.ExitStack() as open_until:
        works = workloads(spec["cells"], open_until)
        wrapper, variant = started(WRAPPER, spec["sdk"]), started(VARIANTS[spec["variant"]], spec["sdk"])
        contestants = side_by_side({"wrapper": wrapper, "variant": variant})
        for contestant in contestants.values():
            for work in works:
                contestant.check_spans(work)
        cells = [
            measure_calls(work, contestants, cell["blocks"], cell["calls"])
            for work, cell in zip(works, spec["cells"], strict=True)
        ]
        idle = {name: contestants[name] for name in ("bare", "variant")}
        probe = blocks(idle, plain_requests(), spec["idle_blocks"], turns=64, calls=8, reports=False)
        for contestant in contestants.values():
            contestant.finish()
    return {"cells": cells, "idle": probe, "patched": variant.patches.names()}


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(measure(json.loads(sys.argv[1]))))
