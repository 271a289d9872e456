"""What `otel-embed run --live` takes of a job's CPU time: `python benchmarks/live.py [--seconds 60] [--check]`. Linux.

The kernel's own account of each thread (schedstat, nanoseconds), read by the job when it begins and when it ends: of
the thread in it that writes what is shown, and of the process that shows it. Both also run without --live, for the
report; the live view is the difference.
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from workload import importlib, loopback_server, workload

BAR = 0.01
JOBS = {"back to back": 0.0, "waits 50 ms between calls": 0.05}


def on_cpu(process: int, thread: int | None = None) -> int:
    """Nanoseconds of all threads of a process, or of one."""
    threads = [str(thread)] if thread is not None else os.listdir(f"/proc/{process}/task")
    return sum(int(Path(f"/proc/{process}/task/{name}/schedstat").read_text().split()[0]) for name in threads)


def job(seconds: float, pause: float, out: str) -> None:
    """Calls with eight texts for so long, as an application in a process of its own."""
    asyncio = importlib.import_module("asyncio")
    writer = next(thread for thread in threading.enumerate() if thread.name == "otel-embed-report")
    assert writer.native_id is not None
    with loopback_server(8) as port:
        run = workload("sync", 8, asyncio.new_event_loop(), port).run
        run(20)
        before = on_cpu(os.getpid()), on_cpu(os.getpid(), writer.native_id), on_cpu(os.getppid())
        end, calls = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            run(1)
            time.sleep(pause)
            calls += 1
        after = on_cpu(os.getpid()), on_cpu(os.getpid(), writer.native_id), on_cpu(os.getppid())
    taken = dict(zip(("job", "writer", "viewer"), (late - early for early, late in zip(before, after))))
    Path(out).write_text(json.dumps({**taken, "job": taken["job"] - taken["writer"], "calls": calls}))


def measured(live: bool, seconds: float, pause: float) -> dict[str, float]:
    """Of one run in a terminal; milliseconds of CPU time for each second, and calls."""
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder, "out.json"))
        command = ["otel-embed", "run", "--no-report", *(["--live"] if live else []), "--", sys.executable, __file__]
        environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
        subprocess.run(["stty", "rows", "30", "cols", "100"], stdin=theirs, check=True)
        arguments = ["--job", out, "--seconds", str(seconds), "--pause", str(pause)]
        process = subprocess.Popen([*command, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
        os.close(theirs)
        while process.poll() is None:
            time.sleep(0.2)
            try:
                os.read(ours, 1 << 20)
            except OSError:
                continue
        os.close(ours)
        taken = json.loads(Path(out).read_text())
    return {name: taken[name] / seconds / 1e6 for name in ("job", "writer", "viewer")} | {"calls": taken["calls"]}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--job")
    parser.add_argument("--pause", type=float, default=0.0)
    given = parser.parse_args()
    if given.job:
        job(given.seconds, given.pause, given.job)
        return
    worst = 0.0
    print("ms of CPU time a second, median of turns: job, writing, showing; without --live and with it")
    for name, pause in JOBS.items():
        turns = [[measured(live, given.seconds, pause) for live in (False, True)] for _ in range(given.turns)]
        without, shown = (
            {key: statistics.median(turn[live][key] for turn in turns) for key in turns[0][live]} for live in (0, 1)
        )
        added = sum(shown[part] - without[part] for part in ("writer", "viewer"))
        share = added / without["job"]
        worst = max(worst, share)
        said = "; ".join(
            ", ".join(f"{each[part]:.2f}" for part in ("job", "writer", "viewer")) for each in (without, shown)
        )
        print(f"{name} ({shown['calls'] / given.seconds:.0f} calls/s): {said}")
        print(f"    --live adds {added:.2f}, {share:.2%} of the job's")
    if given.check and worst >= BAR:
        sys.exit(f"more than {BAR:.0%}")


if __name__ == "__main__":
    main()
