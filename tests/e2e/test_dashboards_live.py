"""Every query of every dashboard, on a real Prometheus: for a program that is scraped, and for one that runs once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import openai
import pytest
from monitoring import Prometheus, eventually, prometheus
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from pushing import Pushed
from receiver import free_ports

import otel_embed
from documents import ROOT
from fakes.faults import Fault
from fakes.openai_server import OpenAIServer
from grafana import MACROS, everything, filled
from test_gpu import library  # noqa: F401 as a fixture

BIN = Path(sys.executable).parent
APP = Path(__file__).with_name("app.py")
BOARDS = {path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "dashboards" / "grafana").glob("*.json"))}
SHOWN = MACROS | {"$__rate_interval_ms": "20000", "$__rate_interval": "20s", "$__range_s": "300", "$__range": "5m"}
NOT_HERE = {
    ("local", "Padding, tokens a second", "A"),  # sentence-transformers alone pads and cuts, and it needs torch
    ("local", "Cut short a minute", "A"),
    ("errors", "Our own failures by step", "A"),  # there are none
    ("errors", "Spans lost", "A"),  # nor these
    ("cost", "Budgets", "C"),  # nothing is projected in a budget's first minutes
}
LARGE = "text-embedding-3-large"
USD_PER_TOKEN = {LARGE: 0.13e-6}
BATCH = f"""
import sys, time
import openai

with openai.OpenAI(base_url=sys.argv[1], api_key="x", max_retries=0) as client:
    for n in range(20):
        client.embeddings.create(model={LARGE!r}, input=["one two three"] * 8, encoding_format="float")
        time.sleep(0.1)
    try:
        client.embeddings.create(model={LARGE!r}, input="")
    except openai.BadRequestError:
        pass
"""


def environment(**more: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "CUDA_"))} | more


class Live(NamedTuple):
    prometheus: Prometheus
    server: OpenAIServer


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, library: Path) -> Iterator[Live]:  # noqa: F811
    """A program under ``opentelemetry-instrument`` on a machine with a GPU, scraped, while some of its calls fail."""
    folder = tmp_path_factory.mktemp("live")
    (target,) = free_ports(1)
    variables = environment(
        OTEL_TRACES_EXPORTER="none", OTEL_METRICS_EXPORTER="prometheus", OTEL_EXPORTER_PROMETHEUS_PORT=str(target),
        OTEL_EXPORTER_PROMETHEUS_HOST="127.0.0.1", OTEL_EMBED_DAILY_BUDGET_USD="0.00001", FAKE_NVML="whole",
        OTEL_EMBED_ALERTS="on", OTEL_EMBED_MAX_OVERHEAD="0.9",
        LD_LIBRARY_PATH=str(library), HF_HUB_OFFLINE="1",
    )  # fmt: skip
    modes = folder / "modes"
    modes.mkdir()
    with OpenAIServer() as server, prometheus(folder, target) as watching:
        limited = Fault(status=429, retry_after=0.01)
        server.script([None, limited, None, Fault(status=400), None, Fault(status=500)] * 20)
        command = [BIN / "opentelemetry-instrument", sys.executable, APP, server.url, modes]
        with (folder / "log").open("w") as log, subprocess.Popen(command, env=variables, stderr=log) as process:
            try:
                counted = "sum(gen_ai_client_embeddings_duration_seconds_count)"
                eventually(lambda: watching.value(counted) > 300, lambda: (folder / "log").read_text()[-2000:])
                yield Live(watching, server)
            finally:
                (modes / "stop").touch()
                process.wait(30)
        assert process.returncode == 0, (folder / "log").read_text()


@pytest.mark.parametrize("name", BOARDS)
def test_every_query_of_a_dashboard_returns_data(name: str, live: Live) -> None:
    variables = everything(BOARDS[name])
    empty = {
        (name, panel["title"], target["refId"])
        for panel in BOARDS[name]["panels"]
        for target in panel["targets"]
        if not live.prometheus.query(filled(target["expr"], variables, SHOWN))
    }
    assert empty == {each for each in NOT_HERE if each[0] == name}


def test_figures_are_what_the_server_billed(live: Live) -> None:
    """While both go on: a scrape is half a second old."""

    def both() -> tuple[float, float]:
        spent = live.server.billed.by_model[LARGE].tokens * USD_PER_TOKEN[LARGE]
        return figure(live.prometheus, "cost", "Spent", model=LARGE), spent

    eventually(lambda: abs(1 - both()[0] / both()[1]) < 0.05, both)


def figure(watching: Prometheus, board: str, title: str, **chosen: str) -> float:
    """What the first row of a dashboard shows."""
    (panel,) = (each for each in BOARDS[board]["panels"] if each["title"] == title and each["type"] == "stat")
    expression = panel["targets"][0]["expr"]
    return watching.value(filled(expression, {**everything(BOARDS[board]), **chosen}, SHOWN))


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Prometheus, Mapping[str, Any]]]:
    """A program that runs for two seconds and ends, three times, each pushing its metrics once, when it ends."""
    with prometheus(tmp_path_factory.mktemp("batch")) as watching, Pushed(watching.url) as pushed, \
            OpenAIServer() as server:  # fmt: skip
        variables = environment(
            OTEL_SERVICE_NAME="ingest", OTEL_TRACES_EXPORTER="none", OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
            OTEL_EXPORTER_OTLP_ENDPOINT=pushed.origin,
        )  # fmt: skip
        command = [BIN / "opentelemetry-instrument", sys.executable, "-c", BATCH, server.url]
        runs = [subprocess.Popen(command, env=variables, stderr=subprocess.PIPE) for _ in range(3)]
        for run in runs:
            assert (run.wait(60), run.stderr and run.stderr.read()) == (0, b"")
        yield watching, server.billed.by_model


def test_a_job_that_runs_once_shows_what_it_cost(batch: tuple[Prometheus, Mapping[str, Any]]) -> None:
    watching, billed = batch
    tokens = billed[LARGE].tokens
    assert tokens == 3 * 20 * 8 * 3
    assert watching.value("sum(increase(otel_embed_cost_total[1m]))") != tokens * USD_PER_TOKEN[LARGE], "the trap"
    assert figure(watching, "cost", "Spent") == pytest.approx(tokens * USD_PER_TOKEN[LARGE], rel=1e-9)
    assert figure(watching, "cost", "Spent", job="ingest") == pytest.approx(tokens * USD_PER_TOKEN[LARGE], rel=1e-9)
    assert figure(watching, "cost", "Tokens") == tokens
    assert figure(watching, "latency", "Calls") == 63
    assert figure(watching, "errors", "Failed") == pytest.approx(3 / 63)
    assert figure(watching, "latency", "p95") > 0
    assert figure(watching, "stages", "Waiting") > 0


def test_what_is_pushed_without_an_instance_is_shown(tmp_path: Path) -> None:
    """As by an SDK that is configured in code with the name of the service alone."""
    with prometheus(tmp_path) as watching, Pushed(watching.url) as pushed, OpenAIServer() as server:
        reader = PeriodicExportingMetricReader(OTLPMetricExporter(f"{pushed.origin}/v1/metrics"))
        meters = MeterProvider([reader], Resource({"service.name": "tutorial"}), shutdown_on_exit=False)
        otel_embed.uninstrument()
        otel_embed.instrument(meter_provider=meters)
        try:
            with openai.OpenAI(base_url=server.url, api_key="x") as client:
                client.embeddings.create(model=LARGE, input="one two")
        finally:
            otel_embed.uninstrument()
            meters.shutdown()
        spent = server.billed.tokens * USD_PER_TOKEN[LARGE]
        assert figure(watching, "cost", "Spent") == pytest.approx(spent, rel=1e-9)
        assert figure(watching, "latency", "Calls") == 1


def test_its_graphs_have_it_too(batch: tuple[Prometheus, Mapping[str, Any]]) -> None:
    watching, billed = batch
    (panel,) = (each for each in BOARDS["cost"]["panels"] if each["title"] == "Dollars an hour")
    macros = SHOWN | {"$__rate_interval_ms": "60000", "$__rate_interval": "60s"}
    an_hour = watching.value(filled(panel["targets"][0]["expr"], everything(BOARDS["cost"]), macros))
    assert an_hour / 60 == pytest.approx(billed[LARGE].tokens * USD_PER_TOKEN[LARGE], rel=1e-9)
