"""Nothing takes the telemetry: with what collector-config/README.md recommends, a program ends when it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from documents import ROOT
from fakes.otlp import closed_port
from otel_embed.demo.server import EmbeddingServer
from programs import OTHERS

BIN = Path(sys.executable).parent
SETTING = "OTEL_EXPORTER_OTLP_TIMEOUT=0.5"
PROGRAM = """
import sys, time
import openai

with openai.OpenAI(base_url=sys.argv[1], api_key="x") as client:
    client.embeddings.create(model="text-embedding-3-small", input=["one two"], encoding_format="float")
print(time.time())
"""


def run(*prefix: str | Path, **variables: str) -> tuple[float, subprocess.CompletedProcess[str]]:
    """The seconds that the program took to end, from its last line on, and what it said."""
    kept = {each: what for each, what in os.environ.items() if not each.startswith("OTEL_")}
    with EmbeddingServer() as server:
        command = [*prefix, sys.executable, "-c", PROGRAM, server.url]
        ran = subprocess.run(command, env=kept | variables, capture_output=True, text=True, timeout=60)
        ended = time.time()
    assert ran.returncode == 0, ran.stderr
    return ended - float(ran.stdout), ran


def to_nobody(protocol: str) -> dict[str, str]:
    assert SETTING in (ROOT / "collector-config" / "README.md").read_text()
    name, _, value = SETTING.partition("=")
    return {
        name: value,
        "OTEL_SERVICE_NAME": "ingest",
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": ",".join(OTHERS),
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{closed_port()}",
    }


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_a_program_ends_at_once_and_says_why_in_a_line_for_each_signal(protocol: str) -> None:
    instrumented = BIN / "opentelemetry-instrument"
    own, _ = run(instrumented, OTEL_TRACES_EXPORTER="none", OTEL_METRICS_EXPORTER="none")
    took, ran = run(instrumented, **to_nobody(protocol))
    assert took - own < 2.0, "beside what Python itself takes to end; it was ten with the default of ten seconds"
    said = ran.stderr.splitlines()
    assert 1 <= len(said) <= 2
    assert all(line.startswith("Failed to export ") for line in said), said


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_the_report_says_what_was_lost(protocol: str, tmp_path: Path) -> None:
    _, ran = run(BIN / "otel-embed", "run", "--json", tmp_path / "report.json", "--", **to_nobody(protocol))
    assert json.loads((tmp_path / "report.json").read_text())["lost_spans"] == {"export_failed": 1}
    lines = " ".join(ran.stderr.split())
    assert "1 span reached no backend: 1 not taken by the backend. otel-embed doctor says why" in lines
