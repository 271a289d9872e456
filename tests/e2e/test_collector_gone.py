"""A collector that is down, silent, busy or broken under load: the application's latency stays, its memory is bounded,
what was lost is counted, and a collector that comes back gets the whole bill.

Each behaviour lasts ``TEST_COLLECTOR_SECONDS`` (2.5 in CI; docs/collector_gone.md has the numbers of a minute each).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median, quantiles
from typing import Any, NamedTuple, get_args

import pytest
from collector import Behaviour, Collector, Taken, collector

from otel_embed.demo.ledger import Bill
from otel_embed.demo.server import EmbeddingServer, Latency
from programs import OTHERS

BIN = Path(sys.executable).parent
MODEL = "text-embedding-3-small"
SECONDS = float(os.environ.get("TEST_COLLECTOR_SECONDS", "2.5"))
BETWEEN = max(1.5, SECONDS / 5)
"""Seconds between two of them in which it behaves well, and before the first."""
BUSY = 0.01
"""Seconds that a busy machine may add; a call that waited for an export would take a hundred times that."""
BAD = [each for each in get_args(Behaviour) if each != "well"]
QUICK = SECONDS < 30
QUEUE = 128 if QUICK else 2048
"""Spans, of which the exporter takes a quarter at a time: the SDK's own, or so few that it is full within seconds."""
PROGRAM = f"""
import json, os, sys, threading, time
import openai

url, stop = sys.argv[1:]
client = openai.OpenAI(base_url=url, api_key="x", max_retries=0)
texts = ["two words"] * 4
calls, sizes = [], []

def work():
    while not os.path.exists(stop):
        at, begin = time.time(), time.perf_counter()
        client.embeddings.create(model={MODEL!r}, input=texts, encoding_format="float", dimensions=8)
        calls.append((at, time.perf_counter() - begin))
        time.sleep(0.01)

def watch():
    while not os.path.exists(stop):
        pages = int(open("/proc/self/statm").read().split()[1])
        sizes.append((time.time(), pages * os.sysconf("SC_PAGE_SIZE") / 2**20))
        time.sleep(0.1)

threads = [threading.Thread(target=each) for each in (work, work, work, work, watch)]
for each in threads:
    each.start()
for each in threads:
    each.join()
print(json.dumps({{"calls": calls, "sizes": sizes, "ended": time.time()}}))
"""


class Run(NamedTuple):
    phases: list[tuple[Behaviour, float, float]]
    calls: list[tuple[float, float]]
    """When one began, and the seconds that it took."""
    sizes: list[tuple[float, float]]
    """When, and the MiB that the program had."""
    taken: Taken
    billed: Mapping[str, Bill]
    to_end: float
    said: str

    def within(self, values: list[tuple[float, float]], *behaviours: str) -> list[float]:
        phases = [(begin, end) for behaviour, begin, end in self.phases if behaviour in behaviours]
        return [value for at, value in values if any(begin <= at < end for begin, end in phases)]


def environment(protocol: str, port: int) -> dict[str, str]:
    quick = {
        "OTEL_EXPORTER_OTLP_TIMEOUT": "2",
        "OTEL_BSP_MAX_QUEUE_SIZE": str(QUEUE),
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": str(QUEUE // 4),
        "OTEL_BSP_SCHEDULE_DELAY": "500",
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    return kept | (quick if QUICK else {}) | {
        "OTEL_SERVICE_NAME": "ingest",
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_METRIC_EXPORT_INTERVAL": "1000",
        "OTEL_EMBED_STAGE_SPANS": "never",
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": ",".join(OTHERS),
        "OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED": "true",
    }


@pytest.fixture(scope="module", params=["http/protobuf", "grpc"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    stop = tmp_path_factory.mktemp("program") / "stop"
    with EmbeddingServer(latency=Latency(base=0.005)) as server, collector(request.param) as backend:
        command = [BIN / "opentelemetry-instrument", sys.executable, "-c", PROGRAM, server.url, str(stop)]
        env = environment(request.param, backend.port)
        with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
            try:
                phases = list(_phases(backend, server))
            finally:
                stop.touch()
            output, said = program.communicate(timeout=60)
            ended = time.time()
        billed = server.billed.by_model
    assert program.returncode == 0, said
    seen: dict[str, Any] = json.loads(output)
    found = Run(phases, seen["calls"], seen["sizes"], backend.taken, billed, ended - seen["ended"], said)
    if written := os.environ.get("TEST_COLLECTOR_NUMBERS"):
        Path(f"{written}.{request.param.partition('/')[0]}.json").write_text(json.dumps(numbers(found), indent=1))
    return found


def _phases(backend: Collector, server: EmbeddingServer) -> Any:
    until = time.monotonic() + 30
    while server.billed.requests < 100:
        assert time.monotonic() < until, "the program does not embed"
        time.sleep(0.05)
    for behaviour in ("well", *(each for bad in BAD for each in (bad, "well"))):
        backend.behave(behaviour)
        begin = time.time()
        time.sleep(BETWEEN if behaviour == "well" else SECONDS)
        yield behaviour, begin, time.time()
    exports = backend.taken.exports
    while backend.taken.exports < exports + 2:
        assert time.monotonic() < until + 10 * SECONDS + 60, "no metrics come any more"
        time.sleep(0.05)


def numbers(run: Run) -> dict[str, Any]:
    """What docs/collector_gone.md tells."""
    told = {each: run.within(run.calls, each) for each in ("well", *BAD)}
    return {
        "milliseconds": {
            each: (len(took), round(1e3 * median(took), 2), round(1e3 * p95(took), 2)) for each, took in told.items()
        },
        "MiB": {each: round(max(run.within(run.sizes, each)), 1) for each in ("well", *BAD)},
        "first MiB": round(max(size for at, size in run.sizes if at < run.phases[0][2]), 1),
        "billed": run.billed[MODEL].requests,
        "taken": len(run.taken.spans),
        "lost": run.taken.by("otel_embed.spans.lost", "otel_embed.lost.cause"),
        "sdk": run.taken.by("otel.sdk.processor.span.processed", "error.type"),
        "sdk exported": run.taken.by("otel.sdk.exporter.span.exported", "error.type"),
        "to end": round(run.to_end, 2),
        "lines": len(run.said.splitlines()),
    }


def p95(values: list[float]) -> float:
    return quantiles(values, n=20)[-1]


@pytest.mark.parametrize("behaviour", BAD)
def test_calls_take_as_long_as_with_a_good_collector(run: Run, behaviour: str) -> None:
    good, bad = run.within(run.calls, "well"), run.within(run.calls, behaviour)
    assert len(bad) > 20 * SECONDS
    assert median(bad) < 1.5 * median(good) + BUSY
    assert p95(bad) < 2 * p95(good) + 5 * BUSY


def test_memory_is_bounded(run: Run) -> None:
    before = max(size for at, size in run.sizes if at < run.phases[0][2])
    assert max(run.within(run.sizes, *BAD)) - before < 16 + QUEUE / 128, "MiB: 8 KiB for each span that waits"
    assert 0 < run.taken.longest_queue <= QUEUE


def test_what_was_lost_is_counted_to_the_span(run: Run) -> None:
    lost = run.taken.by("otel_embed.spans.lost", "otel_embed.lost.cause")
    assert set(lost) == {"queue_full", "export_failed"} and min(lost.values()) > 0
    assert set(run.taken.spans.values()) == {f"embeddings {MODEL}"}
    assert len(run.taken.spans) + sum(lost.values()) == run.billed[MODEL].requests
    assert lost["queue_full"] == run.taken.by("otel.sdk.processor.span.processed", "error.type")["queue_full"]


def test_a_collector_that_comes_back_gets_the_whole_bill(run: Run) -> None:
    bill = run.billed[MODEL]
    assert run.taken.total("gen_ai.client.embeddings.operation.input_tokens") == bill.tokens
    assert run.taken.total("otel_embed.inputs") == bill.inputs
    assert round(run.taken.total("otel_embed.cost") * 1e12) == bill.tokens * 20_000
    assert run.taken.total("otel_embed.dropped") == 0
