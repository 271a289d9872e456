"""A real Prometheus scrapes a program that otel_embed observes, and answers with what the server billed.

Needs the ``prometheus`` program: ``apt-get install --no-install-recommends prometheus``. Run by ``make e2e``.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import start_http_server

import otel_embed
from otel_embed.demo.server import EmbeddingServer

SMALL = "text-embedding-3-small"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def query(port: int, expression: str) -> list[Any]:
    url = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
    with urllib.request.urlopen(url, timeout=5) as answer:
        result: list[Any] = json.load(answer)["data"]["result"]
    return result


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """The ports of a Prometheus and of the target that it scrapes every half second."""
    program = shutil.which("prometheus")
    assert program, "the prometheus program is missing: apt-get install --no-install-recommends prometheus"
    target, port = free_port(), free_port()
    config = tmp_path / "prometheus.yml"
    config.write_text(
        f"global: {{scrape_interval: 500ms, scrape_timeout: 400ms}}\n"
        f"scrape_configs: [{{job_name: app, static_configs: [{{targets: ['127.0.0.1:{target}']}}]}}]\n"
    )
    command = [program, f"--config.file={config}", f"--web.listen-address=127.0.0.1:{port}",
               f"--storage.tsdb.path={tmp_path / 'data'}", "--log.level=error"]  # fmt: skip
    with subprocess.Popen(command) as process:
        try:
            yield port, target
        finally:
            process.terminate()


def eventually(port: int, expression: str, seconds: float = 20.0) -> float:
    """The value of an expression once Prometheus has one."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            found = query(port, expression)
        except OSError:
            found = []
        if found:
            return float(found[0]["value"][1])
        time.sleep(0.2)
    pytest.fail(f"Prometheus had nothing for {expression} within {seconds:g} s")


def test_a_scrape_holds_the_bill(prometheus: tuple[int, int]) -> None:
    port, target = prometheus
    meters = MeterProvider(metric_readers=[PrometheusMetricReader()], shutdown_on_exit=False)
    start_http_server(target, addr="127.0.0.1")
    otel_embed.instrument(meter_provider=meters)
    try:
        with EmbeddingServer() as server, openai.OpenAI(base_url=server.url, api_key="x") as client:
            for n in range(20):
                client.embeddings.create(model=SMALL, input=["one two"] * (n % 3 + 1))
            tokens = server.billed.tokens
        chosen = f'{{gen_ai_request_model="{SMALL}"}}'
        assert eventually(port, f"sum(gen_ai_client_embeddings_operation_input_tokens_sum{chosen})") == tokens
        assert eventually(port, f"sum(otel_embed_cost_total{chosen})") == pytest.approx(tokens * 2e-8, rel=1e-12)
        assert eventually(port, f"sum(gen_ai_client_embeddings_duration_seconds_count{chosen})") == 20
        assert eventually(port, "count(otel_embed_stage_time_seconds_total)") >= 5
    finally:
        otel_embed.uninstrument()
